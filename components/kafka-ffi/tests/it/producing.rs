//! Records out, delivery reports in.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use bytes::Bytes;
use mainspring_kafka_ffi::{KafkaCode, Persistence, ProducerEvent, Record};

use crate::support::{cluster, deliver, producer, serving, until, within};

/// A payload whose releases are counted.
struct Counted(Vec<u8>, Arc<AtomicUsize>);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn payloads_are_sent_from_where_they_are() {
    let cluster = cluster("t", 2);
    let producer = producer(&cluster, &[("linger.ms", "1"), ("compression.type", "lz4")]);
    let topic = producer.topic("t").unwrap();
    let mut sent = Vec::new();
    let mut deliveries = Vec::new();
    for number in 0..1000 {
        let payload = Bytes::from(vec![7_u8; 100 + number]);
        sent.push(payload.as_ptr() as usize);
        let mut record = Record::new(payload).with_key("key");
        record.headers = vec![("trace".to_owned(), Some(Bytes::from_static(b"00-abc")))];
        record.timestamp_ms = Some(1_700_000_000_000);
        deliveries.push(producer.send(&topic, record).unwrap());
    }
    let mut reported = Vec::new();
    let mut sink = |event: ProducerEvent<'_>| {
        if let ProducerEvent::Reports(reports) = event {
            assert_eq!(reports.topic(), "t");
            for report in reports.iter() {
                assert_eq!(report.key_len(), 3);
                assert!(report.latency().is_some());
                reported.push(report.payload().unwrap().as_ptr() as usize);
            }
        }
    };
    serving(&producer, &mut sink, async {
        for delivery in deliveries {
            let delivered = delivery.await.unwrap();
            assert_eq!(delivered.persistence, Persistence::Persisted);
            assert!(delivered.offset.is_some());
        }
    })
    .await;
    sent.sort_unstable();
    reported.sort_unstable();
    assert_eq!(reported, sent);
}

/// Run it under Valgrind: `valgrind --error-exitcode=1 <test binary> dropped_deliveries`.
#[tokio::test]
async fn dropped_deliveries_keep_their_payloads_valid() {
    const RECORDS: usize = 10_000;
    let cluster = cluster("t", 1);
    let properties = [("linger.ms", "5"), ("compression.type", "lz4"), ("queue.buffering.max.messages", "0")];
    let producer = producer(&cluster, &properties);
    let topic = producer.topic("t").unwrap();
    let released = Arc::new(AtomicUsize::new(0));
    for number in 0..RECORDS {
        let owner = Counted(number.to_string().into_bytes(), Arc::clone(&released));
        drop(producer.send(&topic, Record::new(Bytes::from_owner(owner))).unwrap());
    }
    let mut intact = Vec::new();
    within(
        "reports",
        poll_fn(|cx| {
            let sink = &mut |event: ProducerEvent<'_>| {
                let ProducerEvent::Reports(reports) = event else { return };
                for report in reports.iter() {
                    assert_eq!(report.error(), None);
                    let payload = std::str::from_utf8(report.payload().unwrap()).unwrap();
                    intact.push(payload.parse::<usize>().unwrap());
                }
            };
            while producer.poll_events(cx, sink).is_ready() {}
            if intact.len() == RECORDS { Poll::Ready(()) } else { Poll::Pending }
        }),
    )
    .await;
    intact.sort_unstable();
    assert!(intact.into_iter().eq(0..RECORDS));
    assert_eq!(released.load(Ordering::SeqCst), RECORDS);
}

#[tokio::test]
async fn a_full_queue_hands_the_record_back() {
    let cluster = cluster("t", 1);
    let producer = producer(&cluster, &[("queue.buffering.max.messages", "1"), ("linger.ms", "1000")]);
    let topic = producer.topic("t").unwrap();
    let first = producer.send(&topic, Record::new("first")).unwrap();

    let mut record = Record::new("second").with_key("key");
    record.headers = vec![("name".to_owned(), None)];
    let refused = producer.send(&topic, record.clone()).unwrap_err();
    assert_eq!(refused.code, KafkaCode::QUEUE_FULL);
    assert_eq!(refused.record, record);

    serving(&producer, &mut |_| (), first).await.unwrap();
    let second = producer.send(&topic, refused.record).unwrap();
    serving(&producer, &mut |_| (), second).await.unwrap();
}

