//! The consumer component inside a whole service, on librdkafka's mock cluster.

#![expect(clippy::unwrap_used, reason = "a test helper that fails should fail its test")]

mod support;

mod batches;
mod commits;
mod failures;
mod groups;
mod idle;
mod stopping;
