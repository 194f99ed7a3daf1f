//! The consumer component inside a whole service, on librdkafka's mock cluster.

#![expect(clippy::unwrap_used, reason = "a test helper that fails should fail its test")]

mod support;

use mainspring_core::ComponentList;
use mainspring_kafka::KafkaConsumerComponent;
use mainspring_testsuite::conformance;

use crate::support::{with_brokers, with_secdist};

mod batches;
mod callbacks;
mod commits;
mod control;
mod failures;
mod groups;
mod idle;
mod kept;
mod lanes;
mod listener;
mod policies;
mod stopping;
mod tuning;

#[test]
fn it_keeps_the_promises_of_every_component() {
    let others = with_secdist(ComponentList::minimal());
    // Nobody listens there.
    conformance::check::<KafkaConsumerComponent>(
        &others,
        |builder| with_brokers(builder, "127.0.0.1:1", &["kafka-consumer"]),
        "{security_protocol: PLAINTEXT, group_id: g, topics: [t]}",
    );
}
