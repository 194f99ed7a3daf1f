//! The handles against librdkafka's mock cluster: hazards of the library, each with its guard.

#![expect(clippy::unwrap_used, reason = "a test helper that fails should fail its test")]

mod batches;
mod consuming;
mod producing;
mod support;
mod teardown;
mod transactions;
