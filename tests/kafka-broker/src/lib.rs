//! Starts the real Apache Kafka for tests: one broker shared by a test binary, brokers of one's own, clusters of three.
//!
//! The broker is a set of jars from Maven Central, started as a plain `java` process; no container engine is needed.
//! The first use prepares everything (about 20 s, see [`setup`]); afterwards a broker answers one to three seconds after
//! its start. Every call blocks: call it from a test thread, and from asynchronous tests before the interesting part.
//!
//! ```no_run
//! use std::time::Duration;
//! use mainspring_kafka_broker::{shared, unique_name};
//!
//! # fn main() -> Result<(), mainspring_kafka_broker::BrokerError> {
//! let broker = shared();
//! let topic = unique_name("orders");
//! broker.create_topic(&topic, 2)?;
//! broker.write(&topic, "key", "payload")?;
//! assert_eq!(broker.read_all(&topic, 1, Duration::from_secs(10))?[0].payload, b"payload");
//! # Ok(())
//! # }
//! ```
//!
//! Nothing outlives the test process, however it ends: see [`session`](self) in the sources for how. A broker's directory
//! with its log is kept, and its path printed, when a test that uses it panics or `MAINSPRING_KEEP_BROKER=1` is set.

mod broker;
mod client;
mod error;
mod node;
mod session;
mod settings;
mod setup;
mod wait;

pub use broker::{Broker, BrokerOptions, Cluster, shared, unique_name};
pub use client::{Client, ReadRecord};
pub use error::BrokerError;
pub use setup::{Installation, setup};

#[cfg(test)]
mod tests;
