//! The dynamic configuration in whole services.

mod levels;
mod server;
mod store;
mod support;
mod updater;
