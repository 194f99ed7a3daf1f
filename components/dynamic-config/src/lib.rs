//! Values of the dynamic configuration from files and from a configuration service.
//!
//! The variables themselves, and how they are read, are [`mainspring_core::dynamic`]. This crate brings their values:
//! [`DynamicConfigComponent`] holds them in layers, the compiled-in defaults below, then those of the service's
//! configuration or of a file, then those of updates, and keeps the last updates in a cache on disk. Values with any
//! problem never replace good ones. [`DynamicConfigClientUpdater`] fetches updates from a configuration service over
//! [`DynamicConfigClient`].

mod component;

mod client;
mod updater;

mod cache;
mod config;
mod error;
mod events;
mod exchange;
mod protocol;
mod update;

use mainspring_core::ComponentList;

pub use client::DynamicConfigClient;
pub use component::DynamicConfigComponent;
pub use config::{ClientConfig, StoreConfig, UpdaterConfig};
pub use error::{DynamicConfigError, FetchError};
pub use update::Update;
pub use updater::DynamicConfigClientUpdater;

/// What fetches values from a configuration service: `dynamic-config-client` and `dynamic-config-client-updater`. Both
/// have to be declared; `dynamic-config` needs `updates-enabled: true`.
#[must_use]
pub fn updates_list() -> ComponentList {
    ComponentList::new()
        .append_default::<DynamicConfigClient>()
        .append_default::<DynamicConfigClientUpdater>()
}