#[tokio::test]
async fn a_record_past_the_size_limit_is_refused_at_once() {
    let cluster = cluster("t", 1);
    let producer = producer(&cluster, &[("message.max.bytes", "1000")]);
    let topic = producer.topic("t").unwrap();
    let refused = producer.send(&topic, Record::new(vec![0; 1001])).unwrap_err();
    assert_eq!(refused.code, KafkaCode::MSG_SIZE_TOO_LARGE);
    deliver(&producer, "t", Record::new(vec![0; 500])).await.unwrap();
}

#[tokio::test]
async fn a_partition_that_does_not_exist_fails_the_record() {
    let cluster = cluster("t", 1);
    let producer = producer(&cluster, &[]);
    let topic = producer.topic("t").unwrap();
    let nowhere = Record::new("a").with_partition(7);
    // Refused at once when the partitions are known, and by a report when they become known meanwhile.
    if let Ok(delivery) = producer.send(&topic, nowhere.clone()) {
        let failed = serving(&producer, &mut |_| (), delivery).await.unwrap_err();
        assert_eq!(failed.code, KafkaCode::UNKNOWN_PARTITION);
    }
    deliver(&producer, "t", Record::new("a").with_partition(0)).await.unwrap();
    let refused = producer.send(&topic, nowhere).unwrap_err();
    assert_eq!(refused.code, KafkaCode::UNKNOWN_PARTITION);
}

#[tokio::test]
async fn a_refusal_by_the_broker_is_told_as_such() {
    let cluster = cluster("t", 1);
    let producer = producer(&cluster, &[]);
    deliver(&producer, "t", Record::new("warm-up")).await.unwrap();
    cluster.push_request_errors(0, &[KafkaCode::TOPIC_AUTHORIZATION_FAILED]);
    let failed = deliver(&producer, "t", Record::new("a")).await.unwrap_err();
    assert_eq!(failed.code, KafkaCode::TOPIC_AUTHORIZATION_FAILED);
    assert_eq!(failed.persistence, Persistence::NotPersisted);
}

#[tokio::test]
async fn a_code_the_library_has_no_name_for_arrives_as_its_number() {
    let cluster = cluster("t", 1);
    let producer = producer(&cluster, &[]);
    deliver(&producer, "t", Record::new("warm-up")).await.unwrap();
    for code in [104, 12_345] {
        cluster.push_request_errors(0, &[KafkaCode::from_raw(code)]);
        let failed = deliver(&producer, "t", Record::new("a")).await.unwrap_err();
        assert_eq!(failed.code.as_raw(), code);
    }
}

#[tokio::test]
async fn a_purge_returns_every_record() {
    const RECORDS: usize = 500;
    let cluster = cluster("t", 1);
    let producer = producer(&cluster, &[("linger.ms", "0")]);
    deliver(&producer, "t", Record::new("warm-up")).await.unwrap();
    cluster.set_broker_down(1).unwrap();
    let topic = producer.topic("t").unwrap();
    let released = Arc::new(AtomicUsize::new(0));
    let deliveries: Vec<_> = (0..RECORDS)
        .map(|_| {
            let owner = Counted(vec![1; 10], Arc::clone(&released));
            producer.send(&topic, Record::new(Bytes::from_owner(owner))).unwrap()
        })
        .collect();
    producer.purge();
    let failures = serving(&producer, &mut |_| (), async {
        let mut failures = Vec::new();
        for delivery in deliveries {
            failures.push(delivery.await.unwrap_err());
        }
        failures
    })
    .await;
    let purged = [KafkaCode::PURGE_QUEUE, KafkaCode::PURGE_INFLIGHT];
    assert!(failures.iter().all(|failure| purged.contains(&failure.code)), "{:?}", failures[0].code);
    assert_eq!(released.load(Ordering::SeqCst), RECORDS);
}

#[tokio::test]
async fn a_delivery_that_times_out_says_so() {
    let cluster = cluster("t", 1);
    let producer = producer(&cluster, &[("delivery.timeout.ms", "200"), ("linger.ms", "0")]);
    cluster.set_broker_down(1).unwrap();
    let failed = deliver(&producer, "t", Record::new("a")).await.unwrap_err();
    assert_eq!(failed.code, KafkaCode::MSG_TIMED_OUT);
}

