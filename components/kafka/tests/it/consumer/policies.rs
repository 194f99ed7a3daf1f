//! Commits that come by themselves: only what was processed, also when the member goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mainspring_kafka::Batch;
use tokio::sync::Notify;

use crate::consumer::support::{Journal, Kafka, Running, until, within};

fn committed(service: &Running) -> f64 {
    service.metric("kafka_consumer_committed_offset", &[])
}

/// Consumes without a commit of its own; fails where told.
fn consume(
    service: &Running,
    fails: impl Fn(usize) -> bool + Send + Sync + 'static,
) -> (mainspring_kafka::ConsumerScope, Journal) {
    let (journal, scope) = (Journal::default(), service.scope());
    let written = journal.clone();
    scope
        .start(move |batch: Batch| {
            let batch_idx = written.note(&batch);
            std::future::ready(if fails(batch_idx) { Err("not today") } else { Ok(()) })
        })
        .unwrap();
    (scope, journal)
}

#[tokio::test]
async fn after_batch_commits_each_batch_that_succeeds() {
    let kafka = Kafka::new(2);
    kafka.fill(0..40).await;
    let service = kafka.service("commit_policy: after_batch\nmax_batch_size: 10").await;
    let (_scope, journal) = consume(&service, |_| false);
    journal.reached(40).await;
    until("commit", || committed(&service), |sum| *sum == 40.0).await;
}

#[tokio::test]
async fn a_batch_that_fails_is_not_committed_and_comes_again() {
    let kafka = Kafka::new(1);
    kafka.fill(0..30).await;
    let options =
        "commit_policy: after_batch\nmax_batch_size: 10\npoll_timeout: 1h\nrestart_after_failure_delay: 1h";
    let service = kafka.service(options).await;
    let (scope, journal) = consume(&service, |batch_idx| batch_idx == 2);
    until("failure", || service.state(), |state| state == "backoff").await;
    until("commit", || committed(&service), |offset| *offset == 20.0).await;
    within("stop", scope.stop()).await;
    drop(scope);
    assert!(journal.numbers().into_iter().eq(0..30));

    let service = kafka.service("commit_policy: after_batch\nmax_batch_size: 10").await;
    let (_scope, journal) = consume(&service, |_| false);
    journal.reached(10).await;
    assert!(journal.numbers().into_iter().eq(20..30), "what failed, and nothing else");
}

#[tokio::test]
async fn periodic_commits_after_its_interval_and_not_before() {
    let kafka = Kafka::new(1);
    kafka.fill(0..10).await;
    let options = "commit_policy: periodic\ncommit_interval: 400ms\nmax_batch_size: 1";
    let service = kafka.service(options).await;
    let began = tokio::time::Instant::now();
    let (_scope, journal) = consume(&service, |_| false);
    journal.reached(10).await;
    until("commit", || committed(&service), |offset| *offset == 10.0).await;
    assert!(std::time::Duration::from_millis(400) <= began.elapsed());
    let commits = service.metric("kafka_consumer_commits", &[]);
    assert!(commits <= 2.0, "one commit for many batches, found {commits}");
}

async fn check_stop_commits(policy: &str) {
    let kafka = Kafka::new(2);
    kafka.fill(0..20).await;
    let options =
        format!("commit_policy: {policy}\ncommit_interval: 1h\nmax_batch_size: 20\npoll_timeout: 300ms");
    let service = kafka.service(&options).await;
    let (scope, journal) = consume(&service, |_| false);
    journal.reached(20).await;
    within("stop", scope.stop()).await;
    drop(scope);
    kafka.fill(20..22).await;
    let (_scope, journal) = consume(&service, |_| false);
    journal.reached(2).await;
    let mut numbers = journal.numbers();
    numbers.sort_unstable();
    assert_eq!(numbers, [20, 21], "nothing comes again after a stop");
}

#[tokio::test]
async fn a_stop_commits_what_was_processed_with_after_batch() {
    check_stop_commits("after_batch").await;
}

#[tokio::test]
async fn a_stop_commits_what_was_processed_with_periodic() {
    check_stop_commits("periodic").await;
}

#[tokio::test]
async fn a_stop_commits_nothing_of_the_batch_that_it_cancels() {
    let kafka = Kafka::new(1);
    kafka.fill(0..20).await;
    let options = "commit_policy: periodic\ncommit_interval: 1h\nmax_batch_size: 10\npoll_timeout: 1h\nmax_callback_duration: 1s";
    let service = kafka.service(options).await;
    let (scope, entered, is_first) =
        (service.scope(), Arc::new(Notify::new()), Arc::new(AtomicBool::new(true)));
    let enters = Arc::clone(&entered);
    scope
        .start(move |_: Batch| {
            let (enters, is_first) = (Arc::clone(&enters), is_first.swap(false, Ordering::SeqCst));
            async move {
                if !is_first {
                    enters.notify_one();
                    std::future::pending::<()>().await;
                }
                Ok::<_, std::convert::Infallible>(())
            }
        })
        .unwrap();
    within("second batch", entered.notified()).await;
    within("stop", scope.stop()).await;
    drop(scope);
    let (_scope, journal) = consume(&service, |_| false);
    journal.reached(10).await;
    assert!(journal.numbers().into_iter().eq(10..20));
}

#[tokio::test]
async fn a_revocation_commits_what_was_processed() {
    let kafka = Kafka::new(2);
    kafka.fill(0..40).await;
    let options = "commit_policy: periodic\ncommit_interval: 1h\nmax_batch_size: 5";
    let (first, second) = (kafka.service(options).await, kafka.service(options).await);
    let (_first_scope, first_journal) = consume(&first, |_| false);
    first_journal.reached(40).await;
    let (_second_scope, second_journal) = consume(&second, |_| false);
    let assigned = |service: &Running| service.metric("kafka_consumer_assigned_partitions", &[]);
    until("sharing", || (assigned(&first), assigned(&second)), |both| *both == (1.0, 1.0)).await;
    kafka.fill(40..60).await;
    let both = || {
        let mut numbers = [first_journal.numbers(), second_journal.numbers()].concat();
        numbers.sort_unstable();
        numbers
    };
    until("the rest", || both().len(), |count| 60 <= *count).await;
    assert!(both().into_iter().eq(0..60), "nothing comes twice: {:?}", both());
}
