//! What producer and consumer share: connection settings, librdkafka's events and statistics.

mod certificates;
mod changes;
pub(crate) mod check;
mod combinations;
mod config;
mod connection;
mod events;
mod pod_name;
mod recent;
mod state;
mod statistics;

pub(crate) use crate::client::changes::{Change, ConnectionChanges};
pub(crate) use crate::client::config::TypedOption;
pub use crate::client::config::{CommonConfig, SaslMechanism, SecurityProtocol};
pub(crate) use crate::client::connection::{Connection, Credentials};
pub(crate) use crate::client::events::{is_logged_at, log_at, options as log_options};
pub(crate) use crate::client::pod_name::with_pod_name;
pub(crate) use crate::client::recent::RecentAverage;
pub(crate) use crate::client::state::{ClientState, Role, broker_of};
pub(crate) use crate::client::statistics::Statistics;

/// librdkafka's version and what is built into it.
pub(crate) fn built_with() -> String {
    let features = mainspring_kafka_ffi::builtin_features().join(", ");
    format!("librdkafka {} ({features})", mainspring_kafka_ffi::version())
}
