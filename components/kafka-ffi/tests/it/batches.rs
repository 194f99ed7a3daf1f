//! Batches out, and what is told of each of their records.

use std::task::Poll;

use bytes::Bytes;
use mainspring_kafka_ffi::{
    DeliveryError, KafkaCode, MockCluster, Outcomes, Persistence, Producer, Record, batch,
};

use crate::support::{cluster, deliver, producer, serving};

async fn outcomes(producer: &Producer, delivery: mainspring_kafka_ffi::BatchDelivery) -> Outcomes {
    serving(producer, &mut |_| (), std::future::poll_fn(|cx| delivery.poll_outcomes(cx))).await
}

/// A producer that knows the partitions of its topic.
async fn warm(cluster: &MockCluster, properties: &[(&str, &str)]) -> Producer {
    let producer = producer(cluster, properties);
    deliver(&producer, "t", Record::new("warm-up").with_partition(0)).await.unwrap();
    producer
}

#[tokio::test]
async fn every_kind_of_record_of_a_batch_arrives_in_order() {
    let cluster = cluster("t", 1);
    let producer = warm(&cluster, &[("linger.ms", "1")]).await;
    let topic = producer.topic("t").unwrap();
    let mut records: Vec<_> = (0..1000)
        .map(|number| {
            let mut record = Record::new(Bytes::from(number.to_string())).with_partition(0);
            match number % 5 {
                1 => record.partition = None,
                2 => record.key = Some(Bytes::from_static(b"key")),
                3 => record.headers = vec![("name".to_owned(), None)],
                4 => record.timestamp_ms = Some(1_700_000_000_000),
                _ => {}
            }
            record
        })
        .collect();
    let (mut sender, delivery) = batch(records.len());
    producer.send_run(&topic, &mut records, &mut sender, &mut |_, code| panic!("{code}")).unwrap();
    assert!(records.is_empty() && sender.is_complete());
    let outcomes = outcomes(&producer, delivery).await;
    for idx in 0..1000 {
        let delivered = outcomes.get(idx).unwrap();
        assert_eq!(delivered.offset, i64::try_from(idx + 1).ok());
        assert_eq!(delivered.persistence, Persistence::Persisted);
    }
}

#[tokio::test]
async fn what_finds_no_space_stays_in_order_and_goes_later() {
    let cluster = cluster("t", 1);
    let producer = warm(&cluster, &[("queue.buffering.max.messages", "100"), ("linger.ms", "0")]).await;
    let topic = producer.topic("t").unwrap();
    let mut records: Vec<_> =
        (0..250).map(|number| Record::new(Bytes::from(number.to_string())).with_key("key")).collect();
    let originals = records.clone();
    let (mut sender, delivery) = batch(records.len());
    let mut refused = |_: Option<i32>, code: KafkaCode| panic!("{code}");
    assert_eq!(
        producer.send_run(&topic, &mut records, &mut sender, &mut refused),
        Err(KafkaCode::QUEUE_FULL)
    );
    assert_eq!(sender.n_sent(), 100);
    assert_eq!(records, originals[100..], "the payloads came back");
    serving(
        &producer,
        &mut |_| (),
        std::future::poll_fn(|cx| {
            if producer.send_run(&topic, &mut records, &mut sender, &mut refused).is_ok() {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }),
    )
    .await;
    let outcomes = outcomes(&producer, delivery).await;
    let offsets: Vec<_> = (0..250).map(|idx| outcomes.get(idx).unwrap().offset.unwrap()).collect();
    assert_eq!(offsets, (1..=250).collect::<Vec<_>>());
}

/// With a partition of its own for each message, `rd_kafka_produce_batch` would neither destroy nor count off those whose
/// partition does not exist: the last assertion would never come true, nor would a flush.
#[tokio::test]
async fn records_that_are_refused_do_not_stop_the_others_and_leave_nothing_behind() {
    let cluster = cluster("t", 2);
    let producer = warm(&cluster, &[("message.max.bytes", "1000"), ("linger.ms", "0")]).await;
    let topic = producer.topic("t").unwrap();
    let mut records = vec![
        Record::new("0"),
        Record::new(vec![0; 1001]),
        Record::new("2").with_partition(1),
        Record::new("3").with_partition(7),
        Record::new("4").with_partition(0),
    ];
    let (mut sender, delivery) = batch(records.len());
    let mut refused = Vec::new();
    let mut tell = |partition: Option<i32>, code| refused.push((partition, code));
    producer.send_run(&topic, &mut records, &mut sender, &mut tell).unwrap();
    assert_eq!(refused, [(None, KafkaCode::MSG_SIZE_TOO_LARGE), (Some(7), KafkaCode::UNKNOWN_PARTITION)]);
    let outcomes = outcomes(&producer, delivery).await;
    for (idx, (partition, code)) in [(1, refused[0]), (3, refused[1])] {
        let persistence = Persistence::NotPersisted;
        assert_eq!(outcomes.get(idx), Err(DeliveryError { code, persistence, partition }));
    }
    for idx in [0, 2, 4] {
        outcomes.get(idx).unwrap();
    }
    assert_eq!(producer.in_flight(), 0);
}

#[tokio::test]
async fn destroying_the_producer_resolves_a_batch_in_flight() {
    let cluster = cluster("t", 1);
    let producer = warm(&cluster, &[("linger.ms", "0"), ("delivery.timeout.ms", "120000")]).await;
    cluster.set_broker_down(1).unwrap();
    let topic = producer.topic("t").unwrap();
    let mut records: Vec<_> = (0..100).map(|_| Record::new("a")).collect();
    let (mut sender, delivery) = batch(records.len());
    producer.send_run(&topic, &mut records, &mut sender, &mut |_, code| panic!("{code}")).unwrap();
    drop(topic);
    let destroyed = producer.destroy();
    let resolved = std::future::poll_fn(|cx| delivery.poll_outcomes(cx));
    let outcomes = crate::support::within("outcomes", resolved).await;
    assert!((0..100).all(|idx| outcomes.get(idx).is_err()));
    crate::support::within("end of the client", destroyed).await;
}
