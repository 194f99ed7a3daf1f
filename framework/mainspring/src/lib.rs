#![doc = include_str!("../docs/guide.md")]
//!
//! # This crate
//!
//! The facade: one dependency for a service. It re-exports the framework and its components, and adds what only
//! a whole process needs: the command line, signals and exit codes ([`daemon_main`]), and the lists of
//! components that most services begin with ([`CommonComponents`]).

mod daemon;

mod arguments;
mod exit;
mod last_words;
mod lists;
mod report;
mod signals;
mod surroundings;

#[cfg(test)]
mod tests;

pub use daemon::daemon_main;
pub use exit::Exit;
pub use lists::CommonComponents;
pub use mainspring_core::dynamic;
pub use mainspring_core::{
    Component, ComponentContext, ComponentGraph, ComponentList, ComponentStatus, ConfigMode, Dependencies,
    Health, LoadError, LoggingComponent, NoConfig, Phase, ReloadRequests, Service, ServiceError,
    ServiceErrorKind, ServiceHandle, ServiceOptions, ServiceOutline, StopReport,
};
pub use mainspring_engine::{Task, TaskError, TaskProcessor};
pub use surroundings::OsSurroundings;

pub use mainspring_config as config;
pub use mainspring_dynamic_config as dynamic_config;
#[cfg(feature = "kafka")]
pub use mainspring_kafka as kafka;
pub use mainspring_logging as logging;
pub use mainspring_metrics as metrics;
pub use mainspring_monitor as monitor;
pub use mainspring_secdist as secdist;
pub use mainspring_server as server;

/// What a service's source files usually need.
pub mod prelude {
    pub use crate::config::Violation;
    pub use crate::{
        CommonComponents, Component, ComponentContext, ComponentList, ConfigMode, Dependencies, Health,
        LoadError, NoConfig, ServiceOutline, daemon_main,
    };
}

/// The code blocks of the repository's README, which use Kafka.
#[cfg(all(doctest, feature = "kafka"))]
#[doc = include_str!("../../../README.md")]
struct Readme;
