//! The dynamic configuration in whole services.

mod server;
mod store;
mod support;
mod updater;