#[tokio::test]
async fn a_topic_of_another_producer_is_refused() {
    let cluster = cluster("t", 1);
    let (one, other) = (producer(&cluster, &[]), producer(&cluster, &[]));
    let refused = one.send(&other.topic("t").unwrap(), Record::new("a")).unwrap_err();
    assert_eq!(refused.code, KafkaCode::INVALID_ARG);
}

#[tokio::test]
async fn events_queued_before_anybody_waits_are_served_to_the_last() {
    let cluster = cluster("t", 1);
    let producer = producer(&cluster, &[("statistics.interval.ms", "1")]);
    // More than one turn serves, and all of it before the first waker is registered: no callback will announce it.
    until("backlog", || producer.in_flight() > 300).await;
    let mut statistics = 0;
    within(
        "backlog served",
        poll_fn(|cx| {
            let sink = &mut |event: ProducerEvent<'_>| {
                statistics += usize::from(matches!(event, ProducerEvent::Stats(_)));
            };
            // One turn per wake-up: what is left must wake this task again.
            if producer.poll_events(cx, sink).is_ready() {
                cx.waker().wake_by_ref();
            }
            if statistics > 300 { Poll::Ready(()) } else { Poll::Pending }
        }),
    )
    .await;
}

#[tokio::test]
async fn a_report_wakes_a_task_that_waits_on_an_empty_queue() {
    let cluster = cluster("t", 1);
    let producer = producer(&cluster, &[("linger.ms", "0")]);
    for number in 0..50 {
        let delivered = deliver(&producer, "t", Record::new("a")).await.unwrap();
        assert_eq!(delivered.offset, Some(number));
    }
}

#[tokio::test]
async fn log_lines_arrive_as_events() {
    let cluster = cluster("t", 1);
    let producer = producer(&cluster, &[("debug", "broker")]);
    let mut logged = None;
    within(
        "a log line",
        poll_fn(|cx| {
            let sink = &mut |event: ProducerEvent<'_>| {
                if let ProducerEvent::Log(line) = event {
                    logged = Some(line);
                }
            };
            while producer.poll_events(cx, sink).is_ready() {}
            if logged.is_some() { Poll::Ready(()) } else { Poll::Pending }
        }),
    )
    .await;
    let line = logged.unwrap();
    assert_eq!(line.level, 7);
    assert!(!line.facility.is_empty() && !line.text.is_empty(), "{line:?}");
}

#[tokio::test]
async fn a_fatal_error_names_its_cause() {
    let cluster = cluster("t", 1);
    let producer = producer(&cluster, &[("enable.idempotence", "true")]);
    let cause = KafkaCode::from_raw(45); // OUT_OF_ORDER_SEQUENCE_NUMBER
    producer.trigger_fatal_error(cause, "for the test").unwrap();
    let mut fatal = None;
    within(
        "the error event",
        poll_fn(|cx| {
            let sink = &mut |event: ProducerEvent<'_>| {
                if let ProducerEvent::Error(error) = event {
                    fatal = Some(error);
                }
            };
            while producer.poll_events(cx, sink).is_ready() {}
            if fatal.is_some() { Poll::Ready(()) } else { Poll::Pending }
        }),
    )
    .await;
    let fatal = fatal.unwrap();
    assert!(fatal.fatal);
    assert_eq!(fatal.code, cause);
    assert_eq!(producer.fatal_error().unwrap().code, cause);
    let topic = producer.topic("t").unwrap();
    let mut dated = Record::new("a");
    dated.timestamp_ms = Some(1);
    for record in [Record::new("a"), dated] {
        assert_eq!(producer.send(&topic, record).unwrap_err().code, KafkaCode::FATAL);
    }
}

#[tokio::test]
async fn partitions_of_a_topic_are_told() {
    let cluster = cluster("t", 3);
    let producer = producer(&cluster, &[]);
    let mut partitions = producer.partition_ids_blocking("t", crate::support::DEADLINE).unwrap();
    partitions.sort_unstable();
    assert_eq!(partitions, [0, 1, 2]);
    assert!(producer.cluster_id().is_some());
}

#[test]
fn properties_that_do_not_fit_together_are_refused() {
    let cluster = cluster("t", 1);
    let config = crate::support::config(&cluster, &[("delivery.timeout.ms", "1"), ("linger.ms", "100")]);
    let refused = mainspring_kafka_ffi::Producer::new(config).unwrap_err();
    assert!(refused.text.contains("linger.ms"), "{refused}");
}
