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
//! # fn main() -> mainspring_kafka_broker::TestResult {
//! let broker = shared();
//! let topic = unique_name("orders");
//! broker.create_topic(&topic, 2)?;
//! broker.write(&topic, "key", "payload")?;
//! assert_eq!(broker.read_all(&topic, 1, Duration::from_secs(10))?[0].payload, b"payload");
//! # Ok(())
//! # }
//! ```
//!
//! Nothing outlives the test process, however it ends: a guardian process sees to that, see `session.rs`. The brokers'
//! directories with their logs are kept, and their place and the end of the logs printed, when a test that uses one panics
//! or fails by a [`TestResult`], when a broker does not start or end as told, and when `MAINSPRING_KEEP_BROKER=1` is set.
//! `MAINSPRING_CACHE_DIR` moves the prepared files out of the workspace's `.cache`.
//!
//! `cargo run -p mainspring-kafka-broker -- orders:3` starts the same broker for trying things out by hand.

mod broker;
mod certificates;
mod client;
mod error;
mod node;
mod session;
mod settings;
mod setup;
mod wait;

pub use broker::{Broker, BrokerOptions, Cluster, TlsFiles, shared, unique_name};
pub use certificates::{Authority, Identity};
pub use client::{Client, ReadRecord};
pub use error::BrokerError;
pub use session::{TestFailure, TestResult};
pub use setup::{Installation, setup};
