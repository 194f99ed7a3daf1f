//! What a batch holds, and when it is handed out.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use mainspring_kafka_ffi::Record;

use crate::consumer::support::{Kafka, until};

#[tokio::test]
async fn every_message_arrives_once_and_in_order_within_its_partition() {
    let kafka = Kafka::new(4);
    kafka.fill(0..4000).await;
    let service = kafka.service("max_batch_size: 100").await;
    let (_scope, journal) = service.consume();
    journal.reached(4000).await;
    let offsets = journal.offsets();
    assert_eq!(offsets.len(), 4);
    assert!(offsets.values().all(|offsets| offsets.iter().copied().eq(0..1000)), "{offsets:?}");
    assert_eq!(service.metric("messaging_client_consumed_messages", &[]), 4000.0);
    until(
        "processed",
        || service.metric("kafka_consumer_processed_messages", &[("result", "success")]),
        |n| *n == 4000.0,
    )
    .await;
}

#[tokio::test]
async fn a_full_batch_does_not_wait_and_a_partial_one_waits_for_the_timeout() {
    let kafka = Kafka::new(1);
    let service = kafka.service("max_batch_size: 10\npoll_timeout: 3s").await;
    let arrivals = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&arrivals);
    let scope = service.scope();
    scope
        .start(move |batch| {
            noted.lock().unwrap().push((Instant::now(), batch.len()));
            async { Ok::<(), Infallible>(()) }
        })
        .unwrap();
    kafka.fill(0..1).await;
    until("first batch", || arrivals.lock().unwrap().len(), |count| *count == 1).await;

    let sent = Instant::now();
    kafka.fill(1..26).await;
    let arrivals = until("batches", || arrivals.lock().unwrap().clone(), |seen| seen.len() == 4).await;
    let sizes: Vec<_> = arrivals.iter().map(|(_, size)| *size).collect();
    assert_eq!(sizes, [1, 10, 10, 5]);
    assert!(sent + Duration::from_secs(3) <= arrivals[3].0, "the last one was not full");
}

#[tokio::test]
async fn a_batch_that_is_full_at_once_is_not_held_back() {
    let kafka = Kafka::new(1);
    kafka.fill(0..20).await;
    let service = kafka.service("max_batch_size: 10\npoll_timeout: 1h").await;
    let (_scope, journal) = service.consume();
    journal.reached(20).await;
    assert_eq!(journal.sizes(), [10, 10]);
}

#[tokio::test]
async fn a_message_shows_all_its_parts() {
    let kafka = Kafka::new(1);
    let header = |value: &'static str| Some(Bytes::from_static(value.as_bytes()));
    let full = Record {
        partition: Some(0),
        key: Some(Bytes::from_static(b"key")),
        payload: Some(Bytes::from_static(b"payload")),
        headers: vec![
            ("a".to_owned(), header("1")),
            ("b".to_owned(), header("2")),
            ("a".to_owned(), header("3")),
            ("null".to_owned(), None),
        ],
        timestamp_ms: Some(1_700_000_000_123),
    };
    kafka.send([full, Record::default()].into_iter()).await;
    let service = kafka.service("max_batch_size: 2").await;
    let checked = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&checked);
    let scope = service.scope();
    scope
        .start(move |batch| {
            for message in &batch {
                assert_eq!((message.topic(), message.partition()), ("t", 0));
                if message.offset() == 1 {
                    assert_eq!((message.key(), message.payload()), (None, None));
                    assert!(message.payload_bytes().is_none());
                } else {
                    assert_eq!(
                        (message.key(), message.payload()),
                        (Some(&b"key"[..]), Some(&b"payload"[..]))
                    );
                    let shared = message.payload_bytes().unwrap();
                    assert_eq!(shared.as_ptr(), message.payload().unwrap().as_ptr(), "not copied");
                    let created = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
                    assert_eq!(message.timestamp(), Some(created));
                    assert_eq!(message.headers().count(), 4);
                    assert_eq!(message.header("a"), Some(&b"3"[..]), "the last one wins");
                    assert_eq!((message.header("null"), message.header("c")), (None, None));
                }
                *counted.lock().unwrap() += 1;
            }
            async { Ok::<(), Infallible>(()) }
        })
        .unwrap();
    until("messages", || *checked.lock().unwrap(), |count| *count == 2).await;
}

#[tokio::test]
async fn a_batch_ends_before_it_has_too_many_bytes_and_a_large_message_comes_alone() {
    let kafka = Kafka::new(1);
    let lengths = [1000, 1000, 1000, 1000, 5000, 1000, 1000];
    let record = |(number, length): (usize, usize)| {
        Record::new(Bytes::from(format!("{number:0>length$}"))).with_partition(0)
    };
    kafka.send(lengths.into_iter().enumerate().map(record)).await;
    let service = kafka.service("max_batch_size: 100\nmax_batch_bytes: 3000B\npoll_timeout: 3s").await;
    let (_scope, journal) = service.consume();
    journal.reached(7).await;
    assert!(journal.numbers().into_iter().eq(0..7));
    assert_eq!(journal.sizes(), [3, 1, 1, 2]);
}

#[tokio::test]
async fn what_was_collected_behind_a_failed_batch_comes_again_once() {
    let kafka = Kafka::new(1);
    let payload = |number: i32| Bytes::from(format!("{number:0>1000}"));
    kafka.send((0..50).map(|number| Record::new(payload(number)).with_partition(0))).await;
    let service = kafka.service("max_batch_size: 100\nmax_batch_bytes: 3000B").await;
    let (journal, calls) = (crate::consumer::support::Journal::default(), Arc::new(Mutex::new(0)));
    let noted = journal.clone();
    let scope = service.scope();
    scope
        .start(move |batch| {
            let (noted, calls) = (noted.clone(), Arc::clone(&calls));
            async move {
                let call = {
                    let mut calls = calls.lock().unwrap();
                    *calls += 1;
                    *calls
                };
                if call % 4 == 0 {
                    return Err("not today".to_owned());
                }
                noted.note(&batch);
                batch.commit().await.map_err(|error| error.to_string())
            }
        })
        .unwrap();
    journal.reached(50).await;
    assert!(journal.numbers().into_iter().eq(0..50), "{:?}", journal.numbers());
}
