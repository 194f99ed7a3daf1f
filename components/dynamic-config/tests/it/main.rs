//! The dynamic configuration in whole services.

mod store;
mod support;
