//! Clusters, clients and waiting for the tests. Nothing waits without a deadline.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use mainspring_kafka_ffi::{
    ClientConfig, Consumer, ConsumerEvent, Delivered, DeliveryError, Message, MessageError, MockCluster,
    Producer, ProducerEvent, RebalanceProtocol, Record,
};

/// Generous: under Valgrind everything takes fifty times as long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Fails the test when `work` is not done by the deadline.
pub(crate) async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work).await.unwrap_or_else(|_| panic!("no {what} within {DEADLINE:?}"))
}

/// Waits for a condition that nothing announces.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    within(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

pub(crate) fn cluster(topic: &str, partitions: i32) -> MockCluster {
    let cluster = MockCluster::new(1).unwrap();
    cluster.set_initial_rebalance_delay(Duration::ZERO);
    cluster.create_topic(topic, partitions, 1).unwrap();
    cluster
}

pub(crate) fn config(cluster: &MockCluster, properties: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &cluster.bootstrap_servers()).unwrap();
    for (key, value) in properties {
        config.set(key, value).unwrap();
    }
    config
}

pub(crate) fn producer(cluster: &MockCluster, properties: &[(&str, &str)]) -> Producer {
    Producer::new(config(cluster, properties)).unwrap()
}

/// A consumer that starts at the beginning and commits only when told.
pub(crate) fn consumer(cluster: &MockCluster, group: &str, properties: &[(&str, &str)]) -> Consumer {
    let mut config = config(
        cluster,
        &[
            ("group.id", group),
            ("auto.offset.reset", "earliest"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("fetch.wait.max.ms", "10"),
        ],
    );
    for (key, value) in properties {
        config.set(key, value).unwrap();
    }
    Consumer::new(config).unwrap()
}

/// Runs `work` while serving the events of its producer, on one task and by wake-ups alone.
pub(crate) async fn serving<T>(
    producer: &Producer,
    sink: &mut dyn FnMut(ProducerEvent<'_>),
    work: impl Future<Output = T>,
) -> T {
    let mut work = pin!(work);
    let driven = poll_fn(|cx| {
        while producer.poll_events(cx, sink).is_ready() {}
        work.as_mut().poll(cx)
    });
    within("end of the work", driven).await
}

/// Sends one record and waits for its fate.
pub(crate) async fn deliver(
    producer: &Producer,
    topic: &str,
    record: Record,
) -> Result<Delivered, DeliveryError> {
    let topic = producer.topic(topic).unwrap();
    let delivery = producer.send(&topic, record).unwrap();
    serving(producer, &mut |_| (), delivery).await
}

/// Puts `count` records with their number as payload into the topic, over all partitions in turn.
pub(crate) async fn fill(cluster: &MockCluster, topic: &str, partitions: i32, numbers: std::ops::Range<i32>) {
    let producer = producer(cluster, &[("linger.ms", "1")]);
    let topic = producer.topic(topic).unwrap();
    let deliveries: Vec<_> = numbers
        .map(|number| {
            let record = Record::new(Bytes::from(number.to_string())).with_partition(number % partitions);
            producer.send(&topic, record).unwrap()
        })
        .collect();
    serving(&producer, &mut |_| (), async {
        for delivery in deliveries {
            delivery.await.unwrap();
        }
    })
    .await;
}

/// Answers a rebalance the way its protocol asks for.
pub(crate) fn answer(consumer: &Consumer, event: &ConsumerEvent) {
    if !matches!(event, ConsumerEvent::Assign(_) | ConsumerEvent::Revoke { .. }) {
        return;
    }
    let incremental = consumer.rebalance_protocol() == RebalanceProtocol::Cooperative;
    match event {
        ConsumerEvent::Assign(partitions) if incremental => consumer.incremental_assign(partitions).unwrap(),
        ConsumerEvent::Assign(partitions) => consumer.assign(partitions).unwrap(),
        ConsumerEvent::Revoke { partitions, lost: false } if incremental => {
            consumer.incremental_unassign(partitions).unwrap();
        }
        ConsumerEvent::Revoke { .. } => consumer.unassign().unwrap(),
        _ => {}
    }
}

/// What arrived at a consumer, in order.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) events: Vec<ConsumerEvent>,
    pub(crate) messages: Vec<Message>,
    pub(crate) errors: Vec<MessageError>,
}

impl Seen {
    pub(crate) fn numbers(&self) -> Vec<i32> {
        self.messages.iter().map(number).collect()
    }

    pub(crate) fn sorted_numbers(&self) -> Vec<i32> {
        let mut numbers = self.numbers();
        numbers.sort_unstable();
        numbers
    }
}

pub(crate) fn number(message: &Message) -> i32 {
    std::str::from_utf8(message.payload().unwrap()).unwrap().parse().unwrap()
}

/// Serves several consumers on one task, by wake-ups alone, until `done`.
pub(crate) async fn serve_until(
    what: &str,
    members: &mut [(&Consumer, &mut Seen)],
    mut done: impl FnMut(&[(&Consumer, &mut Seen)]) -> bool,
) {
    // A turn takes at most one event of each member, so that neither events nor messages starve the other, and lets the
    // deadline have its say even when there is always more.
    let serve = poll_fn(|cx| {
        let mut idle = true;
        for (consumer, seen) in &mut *members {
            if let Poll::Ready(event) = consumer.poll_event(cx) {
                answer(consumer, &event);
                seen.events.push(event);
                idle = false;
            }
            idle &= consumer.poll_batch(cx, 500, &mut seen.messages, &mut seen.errors).is_pending();
        }
        if done(members) {
            return Poll::Ready(());
        }
        if !idle {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    });
    within(what, serve).await;
}

/// The same for one consumer.
pub(crate) async fn read_until(consumer: &Consumer, what: &str, mut done: impl FnMut(&Seen) -> bool) -> Seen {
    let mut seen = Seen::default();
    serve_until(what, &mut [(consumer, &mut seen)], |members| done(members[0].1)).await;
    seen
}

/// Reads `count` messages.
pub(crate) async fn read(consumer: &Consumer, count: usize) -> Seen {
    read_until(consumer, "messages", |seen| seen.messages.len() >= count).await
}

/// Leaves the group and waits until that is done.
pub(crate) async fn close(consumer: &Consumer) -> Seen {
    consumer.start_close().unwrap();
    read_until(consumer, "close", |seen| seen.events.contains(&ConsumerEvent::Closed)).await
}
