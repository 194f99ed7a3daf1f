//! Producers of transactions, and pipelines, on the mock cluster, which answers their calls and isolates nothing.

use mainspring_core::{Component, ComponentList};
use mainspring_kafka::{
    KafkaConsumerComponent, KafkaExactlyOnceComponent, KafkaTransactionalProducerComponent,
};
use mainspring_kafka_ffi::MockCluster;
use mainspring_testsuite::{TestService, TestServiceBuilder, conformance};

use crate::support::{with_brokers, with_secdist};

const PRODUCER: &str = KafkaTransactionalProducerComponent::DEFAULT_NAME;
const CONSUMER: &str = KafkaConsumerComponent::DEFAULT_NAME;

/// Nobody listens there.
const NOWHERE: &str = "127.0.0.1:1";

#[test]
fn a_producer_keeps_the_promises_of_every_component() {
    let others = with_secdist(ComponentList::minimal());
    conformance::check::<KafkaTransactionalProducerComponent>(
        &others,
        |builder| with_brokers(builder, NOWHERE, &[PRODUCER]),
        "{security_protocol: PLAINTEXT, transactional_id: orders}",
    );
}

#[test]
fn a_pipeline_keeps_the_promises_of_every_component() {
    let others = with_secdist(ComponentList::minimal())
        .append_default::<KafkaTransactionalProducerComponent>()
        .append_default::<KafkaConsumerComponent>();
    // Figures of its ends that come and go, such as those of connections that fail, would be taken for its own.
    let cluster = MockCluster::new(1).expect("it starts");
    let brokers = cluster.bootstrap_servers();
    conformance::check::<KafkaExactlyOnceComponent>(&others, |builder| with_ends(builder, &brokers), "{}");
}

fn with_ends(builder: TestServiceBuilder, brokers: &str) -> TestServiceBuilder {
    with_brokers(builder, brokers, &[PRODUCER, CONSUMER])
        .with_component(
            PRODUCER,
            "{security_protocol: PLAINTEXT, transactional_id: orders, statistics_interval: 0s}",
        )
        .with_component(CONSUMER, "{security_protocol: PLAINTEXT, group_id: g, topics: [t]}")
}

/// Why a pipeline does not start with a consumer that has these keys.
#[track_caller]
fn refusal(keys: &str) -> String {
    let list = with_secdist(ComponentList::minimal())
        .append_default::<KafkaTransactionalProducerComponent>()
        .append_default::<KafkaConsumerComponent>()
        .append_default::<KafkaExactlyOnceComponent>();
    let error = with_ends(TestService::new(list), NOWHERE)
        .with_component(
            CONSUMER,
            &format!("{{security_protocol: PLAINTEXT, group_id: g, topics: [t], {keys}}}"),
        )
        .with_component(KafkaExactlyOnceComponent::DEFAULT_NAME, "{}")
        .try_start()
        .expect_err("such a pipeline would not be exactly once");
    error.to_string()
}

#[test]
fn a_pipeline_reads_only_what_is_committed_and_nobody_else_commits() {
    assert_eq!(
        refusal("rd_kafka_custom_options: {isolation.level: read_uncommitted}"),
        "cannot start `kafka-exactly-once`: `kafka-consumer` has to read what is committed only \
         (`isolation.level: read_committed`), found `read_uncommitted`"
    );
    assert_eq!(
        refusal("commit_policy: after_batch"),
        "cannot start `kafka-exactly-once`: `kafka-consumer` must leave commits to the transactions of the pipeline \
         (`commit_policy: manual`)"
    );
    assert_eq!(
        refusal("concurrency: {mode: key, max: 4}"),
        "cannot start `kafka-exactly-once`: `kafka-consumer` must work on one batch at a time, without `concurrency`: a \
         transaction commits all messages before its end"
    );
}
