//! What is committed, and what is not.

use std::sync::Arc;

use mainspring_kafka::{Batch, CommitError};
use mainspring_kafka_ffi::KafkaCode;
use tokio::sync::{Mutex, Notify, mpsc};

use crate::consumer::support::{Journal, Kafka, hand_out, until, within};

/// Kafka's number for the request.
const OFFSET_COMMIT: i16 = 8;

#[tokio::test]
async fn a_restart_goes_on_exactly_after_the_last_commit() {
    let kafka = Kafka::new(1);
    kafka.fill(0..30).await;
    let service = kafka.service("max_batch_size: 10\npoll_timeout: 1h").await;
    let journal = Journal::default();
    let noted = journal.clone();
    let scope = service.scope();
    scope
        .start(move |batch: Batch| {
            let batch_idx = noted.note(&batch);
            async move { if batch_idx < 2 { batch.commit().await } else { Ok(()) } }
        })
        .unwrap();
    journal.reached(30).await;
    within("stop", scope.stop()).await;
    drop(scope);

    let (_scope, journal) = service.consume();
    journal.reached(10).await;
    assert!(journal.numbers().into_iter().eq(20..30), "{:?}", journal.numbers());
}

#[tokio::test]
async fn inside_a_callback_the_scope_commits_the_callbacks_batch() {
    let kafka = Kafka::new(1);
    kafka.fill(0..10).await;
    let service = kafka.service("max_batch_size: 10\npoll_timeout: 1h").await;
    let scope = Arc::new(service.scope());
    let (tx, mut rx) = mpsc::channel(1);
    let weak = Arc::downgrade(&scope);
    scope
        .start(move |_batch: Batch| {
            let (scope, tx) = (weak.upgrade().unwrap(), tx.clone());
            async move {
                let result = scope.async_commit().await;
                tx.send(result).await
            }
        })
        .unwrap();
    assert_eq!(within("commit", rx.recv()).await, Some(Ok(())));
    until(
        "committed offset",
        || service.metric("kafka_consumer_committed_offset", &[]),
        |offset| *offset == 10.0,
    )
    .await;
}

#[tokio::test]
async fn outside_a_callback_the_scope_never_commits_a_batch_that_is_being_processed() {
    let kafka = Kafka::new(1);
    kafka.fill(0..10).await;
    let service = kafka.service("max_batch_size: 10\npoll_timeout: 1h").await;
    let journal = Journal::default();
    let release = Arc::new(Notify::new());
    let (noted, released) = (journal.clone(), Arc::clone(&release));
    let scope = service.scope();
    scope
        .start(move |batch: Batch| {
            let released = Arc::clone(&released);
            let batch_idx = noted.note(&batch);
            async move {
                if batch_idx == 1 {
                    released.notified().await;
                }
                Ok::<(), CommitError>(())
            }
        })
        .unwrap();
    journal.reached(10).await;
    kafka.fill(10..20).await;
    journal.reached(20).await;
    assert_eq!(within("commit", scope.async_commit()).await, Ok(()));
    assert_eq!(service.metric("kafka_consumer_committed_offset", &[]), 10.0);

    release.notify_one();
    let processed = || service.metric("kafka_consumer_processed_messages", &[("result", "success")]);
    until("second batch", processed, |count| *count == 20.0).await;
    assert_eq!(within("commit", scope.async_commit()).await, Ok(()));
    assert_eq!(service.metric("kafka_consumer_committed_offset", &[]), 20.0);
}

#[tokio::test]
async fn a_commit_that_is_not_awaited_is_sent_all_the_same() {
    let kafka = Kafka::new(1);
    kafka.fill(0..100).await;
    let service = kafka.service("").await;
    let scope = service.scope();
    scope
        .start(|batch: Batch| async move {
            drop(batch.commit());
            Ok::<(), CommitError>(())
        })
        .unwrap();
    let committed = || service.metric("kafka_consumer_committed_offset", &[]);
    until("last offset", committed, |offset| *offset == 100.0).await;
}

#[tokio::test]
async fn a_commit_that_the_coordinator_refuses_is_an_error_and_the_next_one_works() {
    let kafka = Kafka::new(1);
    kafka.fill(0..2).await;
    let service = kafka.service("").await;
    let results = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&results);
    kafka.cluster.push_request_errors(OFFSET_COMMIT, &[KafkaCode::from_raw(29)]);
    let scope = service.scope();
    scope
        .start(move |batch: Batch| {
            let noted = Arc::clone(&noted);
            async move {
                let result = batch.commit().await;
                noted.lock().await.push(result);
                Ok::<(), CommitError>(())
            }
        })
        .unwrap();
    let results = until(
        "both results",
        || results.try_lock().map(|results| results.clone()).unwrap_or_default(),
        |results| results.len() == 2,
    )
    .await;
    assert_eq!(results[0].as_ref().map_err(CommitError::kafka_code), Err(Some(29)));
    assert_eq!(results[1], Ok(()));
    assert_eq!(service.metric("kafka_consumer_commits", &[("result", "error")]), 1.0);
    assert_eq!(service.metric("kafka_consumer_commits", &[("result", "success")]), 1.0);
}

#[tokio::test]
async fn a_commit_after_the_stop_is_refused() {
    let kafka = Kafka::new(1);
    kafka.fill(0..1).await;
    let service = kafka.service("").await;
    let scope = service.scope();
    assert_eq!(scope.async_commit().await, Err(CommitError::Stopped));
    let mut batches = hand_out(&scope);
    let batch = within("batch", batches.recv()).await.unwrap();
    within("stop", scope.stop()).await;
    assert_eq!(batch.commit().await, Err(CommitError::Stopped));
    assert_eq!(scope.async_commit().await, Err(CommitError::Stopped));
}
