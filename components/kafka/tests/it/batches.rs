//! Batches of the producer component: one answer for many records.

use std::error::Error;
use std::time::Duration;

use mainspring_kafka::{Record, SendError};
use mainspring_kafka_ffi::MockCluster;
use tokio::time::timeout;

use crate::support::{producer, producing, producing_to, read};

fn cluster(partitions: i32) -> MockCluster {
    let cluster = MockCluster::new(1).expect("a thread and a port are left");
    for topic in ["orders", "payments"] {
        cluster.create_topic(topic, partitions, 1).expect("the topic is new");
    }
    cluster
}

#[test]
fn a_batch_says_of_each_record_where_it_is() {
    let cluster = cluster(2);
    let service = producing(&cluster, "queue_buffering_max: 0s");
    let producer = producer(&service);
    let deliveries = service.block_on(async {
        let records: Vec<_> = (0..300)
            .map(|number| {
                let topic = if number < 200 { "orders" } else { "payments" };
                Record::to(topic).with_partition(number % 2).with_payload(number.to_string())
            })
            .collect();
        producer.send_batch(records).await.unwrap()
    });
    assert_eq!(deliveries.len(), 300);
    for (number, delivery) in deliveries.iter().enumerate() {
        let (topic, first) = if number < 200 { ("orders", 0) } else { ("payments", 200) };
        assert_eq!(&*delivery.topic, topic);
        assert_eq!(delivery.partition, i32::from(number % 2 == 1));
        assert_eq!(delivery.offset, i64::try_from((number - first) / 2).ok());
        assert!(delivery.timestamp.is_some());
    }
    assert_eq!(deliveries.get(299).unwrap().offset, Some(49));
    assert_eq!(deliveries.get(300), None);
    assert_eq!(producer.in_flight(), 0);
    let metrics = service.metrics();
    for sent in ["messaging_destination_name=\"orders\"", "messaging_destination_name=\"payments\""] {
        let of_topic =
            |line: &&str| line.starts_with("messaging_client_sent_messages_total") && line.contains(sent);
        let line = metrics.lines().find(of_topic).expect("the topic is counted");
        let count = if sent.contains("orders") { " 200" } else { " 100" };
        assert!(line.ends_with(count), "{line}");
    }
}

#[test]
fn an_empty_batch_is_done() {
    let service = producing_to("127.0.0.1:1", "");
    let deliveries = service.block_on(producer(&service).send_batch([])).unwrap();
    assert!(deliveries.is_empty());
}

#[test]
fn the_error_of_a_batch_names_those_that_failed_and_has_the_others() {
    let cluster = cluster(1);
    let service = producing(&cluster, "queue_buffering_max: 0s\nmessage_max_bytes: 1000");
    let producer = producer(&service);
    let error = service.block_on(async {
        producer.send(Record::to("orders").with_payload("first")).await.unwrap();
        let records = [
            Record::to("orders").with_payload("fits"),
            Record::to("orders").with_payload(vec![0; 1001]),
            Record::to("orders").with_payload("lost").with_partition(7),
            Record::to("").with_payload("nowhere"),
            Record::to("orders").with_payload("fits as well"),
        ];
        producer.send_batch(records).await.unwrap_err()
    });
    let failures: Vec<_> = error.failures().iter().map(|(idx, error)| format!("{idx}: {error}")).collect();
    assert_eq!(
        failures,
        [
            "1: send to `orders` failed: the record is too large",
            "2: send to `orders`[7] failed: the partition is unknown",
            "3: send to `` failed: Local: Invalid argument or configuration",
        ]
    );
    assert!(!error.is_retryable());
    assert_eq!(error.to_string(), "3 of 5 records of a batch were not delivered, the first of them record 1");
    assert_eq!(error.source().unwrap().to_string(), "send to `orders` failed: the record is too large");
    let offsets: Vec<_> =
        (0..5).map(|idx| error.deliveries().get(idx).map(|delivery| delivery.offset)).collect();
    assert_eq!(offsets, [Some(Some(1)), None, None, None, Some(Some(2))]);
    assert_eq!(producer.in_flight(), 0);
    let metrics = service.metrics();
    let errors: Vec<_> =
        metrics.lines().filter(|line| line.starts_with("kafka_producer_errors_total")).collect();
    assert_eq!(errors.len(), 3, "{errors:?}");
    assert!(errors.iter().all(|line| line.ends_with(" 1")), "each is counted once: {errors:?}");
}

