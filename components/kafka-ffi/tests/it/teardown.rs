//! The end of clients: never blocking, never hanging, nobody left waiting.

use bytes::Bytes;
use mainspring_kafka_ffi::{Consumer, ConsumerEvent, KafkaCode, Record};

use crate::support::{
    DEADLINE, cluster, config, consumer, deliver, fill, producer, read, serve_until, within,
};
use crate::support::{Seen, close};

const KIP_848: &[(&str, &str)] = &[("group.protocol", "consumer")];

#[tokio::test]
async fn a_destroyed_producer_fails_what_it_had_not_sent() {
    let cluster = cluster("t", 1);
    let producer = producer(&cluster, &[]);
    deliver(&producer, "t", Record::new("warm-up")).await.unwrap();
    cluster.set_broker_down(1).unwrap();
    let topic = producer.topic("t").unwrap();
    let deliveries: Vec<_> = (0..100).map(|_| producer.send(&topic, Record::new("a")).unwrap()).collect();
    drop(topic);
    let destroyed = producer.destroy();
    for delivery in deliveries {
        let failed = within("the failure", delivery).await.unwrap_err();
        assert!([KafkaCode::PURGE_QUEUE, KafkaCode::PURGE_INFLIGHT].contains(&failed.code), "{failed:?}");
    }
    within("the end", destroyed).await;
}

#[tokio::test]
async fn a_topic_still_held_delays_the_end_of_its_producer() {
    let cluster = cluster("t", 1);
    let producer = producer(&cluster, &[]);
    let topic = producer.topic("t").unwrap();
    let destroyed = producer.destroy();
    assert!(!destroyed.wait(std::time::Duration::from_millis(200)));
    drop(topic);
    within("the end", destroyed).await;
}

#[tokio::test]
async fn a_message_still_held_delays_the_end_and_stays_readable() {
    let cluster = cluster("t", 1);
    fill(&cluster, "t", 1, 0..10).await;
    let consumer = consumer(&cluster, "g", KIP_848);
    consumer.subscribe(&["t"]).unwrap();
    let mut messages = read(&consumer, 10).await.messages;
    close(&consumer).await;
    let destroyed = consumer.destroy();
    let kept = messages.swap_remove(3);
    drop(messages);
    assert!(!destroyed.wait(std::time::Duration::from_millis(200)));
    assert_eq!(kept.payload(), Some(&b"3"[..]));

    let shared: Bytes = kept.payload_bytes().unwrap();
    drop(kept);
    assert!(!destroyed.wait(std::time::Duration::from_millis(200)));
    assert_eq!(shared, &b"3"[..]);
    drop(shared);
    within("the end", destroyed).await;
}

#[tokio::test]
async fn a_consumer_dropped_without_closing_ends_as_well() {
    let cluster = cluster("t", 1);
    fill(&cluster, "t", 1, 0..10).await;
    let consumer = consumer(&cluster, "g", KIP_848);
    consumer.subscribe(&["t"]).unwrap();
    drop(read(&consumer, 1).await);
    within("the end", consumer.destroy()).await;
}

#[tokio::test]
async fn a_consumer_destroyed_with_an_unanswered_rebalance_ends_as_well() {
    let cluster = cluster("t", 1);
    let consumer = consumer(&cluster, "g", KIP_848);
    consumer.subscribe(&["t"]).unwrap();
    let event = std::future::poll_fn(|cx| consumer.poll_event(cx));
    assert!(matches!(within("the assignment", event).await, ConsumerEvent::Assign(_)));
    within("the end", consumer.destroy()).await;
}

/// Takes a revocation of everything and leaves it unanswered.
async fn check_ends_with_an_unanswered_revocation(protocol: &[(&str, &str)]) {
    let cluster = cluster("t", 2);
    fill(&cluster, "t", 2, 0..10).await;
    let consumer = consumer(&cluster, "g", protocol);
    consumer.subscribe(&["t"]).unwrap();
    drop(read(&consumer, 10).await);
    consumer.unsubscribe().unwrap();
    let revoked = std::future::poll_fn(|cx| {
        let event = std::task::ready!(consumer.poll_event(cx));
        if matches!(event, ConsumerEvent::Revoke { .. }) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    });
    within("the revocation", revoked).await;
    within("the end", consumer.destroy()).await;
}

#[tokio::test]
async fn a_consumer_destroyed_with_an_unanswered_revocation_ends_under_the_new_protocol() {
    check_ends_with_an_unanswered_revocation(KIP_848).await;
}

#[tokio::test]
async fn a_consumer_destroyed_with_an_unanswered_revocation_ends_under_the_cooperative_protocol() {
    check_ends_with_an_unanswered_revocation(&[
        ("partition.assignment.strategy", "cooperative-sticky"),
        ("session.timeout.ms", "6000"),
        ("heartbeat.interval.ms", "100"),
    ])
    .await;
}

#[tokio::test]
async fn a_consumer_without_a_broker_closes_and_ends() {
    let mut config = config(&cluster("t", 1), &[("group.id", "g")]);
    config.set("bootstrap.servers", "127.0.0.1:1").unwrap();
    let consumer = Consumer::new(config).unwrap();
    consumer.subscribe(&["t"]).unwrap();
    close(&consumer).await;
    within("the end", consumer.destroy()).await;
}

#[tokio::test]
async fn a_consumer_whose_brokers_died_closes_and_ends() {
    let cluster = cluster("t", 2);
    fill(&cluster, "t", 2, 0..10).await;
    let consumer = consumer(&cluster, "g", KIP_848);
    consumer.subscribe(&["t"]).unwrap();
    drop(read(&consumer, 10).await);
    cluster.set_broker_down(1).unwrap();
    close(&consumer).await;
    within("the end", consumer.destroy()).await;
}

#[tokio::test]
async fn a_commit_under_way_does_not_keep_a_close_from_ending() {
    let cluster = cluster("t", 1);
    fill(&cluster, "t", 1, 0..10).await;
    let consumer = consumer(&cluster, "g", KIP_848);
    consumer.subscribe(&["t"]).unwrap();
    let mut seen = Seen::default();
    serve_until("messages", &mut [(&consumer, &mut seen)], |members| members[0].1.messages.len() == 10).await;
    for tag in 0..10 {
        let next = mainspring_kafka_ffi::TopicPartition::new("t", 0).with_offset(10);
        consumer.commit_async(&[next], tag).unwrap();
    }
    consumer.start_close().unwrap();
    serve_until("close", &mut [(&consumer, &mut seen)], |members| {
        members[0].1.events.contains(&ConsumerEvent::Closed)
    })
    .await;
    let answered = seen.events.iter().filter(|e| matches!(e, ConsumerEvent::Committed { .. })).count();
    assert_eq!(answered, 10);
    assert!(consumer.start_close().is_err(), "a second close is refused");
    drop(seen);
    within("the end", consumer.destroy()).await;
}

#[test]
fn the_end_can_be_waited_for_without_a_runtime() {
    let cluster = cluster("t", 1);
    assert!(producer(&cluster, &[]).destroy().wait(DEADLINE));
    assert!(cluster.destroy().wait(DEADLINE));
}
