//! Callbacks that fail: the batch comes again, nothing is lost, nothing overtakes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mainspring_core::Health;
use mainspring_kafka::{Batch, CommitError};
use mainspring_kafka_ffi::KafkaCode;
use tokio::sync::mpsc;

use crate::consumer::support::{Journal, Kafka, until, within};

/// What happens to the batches that fail.
#[derive(Clone, Copy)]
enum Fault {
    Error,
    Panic,
    NeverEnds,
}

impl Fault {
    async fn happen(self) -> Result<(), String> {
        match self {
            Fault::Error => Err("not today".to_owned()),
            Fault::Panic => panic!("not today"),
            Fault::NeverEnds => std::future::pending().await,
        }
    }
}

async fn check_failed_batches_come_again(fault: Fault, options: &str, error_type: &str) {
    let kafka = Kafka::new(2);
    kafka.fill(0..100).await;
    let service = kafka.service(&format!("max_batch_size: 10\n{options}")).await;
    let (journal, failed) = (Journal::default(), Journal::default());
    let (noted, noted_failed) = (journal.clone(), failed.clone());
    let scope = service.scope();
    scope
        .start(move |batch: Batch| {
            let (journal, failed) = (noted.clone(), noted_failed.clone());
            async move {
                // The third and the sixth batch fail once each.
                let batch_idx = journal.batches().len() + failed.batches().len();
                if batch_idx == 2 || batch_idx == 5 {
                    failed.note(&batch);
                    return fault.happen().await;
                }
                journal.note(&batch);
                batch.commit().await.map_err(|error| error.to_string())
            }
        })
        .unwrap();
    journal.reached(100).await;

    let offsets = journal.offsets();
    assert!(offsets.values().all(|offsets| offsets.iter().copied().eq(0..50)), "exactly once: {offsets:?}");
    assert_eq!(failed.batches().len(), 2);
    assert_eq!(service.metric("messaging_process_duration_seconds", &[("error_type", error_type)]), 2.0);
    assert_eq!(service.metric("kafka_consumer_restarts", &[("reason", "callback_error")]), 2.0);
    assert_eq!(service.metric("kafka_consumer_rebalances", &[]), 1.0, "the member stays in its group");
    until("recovery", || service.state(), |state| state == "running").await;
}

#[tokio::test]
async fn a_batch_whose_callback_returns_an_error_comes_again() {
    check_failed_batches_come_again(Fault::Error, "", "error").await;
}

#[tokio::test]
async fn a_batch_whose_callback_panics_comes_again() {
    check_failed_batches_come_again(Fault::Panic, "", "panic").await;
}

#[tokio::test]
async fn a_batch_whose_callback_does_not_end_comes_again() {
    check_failed_batches_come_again(Fault::NeverEnds, "max_callback_duration: 3s", "timeout").await;
}

#[tokio::test]
async fn everything_since_the_last_commit_comes_again_in_order() {
    let kafka = Kafka::new(1);
    kafka.fill(0..30).await;
    let service = kafka.service("max_batch_size: 10\npoll_timeout: 1h").await;
    let journal = Journal::default();
    let noted = journal.clone();
    let scope = service.scope();
    scope
        .start(move |batch: Batch| {
            let batch_idx = noted.note(&batch);
            async move {
                match batch_idx {
                    // 0..10 is committed, 10..20 is not, 20..30 fails.
                    0 => batch.commit().await.map_err(|error| error.to_string()),
                    2 => Err("not today".to_owned()),
                    _ => Ok(()),
                }
            }
        })
        .unwrap();
    journal.reached(50).await;
    assert!(journal.numbers().into_iter().eq((0..30).chain(10..30)), "{:?}", journal.numbers());
}

#[tokio::test]
async fn without_any_commit_reading_begins_again_where_it_began() {
    let kafka = Kafka::new(1);
    kafka.fill(0..10).await;
    let service = kafka.service("max_batch_size: 10\nauto_offset_reset: latest").await;
    let journal = Journal::default();
    let noted = journal.clone();
    let scope = service.scope();
    scope
        .start(move |batch: Batch| {
            let batch_idx = noted.note(&batch);
            async move { if batch_idx == 0 { Err("not today") } else { Ok(()) } }
        })
        .unwrap();
    until("assignment", || service.metric("kafka_consumer_assigned_partitions", &[]), |n| *n == 1.0).await;
    // Where `latest` is gets settled a little after the assignment, so records are sent until one arrives.
    let mut sent = 10;
    while journal.numbers().is_empty() {
        kafka.fill(sent..sent + 1).await;
        sent += 1;
    }
    let first = journal.batches()[0].clone();
    until("repetition", || journal.batches().len(), |count| 2 <= *count).await;
    assert_eq!(journal.batches()[1][0], first[0]);
    assert!(10 <= first[0].number);
}

#[tokio::test]
async fn a_batch_that_failed_cannot_be_committed_any_more() {
    let kafka = Kafka::new(1);
    kafka.fill(0..10).await;
    let service = kafka.service("max_batch_size: 10\npoll_timeout: 1h").await;
    let (tx, mut rx) = mpsc::channel(8);
    let scope = service.scope();
    scope
        .start(move |batch: Batch| {
            let tx = tx.clone();
            async move {
                tx.send(batch).await.unwrap();
                Err::<(), _>("not today")
            }
        })
        .unwrap();
    let first = rx.recv().await.unwrap();
    let _second = rx.recv().await.unwrap();
    let refused = first.commit().await;
    assert_eq!(refused, Err(CommitError::Revoked { topic: "t".to_owned(), partition: 0 }));
}