#[test]
fn a_batch_that_overflows_the_queue_goes_in_order_as_space_comes() {
    let cluster = cluster(1);
    let keys = "queue_buffering_max_messages: 100\nqueue_buffering_max: 0s\ndelivery_timeout: 60s";
    let service = producing(&cluster, keys);
    let producer = producer(&service);
    service.block_on(async {
        cluster.set_broker_down(1).unwrap();
        let records = (0..1000).map(|number| Record::to("orders").with_payload(number.to_string()));
        let mut batch = producer.send_batch(records);
        // Later ones line up behind it.
        let after = producer.send_async(Record::to("orders").with_payload("after"));
        assert!(timeout(Duration::from_millis(20), batch.enqueued()).await.is_err());
        assert_eq!(producer.in_flight(), 100);
        cluster.set_broker_up(1).unwrap();
        batch.enqueued().await;
        let deliveries = batch.await.unwrap();
        assert!(deliveries.iter().map(|delivery| delivery.offset).eq((0..1000).map(Some)));
        assert_eq!(after.await.unwrap().offset, Some(1000));
        let messages = read(&cluster, "orders", 0, 1001).await;
        let last = std::str::from_utf8(messages[999].payload().unwrap()).unwrap();
        assert_eq!(last, "999");
        drop(messages);
    });
    let metrics = service.metrics();
    let met = "kafka_producer_queue_full_total{component=\"kafka-producer\",topic=\"orders\"} 901";
    assert!(metrics.contains(met), "{metrics}");
}

#[test]
fn what_finds_no_space_in_time_fails_as_such_and_the_rest_as_timed_out() {
    let service = producing_to(
        "127.0.0.1:1",
        "queue_buffering_max_messages: 10\nqueue_buffering_max: 0s\ndelivery_timeout: 200ms",
    );
    let producer = producer(&service);
    let records = (0..30).map(|_| Record::to("orders").with_payload("paid"));
    let error = service.block_on(producer.send_batch(records)).unwrap_err();
    assert_eq!(error.failures().len(), 30);
    assert!(error.is_retryable());
    assert!(matches!(error.failures()[0].1, SendError::DeliveryTimeout { .. }), "{:?}", error.failures()[0]);
    let last = &error.failures()[29].1;
    assert!(matches!(last, SendError::QueueFull { .. } | SendError::DeliveryTimeout { .. }), "{last}");
    assert_eq!(producer.in_flight(), 0);
}

#[test]
fn a_batch_given_up_takes_back_what_waits_and_leaves_the_rest() {
    let cluster = cluster(1);
    let keys = "queue_buffering_max_messages: 10\nqueue_buffering_max: 0s\ndelivery_timeout: 60s";
    let service = producing(&cluster, keys);
    let producer = producer(&service);
    service.block_on(async {
        cluster.set_broker_down(1).unwrap();
        let records = (0..30).map(|_| Record::to("orders").with_payload("batch"));
        drop(producer.send_batch(records));
        let last = producer.send_async(Record::to("orders").with_payload("last"));
        cluster.set_broker_up(1).unwrap();
        assert_eq!(last.await.unwrap().offset, Some(10));
    });
}

#[test]
fn a_stop_resolves_batches_in_flight_and_in_line() {
    let service = producing_to("127.0.0.1:1", "queue_buffering_max_messages: 10\ndelivery_timeout: 1s");
    let producer = producer(&service);
    let batch = thirty(&producer);
    service.stop();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(batch).unwrap_err();
    assert_eq!(error.failures().len(), 30);
    let late = runtime.block_on(thirty(&producer)).unwrap_err();
    for (_, error) in late.failures() {
        assert!(matches!(error, SendError::ShutDown { .. }), "{error}");
    }
}

fn thirty(producer: &mainspring_kafka::Producer) -> mainspring_kafka::SendBatchFuture {
    producer.send_batch((0..30).map(|_| Record::to("orders").with_payload("paid")))
}
