//! The forms of callbacks: message by message, blocking, with values.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainspring_core::Health;
use mainspring_kafka::{
    Batch, BytesDecoder, CommitError, ConsumedMessage, Decoder, JsonDecoder, Message, NullableDecoder,
    TextDecoder, TypedBatch, TypedMessage,
};
use mainspring_kafka_ffi::Record;
use serde::Deserialize;

use crate::consumer::support::{Kafka, Running, until, within};

type Numbers = Arc<Mutex<Vec<i32>>>;

fn number(message: &Message) -> i32 {
    std::str::from_utf8(message.payload().unwrap()).unwrap().parse().unwrap()
}

async fn reached(numbers: &Numbers, count: usize) -> Vec<i32> {
    until("messages", || numbers.lock().unwrap().clone(), |seen| count <= seen.len()).await
}

fn succeeded(service: &Running) -> f64 {
    service.metric("kafka_consumer_processed_messages", &[("result", "success")])
}

/// How message 7 of 20 fails, once.
#[derive(Clone, Copy)]
enum Fault {
    Error,
    Panic,
    NeverEnds,
}

async fn check_messages_before_the_one_that_fails_do_not_come_again(fault: Fault, options: &str) {
    let kafka = Kafka::new(1);
    kafka.fill(0..20).await;
    let options = format!("max_batch_size: 20\npoll_timeout: 500ms\ncommit_policy: after_batch\n{options}");
    let service = kafka.service(&options).await;
    let (numbers, has_failed) = (Numbers::default(), Arc::new(AtomicBool::new(false)));
    let (noted, failed) = (Arc::clone(&numbers), Arc::clone(&has_failed));
    let scope = service.scope();
    scope
        .start_each(move |message: ConsumedMessage| {
            let (noted, failed) = (Arc::clone(&noted), Arc::clone(&failed));
            async move {
                if number(&message) == 7 && !failed.swap(true, Ordering::SeqCst) {
                    match fault {
                        Fault::Error => return Err("not today"),
                        Fault::Panic => panic!("not today"),
                        Fault::NeverEnds => std::future::pending().await,
                    }
                }
                noted.lock().unwrap().push(number(&message));
                Ok(())
            }
        })
        .unwrap();
    assert!(reached(&numbers, 20).await.into_iter().eq(0..20), "each exactly once, in order");
    until("counts", || succeeded(&service), |count| *count == 20.0).await;
    let failed = service.metric("kafka_consumer_processed_messages", &[("result", "error")]);
    assert_eq!(failed, 13.0, "the one that failed and those after it");
    let committed = || service.metric("kafka_consumer_committed_offset", &[]);
    until("commit", committed, |offset| *offset == 20.0).await;
}

#[tokio::test]
async fn messages_before_one_that_fails_do_not_come_again() {
    check_messages_before_the_one_that_fails_do_not_come_again(Fault::Error, "").await;
}

#[tokio::test]
async fn messages_before_one_that_panics_do_not_come_again() {
    check_messages_before_the_one_that_fails_do_not_come_again(Fault::Panic, "").await;
}

#[tokio::test]
async fn messages_before_one_that_does_not_end_do_not_come_again() {
    let limit = "max_callback_duration: 2s";
    check_messages_before_the_one_that_fails_do_not_come_again(Fault::NeverEnds, limit).await;
}

#[tokio::test]
async fn a_message_commits_its_partition_up_to_itself() {
    let kafka = Kafka::new(1);
    kafka.fill(0..10).await;
    let service =
        kafka.service("max_batch_size: 10\npoll_timeout: 500ms\nrestart_after_failure_delay: 1h").await;
    let scope = service.scope();
    scope
        .start_each(|message: ConsumedMessage| async move {
            if message.offset() == 3 {
                message.commit().await?;
            }
            if message.offset() < 6 { Ok(()) } else { Err(CommitError::Stopped) }
        })
        .unwrap();
    until("failure", || service.state(), |state| state == "backoff").await;
    assert_eq!(service.metric("kafka_consumer_committed_offset", &[]), 4.0);
    drop(scope);
    let (numbers, scope) = (Numbers::default(), service.scope());
    let noted = Arc::clone(&numbers);
    scope
        .start_each(move |message: ConsumedMessage| {
            noted.lock().unwrap().push(number(&message));
            std::future::ready(Ok::<_, Infallible>(()))
        })
        .unwrap();
    assert!(reached(&numbers, 6).await.into_iter().eq(4..10), "a restart goes on after the commit");
}

