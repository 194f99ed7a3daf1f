//! Records that are sent at once, and records that are given up on.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use mainspring_kafka::{Record, SendError};
use mainspring_kafka_ffi::MockCluster;
use mainspring_testsuite::DEADLINE;
use tokio::time::{sleep, timeout};

use crate::support::{producer, producing, producing_to};

fn cluster() -> MockCluster {
    let cluster = MockCluster::new(1).expect("a thread and a port are left");
    cluster.create_topic("orders", 1, 1).expect("the topic is new");
    cluster
}

fn paid() -> Record {
    Record::to("orders").with_payload("paid")
}

#[test]
fn a_flush_sends_at_once_what_would_wait_for_others() {
    let cluster = cluster();
    let service = producing(&cluster, "queue_buffering_max: 10m\ndelivery_timeout: 1h");
    let producer = producer(&service);
    service.block_on(async {
        let began = Instant::now();
        for _ in 0..2 {
            let sent: Vec<_> = (0..10).map(|_| producer.send_async(paid())).collect();
            let batch = producer.send_batch((0..10).map(|_| paid()));
            producer.flush().await;
            assert_eq!(producer.in_flight(), 0);
            for answer in join_all(sent).await {
                answer.unwrap();
            }
            assert_eq!(batch.await.unwrap().len(), 10);
        }
        assert!(began.elapsed() < DEADLINE, "{:?}", began.elapsed());
    });
}

#[test]
fn a_flush_waits_for_records_in_line_too() {
    let cluster = cluster();
    let service = producing(
        &cluster,
        "queue_buffering_max: 10m\ndelivery_timeout: 1h\nqueue_buffering_max_messages: 10",
    );
    let producer = producer(&service);
    service.block_on(async {
        let batch = producer.send_batch((0..100).map(|_| paid()));
        producer.flush().await;
        assert_eq!(producer.in_flight(), 0);
        assert_eq!(batch.await.unwrap().get(99).unwrap().offset, Some(99));
    });
}

#[test]
fn a_flush_of_nothing_and_one_after_the_stop_are_done_at_once() {
    let service = producing_to("127.0.0.1:1", "delivery_timeout: 1h");
    let producer = producer(&service);
    service.block_on(producer.flush());
    service.stop();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(producer.flush());
}

#[test]
fn a_flush_without_brokers_ends_when_every_record_has_had_its_time() {
    let service = producing_to("127.0.0.1:1", "delivery_timeout: 200ms");
    let producer = producer(&service);
    let sent = producer.send_async(paid());
    service.block_on(producer.flush());
    assert_eq!(producer.in_flight(), 0);
    assert!(matches!(service.block_on(sent), Err(SendError::DeliveryTimeout { .. })));
}

#[test]
fn purged_records_say_that_they_were_and_those_in_line_never_go() {
    let cluster = cluster();
    let keys = "queue_buffering_max: 0s\ndelivery_timeout: 1h\nqueue_buffering_max_messages: 5";
    let service = producing(&cluster, keys);
    let producer = producer(&service);
    service.block_on(async {
        producer.send(paid()).await.unwrap();
        cluster.set_broker_down(1).unwrap();
        let sent: Vec<_> = (0..7).map(|_| producer.send_async(paid())).collect();
        let batch = producer.send_batch((0..7).map(|_| paid()));
        producer.purge();
        let mut errors: Vec<_> = join_all(sent).await.into_iter().map(Result::unwrap_err).collect();
        let failed = batch.await.unwrap_err();
        errors.extend(failed.failures().iter().map(|(_, error)| error.clone()));
        assert_eq!(errors.len(), 14);
        for error in errors {
            assert!(matches!(error, SendError::Purged { possibly_stored: false, .. }), "{error}");
            assert!(!error.is_retryable());
        }
        cluster.set_broker_up(1).unwrap();
        assert_eq!(producer.send(paid()).await.unwrap().offset, Some(1));
    });
}

#[test]
fn a_record_purged_on_its_way_says_that_it_may_have_been_stored() {
    let cluster = cluster();
    let service = producing(&cluster, "queue_buffering_max: 0s\ndelivery_timeout: 1h");
    let producer = producer(&service);
    service.block_on(async {
        producer.send(paid()).await.unwrap();
        cluster.set_rtt(1, Duration::from_secs(5)).unwrap();
        let on_its_way = async {
            // A record purged too early was not on its way yet, and says so.
            loop {
                let sent = producer.send_async(paid());
                sleep(Duration::from_millis(10)).await;
                producer.purge();
                match sent.await.unwrap_err() {
                    SendError::Purged { possibly_stored: false, .. } => {}
                    error => return error,
                }
            }
        };
        let error = timeout(DEADLINE, on_its_way).await.expect("a record gets on its way within 10 ms");
        assert!(matches!(error, SendError::Purged { possibly_stored: true, .. }), "{error}");
    });
}
