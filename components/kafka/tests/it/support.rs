//! Services around a mock cluster, and a plain reader of what they have sent.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use mainspring_core::{Component, ComponentList};
use mainspring_kafka::{KafkaProducerComponent, Producer};
use mainspring_kafka_ffi::{ClientConfig, Consumer, Message, MockCluster, TopicPartition};
use mainspring_secdist::{DefaultSecdistProvider, SecdistComponent};
use mainspring_testsuite::{DEADLINE, TestService, TestServiceBuilder};

pub(crate) fn with_secdist(components: ComponentList) -> ComponentList {
    components.append_default::<DefaultSecdistProvider>().append_default::<SecdistComponent>()
}

/// Tells the Kafka components of these names where the brokers are.
pub(crate) fn with_brokers(
    builder: TestServiceBuilder,
    brokers: &str,
    components: &[&str],
) -> TestServiceBuilder {
    let settings: Vec<_> =
        components.iter().map(|name| format!("\"{name}\": {{\"brokers\": \"{brokers}\"}}")).collect();
    builder
        .with_file("secdist.json", format!("{{\"kafka_settings\": {{{}}}}}", settings.join(", ")))
        .with_component(DefaultSecdistProvider::DEFAULT_NAME, "config: secdist.json")
}

/// A service with one producer of these options.
pub(crate) fn producing(cluster: &MockCluster, options: &str) -> TestService {
    producing_to(&cluster.bootstrap_servers(), options)
}

pub(crate) fn producing_to(brokers: &str, options: &str) -> TestService {
    let list = with_secdist(ComponentList::minimal()).append_default::<KafkaProducerComponent>();
    let section = format!("security_protocol: PLAINTEXT\n{options}");
    with_brokers(TestService::new(list), brokers, &["kafka-producer"])
        .with_component("kafka-producer", &section)
        .start()
}

pub(crate) fn producer(service: &TestService) -> Producer {
    let component: Arc<KafkaProducerComponent> = service.component("kafka-producer");
    component.producer()
}

/// Reads `count` messages of one partition from its start.
pub(crate) async fn read(cluster: &MockCluster, topic: &str, partition: i32, count: usize) -> Vec<Message> {
    let mut config = ClientConfig::new();
    let brokers = cluster.bootstrap_servers();
    for (key, value) in [
        ("bootstrap.servers", brokers.as_str()),
        ("group.id", "reader"),
        ("enable.auto.commit", "false"),
        ("auto.offset.reset", "earliest"),
        ("fetch.wait.max.ms", "10"),
    ] {
        config.set(key, value).expect("a property of librdkafka");
    }
    let consumer = Consumer::new(config).expect("properties that fit together");
    consumer.assign(&[TopicPartition::new(topic, partition)]).expect("a live consumer takes it");
    let (mut messages, mut errors) = (Vec::new(), Vec::new());
    let reading = poll_fn(|cx| {
        while consumer.poll_event(cx).is_ready() {}
        while consumer.poll_batch(cx, 500, &mut messages, &mut errors).is_ready() {}
        if messages.len() < count { Poll::Pending } else { Poll::Ready(()) }
    });
    tokio::time::timeout(DEADLINE, reading).await.expect("the messages are there");
    messages
}
