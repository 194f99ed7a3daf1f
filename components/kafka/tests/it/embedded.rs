//! The embedded cluster, found by the clients of its service.

use mainspring_core::ComponentList;
use mainspring_kafka::{KafkaConsumerComponent, KafkaEmbeddedComponent, KafkaProducerComponent, Record};
use mainspring_testsuite::{TestService, conformance};

use crate::support;

#[test]
fn a_producer_of_the_same_service_needs_no_secdist() {
    let list = ComponentList::minimal()
        .append_default::<KafkaEmbeddedComponent>()
        .append_default::<KafkaProducerComponent>();
    let service = TestService::new(list)
        .with_component("kafka-embedded", "topics: {orders: 3}")
        .with_component("kafka-producer", "security_protocol: PLAINTEXT")
        .start();
    let producer = support::producer(&service);
    let record = Record::to("orders").with_payload("paid").with_partition(2);
    let delivery = service.block_on(producer.send(record)).unwrap();
    assert_eq!((delivery.partition, delivery.offset), (2, Some(0)));
    let record = Record::to("orders").with_payload("paid").with_partition(3);
    let error = service.block_on(producer.send(record)).unwrap_err();
    assert_eq!(error.to_string(), "send to `orders`[3] failed: the partition is unknown");
    let log = service.log();
    let loud = "Embedded Kafka is running: nothing it stores is durable";
    assert_eq!(log.iter().filter(|line| *line == loud).count(), 1, "{log:#?}");
}

#[test]
fn its_clients_get_no_properties_that_librdkafka_warns_about() {
    let list = ComponentList::minimal()
        .append_default::<KafkaEmbeddedComponent>()
        .append_default::<KafkaProducerComponent>()
        .append_default::<KafkaConsumerComponent>();
    let quiet = "security_protocol: PLAINTEXT\ndebug_info_log_level: none\n";
    let service = TestService::new(list)
        .with_component("kafka-producer", quiet)
        .with_component("kafka-consumer", &format!("{quiet}group_id: g\ntopics: [orders]"))
        .start();
    let record = Record::to("orders").with_payload("paid");
    service.block_on(support::producer(&service).send(record)).unwrap();
    let log = service.log();
    assert!(log.iter().all(|line| line != "Line of librdkafka's log"), "{log:#?}");
}

#[test]
fn its_bounds_are_checked() {
    let check = |section: &str| {
        let list = ComponentList::minimal().append_default::<KafkaEmbeddedComponent>();
        TestService::new(list).with_component("kafka-embedded", section).check().map(drop)
    };
    check("{brokers: 1, topics: {orders: 1}}").unwrap();
    check("{brokers: 16, topics: {orders: 1024}}").unwrap();
    let problems = check("{brokers: 0, topics: {orders: 0, payments: 1025}}").unwrap_err();
    assert_eq!(problems.len(), 3, "{problems}");
    assert_eq!(check("{brokers: 17}").unwrap_err().len(), 1);
}

#[test]
fn it_keeps_the_promises_of_every_component() {
    conformance::check::<KafkaEmbeddedComponent>(
        &ComponentList::minimal(),
        |builder| builder,
        "{brokers: 2}",
    );
}

#[test]
fn the_configuration_in_the_readme_is_right() {
    let readme = include_str!("../../README.md");
    let yaml = readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
    let list = support::with_secdist(ComponentList::minimal())
        .append_default::<KafkaProducerComponent>()
        .append_default::<KafkaConsumerComponent>();
    let checked = TestService::new(list).with_config(yaml.expect("the readme shows one")).check();
    assert!(checked.is_ok(), "{checked:?}");
}