#[tokio::test]
async fn a_batch_is_committed_through_one_of_its_messages() {
    let kafka = Kafka::new(2);
    kafka.fill(0..20).await;
    let service = kafka.service("max_batch_size: 20\npoll_timeout: 1h").await;
    let scope = service.scope();
    scope
        .start(|batch: Batch| async move {
            let fifth = batch.iter().filter(|message| message.partition() == 1).nth(4).unwrap();
            batch.commit_through(fifth).await
        })
        .unwrap();
    until("processing", || succeeded(&service), |count| *count == 20.0).await;
    let committed =
        |partition| service.metric("kafka_consumer_committed_offset", &[("partition", partition)]);
    assert_eq!((committed("0"), committed("1")), (0.0, 5.0));
    assert_eq!(within("commit", scope.commit_partition("t", 0)).await, Ok(()));
    assert_eq!((committed("0"), committed("1")), (10.0, 5.0), "that partition alone");
}

#[tokio::test]
async fn a_callback_that_blocks_keeps_nothing_else_from_its_task_processor() {
    let kafka = Kafka::new(1);
    kafka.fill(0..1).await;
    // The client is served there as well, and there is one thread.
    let service = kafka.service("callback_task_processor: consumer-task-processor").await;
    let (scope, entered) = (service.scope(), Arc::new(AtomicBool::new(false)));
    let (enters, (release, released)) = (Arc::clone(&entered), std::sync::mpsc::channel::<()>());
    let released = Mutex::new(released);
    scope
        .start_blocking(move |_: Batch| {
            enters.store(true, Ordering::SeqCst);
            released.lock().unwrap().recv().unwrap();
            Ok::<_, Infallible>(())
        })
        .unwrap();
    until("callback", || entered.load(Ordering::SeqCst), |entered| *entered).await;
    let paused = within("answer of the consumer", scope.pause("t", 0)).await;
    assert_eq!((paused, succeeded(&service)), (Ok(()), 0.0), "while the callback still blocks");
    release.send(()).unwrap();
    until("end of the callback", || succeeded(&service), |count| *count == 1.0).await;
}

