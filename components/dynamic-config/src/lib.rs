//! Values of the dynamic configuration from files and from a configuration service.
//!
//! The variables themselves, and how they are read, are [`mainspring_core::dynamic`]. This crate brings their values:
//! [`DynamicConfigComponent`] holds them in layers, the compiled-in defaults below, then those of the service's
//! configuration or of a file, then those of updates, and keeps the last updates in a cache on disk. Values with any
//! problem never replace good ones.

mod component;

mod cache;
mod config;
mod error;
mod events;
mod update;

pub use component::DynamicConfigComponent;
pub use config::StoreConfig;
pub use error::DynamicConfigError;
pub use update::Update;
