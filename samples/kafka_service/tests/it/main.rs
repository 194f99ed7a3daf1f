//! The real binary with its real configurations: on the Kafka inside the process, and on a real one that is shared,
//! killed and brought back.

mod configuration;
mod connect;
mod embedded;
mod groups;
mod outages;
mod readme;
mod real;
mod stage;
mod stopping;

const BINARY: &str = env!("CARGO_BIN_EXE_kafka_service");