#[tokio::test]
async fn a_blocking_callback_that_outlasts_its_limit_costs_the_membership_and_does_not_overlap() {
    let kafka = Kafka::new(1);
    kafka.fill(0..2).await;
    let service = kafka.service("max_callback_duration: 1s").await;
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (released, running, overlapped) =
        (Mutex::new(released), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (counted, overlaps, scope) = (Arc::clone(&running), Arc::clone(&overlapped), service.scope());
    let calls = Arc::new(AtomicUsize::new(0));
    let called = Arc::clone(&calls);
    scope
        .start_each_blocking(move |_: ConsumedMessage| {
            overlaps.fetch_or(counted.fetch_add(1, Ordering::SeqCst) != 0, Ordering::SeqCst);
            if called.fetch_add(1, Ordering::SeqCst) == 0 {
                released.lock().unwrap().recv().unwrap();
            }
            counted.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, Infallible>(())
        })
        .unwrap();
    until("trouble", || service.health(), Health::is_fatal).await;
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    release.send(()).unwrap();
    until("the rest", || calls.load(Ordering::SeqCst), |calls| 3 <= *calls).await;
    assert!(!overlapped.load(Ordering::SeqCst));
    assert_eq!(service.metric("kafka_consumer_restarts", &[("reason", "poll_exceeded")]), 1.0);
}

#[derive(Debug, Deserialize)]
struct Order {
    id: i32,
}

async fn orders(kafka: &Kafka, payloads: &[&'static str]) {
    kafka.send(payloads.iter().map(|payload| Record::new(*payload).with_partition(0))).await;
}

#[tokio::test]
async fn a_message_that_cannot_be_decoded_is_skipped_logged_once_and_counted() {
    let kafka = Kafka::new(1);
    orders(&kafka, &["{\"id\": 1}", "{\"id\":", "{\"id\": 3}"]).await;
    let options = "undecodable: skip\ncommit_policy: after_batch\nmax_batch_size: 3\npoll_timeout: 1h";
    let service = kafka.service(options).await;
    let (numbers, scope) = (Numbers::default(), service.scope());
    let noted = Arc::clone(&numbers);
    scope
        .start_decoded(JsonDecoder::<Order>::new(), move |batch: TypedBatch<Order>| {
            noted.lock().unwrap().extend(batch.iter().map(|order| order.value().id));
            std::future::ready(Ok::<_, Infallible>(()))
        })
        .unwrap();
    assert_eq!(reached(&numbers, 2).await, [1, 3]);
    until("commit", || service.metric("kafka_consumer_committed_offset", &[]), |it| *it == 3.0).await;
    let skipped =
        service.metric("kafka_consumer_undecodable_messages", &[("action", "skip"), ("topic", "t")]);
    assert_eq!(skipped, 1.0);
    assert!(service.has_logged("Message cannot be decoded; it is skipped"));
}

#[tokio::test]
async fn a_message_that_cannot_be_decoded_fails_and_those_before_it_are_processed() {
    let kafka = Kafka::new(1);
    orders(&kafka, &["{\"id\": 1}", "{\"id\": 2}", "no order", "{\"id\": 4}"]).await;
    let service = kafka.service("commit_policy: after_batch\nmax_batch_size: 4\npoll_timeout: 500ms").await;
    let (numbers, scope) = (Numbers::default(), service.scope());
    let noted = Arc::clone(&numbers);
    scope
        .start_each_decoded(JsonDecoder::<Order>::new(), move |order: TypedMessage<Order>| {
            noted.lock().unwrap().push(order.value().id);
            std::future::ready(Ok::<_, Infallible>(()))
        })
        .unwrap();
    let failed = || service.metric("kafka_consumer_undecodable_messages", &[("action", "fail")]);
    until("two attempts", failed, |count| 2.0 <= *count).await;
    assert_eq!(*numbers.lock().unwrap(), [1, 2], "once each");
    assert_eq!(service.metric("kafka_consumer_committed_offset", &[]), 2.0);
}

/// Refuses some, panics over others.
struct Moody;

impl Decoder for Moody {
    type Value = i32;

    fn decode(&self, message: &Message) -> Result<i32, Box<dyn std::error::Error + Send + Sync>> {
        match number(message) {
            1 => Err("no ones".into()),
            2 => panic!("no twos either"),
            number => Ok(number * 10),
        }
    }
}

#[tokio::test]
async fn a_decoder_that_panics_refuses_its_message_and_nothing_else() {
    let kafka = Kafka::new(1);
    kafka.fill(0..4).await;
    let service = kafka.service("undecodable: skip").await;
    let (numbers, scope) = (Numbers::default(), service.scope());
    let noted = Arc::clone(&numbers);
    scope
        .start_each_decoded(Moody, move |message: TypedMessage<i32>| {
            noted.lock().unwrap().push(message.into_value());
            std::future::ready(Ok::<_, Infallible>(()))
        })
        .unwrap();
    assert_eq!(reached(&numbers, 2).await, [0, 30]);
    assert_eq!(service.metric("kafka_consumer_undecodable_messages", &[("action", "skip")]), 2.0);
    assert_eq!(service.metric("kafka_consumer_restarts", &[]), 0.0);
}

#[tokio::test]
async fn text_bytes_and_tombstones_are_decoded() {
    let kafka = Kafka::new(1);
    let records = [
        Record::new("plain").with_partition(0),
        Record::new(&b"\xff"[..]).with_partition(0),
        Record { payload: None, ..Record::new("").with_partition(0) },
    ];
    kafka.send(records.into_iter()).await;
    let seen = Arc::new(Mutex::new(BTreeMap::<&str, Vec<String>>::new()));
    for (group, name) in [("texts", "text"), ("bytes", "bytes")] {
        let service = kafka.service(&format!("group_id: {group}\nundecodable: skip")).await;
        let (scope, noted) = (service.scope(), Arc::clone(&seen));
        let note = move |value: String| noted.lock().unwrap().entry(name).or_default().push(value);
        if name == "text" {
            scope
                .start_each_decoded(TextDecoder, move |message| {
                    note(message.into_value());
                    std::future::ready(Ok::<_, Infallible>(()))
                })
                .unwrap();
        } else {
            scope
                .start_each_decoded(NullableDecoder(BytesDecoder), move |message| {
                    note(format!("{:?}", message.value()));
                    std::future::ready(Ok::<_, Infallible>(()))
                })
                .unwrap();
        }
        until("all messages", || succeeded(&service), |count| *count == 3.0).await;
        within("stop", tokio::time::timeout(Duration::from_secs(30), scope.stop())).await.unwrap();
    }
    let seen = seen.lock().unwrap();
    assert_eq!(seen["text"], ["plain"], "neither what is no UTF-8 nor what is null");
    assert_eq!(seen["bytes"], ["Some(b\"plain\")", "Some(b\"\\xff\")", "None"]);
}
