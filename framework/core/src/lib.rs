//! Components, their registry and their life cycle.
//!
//! A service is a list of [`Component`]s. Each is declared in the configuration under its name and built by its
//! [`Component::load`], which asks for the others it needs through [`ComponentContext::find`]. The order in which
//! components load is what those questions say; they stop in the reverse order. Nothing is wired by hand and
//! nothing is global: several services run side by side in one process.
//!
//! The life of a service:
//!
//! 1. [`Service::new`] checks the whole configuration against the [`ComponentList`]. A wrong one costs
//!    milliseconds and starts nothing.
//! 2. [`Service::run`] starts the task processors and loads all components at once, each waiting only for those
//!    it asks for. A failed load cancels the rest and unloads what was loaded.
//! 3. [`Component::on_all_components_loaded`] runs in dependency order; then the service is ready.
//! 4. A stop, from a signal or from [`ServiceHandle::stop`], takes readiness down, waits out
//!    `graceful_shutdown_interval`, then stops components in reverse dependency order, each under a deadline.
//!
//! The crate knows nothing of files, HTTP or Kafka.

mod component;
mod dependencies;
pub mod dynamic;

mod context;
mod health;
mod list;

mod plan;

mod handle;
mod service;

mod connections;
mod erased;
mod error;
mod events;
mod graph;
mod lifecycle;
mod logging;
mod registry;
mod statistics;

#[cfg(test)]
mod tests;

pub use component::{Component, ConfigMode, NoConfig, ServiceOutline};
pub use context::ComponentContext;
pub use dependencies::{ComponentGraph, Dependencies};
pub use error::{LoadError, LoadErrorKind, ServiceError, ServiceErrorKind};
pub use handle::{ComponentStatus, Phase, ReloadRequests, ServiceHandle};
pub use health::Health;
pub use list::ComponentList;
pub use logging::{LOG_LEVELS, LogLevels, LoggingComponent, LoggingConfig};
pub use plan::{ManagerConfig, TaskProcessorConfig};
pub use service::{Service, ServiceOptions, StopReport};