#[tokio::test]
async fn batches_never_overlap_even_when_a_cancelled_callback_lingers() {
    let kafka = Kafka::new(1);
    kafka.fill(0..3).await;
    let service = kafka.service("max_callback_duration: 50ms\nrestart_after_failure_delay: 0s").await;
    let (running, most, calls) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (in_callback, seen, counted) = (Arc::clone(&running), Arc::clone(&most), Arc::clone(&calls));
    let scope = service.scope();
    scope
        .start(move |batch: Batch| {
            let (running, most, calls) = (Arc::clone(&in_callback), Arc::clone(&seen), Arc::clone(&counted));
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                if calls.fetch_add(1, Ordering::SeqCst) == 0 {
                    // Deaf to cancellation, as code that computes or blocks is.
                    let until = std::time::Instant::now() + Duration::from_millis(300);
                    while std::time::Instant::now() < until {
                        std::hint::spin_loop();
                    }
                }
                running.fetch_sub(1, Ordering::SeqCst);
                batch.commit().await
            }
        })
        .unwrap();
    until("calls", || calls.load(Ordering::SeqCst), |calls| 3 <= *calls).await;
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

/// Kafka's number for the request.
const HEARTBEAT: i16 = 12;
const FENCED_INSTANCE_ID: KafkaCode = KafkaCode::from_raw(82);

#[tokio::test]
async fn a_client_that_fails_for_good_is_replaced_and_reading_goes_on() {
    let kafka = Kafka::new(2);
    kafka.fill(0..10).await;
    let custom = "fetch.wait.max.ms: '10', session.timeout.ms: '6000', heartbeat.interval.ms: '100'";
    let options = format!("group_instance_id: one\nrd_kafka_custom_options: {{{custom}}}");
    let service = kafka.service(&options).await;
    let (_scope, journal) = service.consume();
    journal.reached(10).await;
    until("commits", || service.metric("kafka_consumer_committed_offset", &[]), |sum| *sum == 10.0).await;

    kafka.cluster.push_request_errors(HEARTBEAT, &[FENCED_INSTANCE_ID]);
    let restarts = || service.metric("kafka_consumer_restarts", &[("reason", "fatal")]);
    until("restart", restarts, |count| *count == 1.0).await;
    kafka.fill(10..20).await;
    journal.reached(20).await;
    let offsets = journal.offsets();
    assert!(offsets.values().all(|offsets| offsets.iter().copied().eq(0..10)), "exactly once: {offsets:?}");
    until("health", || service.health(), |health| *health == Health::Ok).await;
}

#[tokio::test]
async fn partitions_that_leave_while_their_batch_waits_to_come_again_come_to_the_other_member() {
    let kafka = Kafka::new(2);
    kafka.fill(0..2).await;
    let first = kafka.service("max_batch_size: 2\nrestart_after_failure_delay: 1h").await;
    let scope = first.scope();
    scope.start(|_: Batch| async { Err::<(), _>("not today") }).unwrap();
    until("failure", || first.state(), |state| state == "backoff").await;
    let second = kafka.service("").await;
    let (_second_scope, second_journal) = second.consume();
    second_journal.reached(1).await;
    assert_eq!(first.state(), "backoff", "it gives partitions up without waiting for the delay");
    within("stop, also without waiting for it", scope.stop()).await;
    kafka.fill(2..6).await;
    let numbers = || {
        let mut numbers = second_journal.numbers();
        numbers.sort_unstable();
        numbers
    };
    until("all messages", numbers, |numbers| 6 <= numbers.len()).await;
    assert_eq!(numbers(), [0, 1, 2, 3, 4, 5]);
}

/// Kafka's number for the request.
const OFFSET_COMMIT: i16 = 8;
const GROUP_ID_NOT_FOUND: KafkaCode = KafkaCode::from_raw(69);

#[tokio::test]
async fn a_member_of_a_group_that_is_gone_joins_anew() {
    // librdkafka 2.12.1 goes on as its member for ever, silently (librdkafka#5541).
    let kafka = Kafka::new(1);
    kafka.fill(0..10).await;
    let service = kafka.service("commit_policy: after_batch\nmax_batch_size: 10").await;
    // For the commit of the batch, and for the one of the client that is given up.
    kafka.cluster.push_request_errors(OFFSET_COMMIT, &[GROUP_ID_NOT_FOUND; 2]);
    let journal = Journal::default();
    let (noted, scope) = (journal.clone(), service.scope());
    scope
        .start(move |batch: Batch| {
            noted.note(&batch);
            std::future::ready(Ok::<_, std::convert::Infallible>(()))
        })
        .unwrap();
    let restarts = || service.metric("kafka_consumer_restarts", &[("reason", "fatal")]);
    until("restart", restarts, |count| *count == 1.0).await;
    journal.reached(20).await;
    assert!(journal.numbers()[10..].iter().copied().eq(0..10), "what was not committed comes again");
    until("commit", || service.metric("kafka_consumer_committed_offset", &[]), |offset| *offset == 10.0)
        .await;
    assert!(service.has_logged("Coordinator does not know the group; the consumer joins it anew"));
}
