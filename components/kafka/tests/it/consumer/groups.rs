//! Several members of one group.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainspring_core::Health;
use mainspring_kafka::{Batch, CommitError};
use mainspring_kafka_ffi::KafkaCode;
use tokio::sync::Notify;

use crate::consumer::support::{Kafka, Running, hand_out, until, within};

fn assigned(service: &Running) -> f64 {
    service.metric("kafka_consumer_assigned_partitions", &[])
}

/// The mock cluster waits for a second less than the session for the members of a rebalance.
const CLASSIC: &str = "fetch.wait.max.ms: '10', session.timeout.ms: '6000', heartbeat.interval.ms: '100'";

/// Waits until commits cover so many messages: whatever is not committed comes again after a rebalance.
async fn committed(services: &[&Running], messages: f64) {
    let sum = || services.iter().map(|it| it.metric("kafka_consumer_committed_offset", &[])).sum::<f64>();
    until("commits", sum, |sum| *sum == messages).await;
}

async fn check_members_share_and_take_over(custom: &str) {
    let kafka = Kafka::new(4);
    kafka.fill(0..400).await;
    let options = format!("max_batch_size: 10\nrd_kafka_custom_options: {{{custom}}}");
    let (first, second) = (kafka.service(&options).await, kafka.service(&options).await);
    let (_first_scope, first_journal) = first.consume();
    first_journal.reached(400).await;
    committed(&[&first], 400.0).await;
    let (second_scope, second_journal) = second.consume();
    until("sharing", || (assigned(&first), assigned(&second)), |both| *both == (2.0, 2.0)).await;

    kafka.fill(400..800).await;
    let both = || {
        let mut numbers = [first_journal.numbers(), second_journal.numbers()].concat();
        numbers.sort_unstable();
        numbers
    };
    until("messages of both", || both().len(), |count| 800 <= *count).await;
    assert!(!second_journal.numbers().is_empty());
    committed(&[&first, &second], 800.0).await;

    within("stop", second_scope.stop()).await;
    until("take-over", || assigned(&first), |count| *count == 4.0).await;
    kafka.fill(800..1200).await;
    until("the rest", || both().len(), |count| 1200 <= *count).await;
    let repeated: Vec<_> = both().windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    assert_eq!(repeated, [0; 0], "nothing came twice");
    assert!(both().into_iter().eq(0..1200), "everything came");
}

#[tokio::test]
async fn members_share_partitions_and_take_over_under_the_new_protocol() {
    check_members_share_and_take_over(crate::consumer::support::QUICK).await;
}

#[tokio::test]
async fn members_share_partitions_and_take_over_under_the_eager_protocol() {
    check_members_share_and_take_over(CLASSIC).await;
}

#[tokio::test]
async fn members_share_partitions_and_take_over_under_the_cooperative_protocol() {
    let custom = format!("{CLASSIC}, partition.assignment.strategy: cooperative-sticky");
    check_members_share_and_take_over(&custom).await;
}

#[tokio::test]
async fn a_partition_that_was_handed_over_cannot_be_committed_any_more() {
    let kafka = Kafka::new(2);
    kafka.fill(0..2).await;
    let (first, second) = (kafka.service("max_batch_size: 2").await, kafka.service("").await);
    let scope = first.scope();
    let mut handed_out = hand_out(&scope);
    let mut batches = vec![within("batch", handed_out.recv()).await.unwrap()];
    if batches[0].len() == 1 {
        batches.push(within("batch", handed_out.recv()).await.unwrap());
    }
    let (_second_scope, journal) = second.consume();
    journal.reached(1).await;
    let mut results = Vec::new();
    for batch in &batches {
        results.push(batch.commit().await);
    }
    let handed_over = journal.batches()[0][0].partition;
    let refused = Err(CommitError::Revoked { topic: "t".to_owned(), partition: handed_over });
    assert!(results.contains(&refused), "{results:?}");
    until("the rest", || first.metric("kafka_consumer_committed_offset", &[]), |offset| *offset == 1.0).await;
}

#[tokio::test]
async fn a_revoked_partition_is_handed_over_only_after_its_batch_is_committed() {
    let kafka = Kafka::new(2);
    kafka.fill(0..2).await;
    // Both messages, of both partitions, are in the first batch.
    let first = kafka.service("max_batch_size: 2\npoll_timeout: 3s").await;
    let second = kafka.service("").await;
    let (_scope, journal, release) = first.consume_when_released().await;
    let (_second_scope, second_journal) = second.consume();
    let revocations = || first.metric("kafka_consumer_rebalances", &[("event", "revoke")]);
    until("revocation", revocations, |count| *count == 1.0).await;
    assert_eq!(assigned(&second), 0.0, "still held");
    assert_eq!(first.metric("kafka_consumer_commits", &[]), 0.0, "its callback still waits");
    until(
        "hand-over",
        || {
            release.notify_one();
            (assigned(&first), assigned(&second))
        },
        |both| *both == (1.0, 1.0),
    )
    .await;
    journal.reached(1).await;
    kafka.fill(2..4).await;
    let both = || {
        release.notify_one();
        let mut numbers = [journal.numbers(), second_journal.numbers()].concat();
        numbers.sort_unstable();
        numbers
    };
    until("all messages", both, |numbers| 4 <= numbers.len()).await;
    assert_eq!(both(), [0, 1, 2, 3], "none was processed twice");
}

#[tokio::test]
async fn a_member_that_is_idle_for_longer_than_the_poll_interval_stays_in_its_group() {
    let kafka = Kafka::new(1);
    let options = format!("max_callback_duration: 6s\nrd_kafka_custom_options: {{{CLASSIC}}}");
    let service = kafka.service(&options).await;
    let (_scope, journal) = service.consume();
    until("assignment", || assigned(&service), |count| *count == 1.0).await;
    // Nothing announces that nothing happened: this is how long nothing has to happen.
    tokio::time::sleep(Duration::from_secs(10)).await;
    kafka.fill(0..1).await;
    journal.reached(1).await;
    assert_eq!(service.metric("kafka_consumer_rebalances", &[]), 1.0);
    assert_eq!(service.metric("kafka_consumer_restarts", &[]), 0.0);
}

/// Kafka's number for the request.
const HEARTBEAT: i16 = 12;
const OFFSET_COMMIT: i16 = 8;

/// Kafka's number for what members with an old assignment are told under the new protocol.
const STALE_MEMBER_EPOCH: KafkaCode = KafkaCode::from_raw(113);

async fn check_commits_are_tried_again(custom: &str, code: KafkaCode) {
    let kafka = Kafka::new(1);
    kafka.fill(0..30).await;
    kafka.cluster.push_request_errors(OFFSET_COMMIT, &[code, code]);
    let service = kafka.service(&format!("max_batch_size: 10\nrd_kafka_custom_options: {{{custom}}}")).await;
    let (_scope, journal) = service.consume();
    journal.reached(30).await;
    committed(&[&service], 30.0).await;
    assert!(journal.numbers().into_iter().eq(0..30), "{:?}", journal.numbers());
    assert_eq!(service.metric("kafka_consumer_restarts", &[]), 0.0);
    assert_eq!(service.metric("kafka_consumer_commits", &[("error_type", &code.name())]), 2.0);
}

#[tokio::test]
async fn a_commit_that_meets_a_rebalance_is_tried_again_under_the_classic_protocol() {
    check_commits_are_tried_again(CLASSIC, KafkaCode::REBALANCE_IN_PROGRESS).await;
}

#[tokio::test]
async fn a_commit_that_meets_a_rebalance_is_tried_again_under_the_new_protocol() {
    check_commits_are_tried_again(crate::consumer::support::QUICK, STALE_MEMBER_EPOCH).await;
}

#[tokio::test]
async fn partitions_that_are_lost_come_back_with_everything_that_was_not_committed() {
    let kafka = Kafka::new(1);
    kafka.fill(0..10).await;
    let options = format!("max_batch_size: 10\npoll_timeout: 1h\nrd_kafka_custom_options: {{{CLASSIC}}}");
    let service = kafka.service(&options).await;
    let scope = service.scope();
    let mut batches = hand_out(&scope);
    let before = within("batch", batches.recv()).await.unwrap();
    kafka.cluster.push_request_errors(HEARTBEAT, &[KafkaCode::UNKNOWN_MEMBER_ID]);
    let lost = || service.metric("kafka_consumer_rebalances", &[("event", "lost")]);
    until("loss", lost, |count| *count == 1.0).await;
    let after = within("the same batch", batches.recv()).await.unwrap();
    let offsets = |batch: &Batch| batch.iter().map(mainspring_kafka::Message::offset).collect::<Vec<_>>();
    assert_eq!(offsets(&before)[0], offsets(&after)[0]);
    let refused = Err(CommitError::Revoked { topic: "t".to_owned(), partition: 0 });
    assert_eq!(before.commit().await, refused, "it belongs to the assignment before");
    assert_eq!(after.commit().await, Ok(()));
}

#[tokio::test]
async fn a_batch_holds_revoked_partitions_back_for_half_the_poll_interval_at_most() {
    let kafka = Kafka::new(1);
    kafka.fill(0..1).await;
    // The callback is cancelled after 20 s; a test machine has the other half of that to bring the revocation about.
    let custom = "fetch.wait.max.ms: '10', session.timeout.ms: '20000', heartbeat.interval.ms: '100'";
    let options = format!("max_callback_duration: 20s\nrd_kafka_custom_options: {{{custom}}}");
    let (first, second) = (kafka.service(&options).await, kafka.service(&options).await);
    let entered = Arc::new(Notify::new());
    let enters = Arc::clone(&entered);
    let scope = first.scope();
    scope
        .start(move |_: Batch| {
            enters.notify_one();
            std::future::pending::<Result<(), Infallible>>()
        })
        .unwrap();
    within("callback", entered.notified()).await;
    let (_second_scope, second_journal) = second.consume();
    let line = "Partitions are handed back before their batch is done; its messages may be processed twice";
    until("hand-over", || first.has_logged(line), |logged| *logged).await;
    // Whoever is given the partition then, the message is not lost.
    within("stop", scope.stop()).await;
    second_journal.reached(1).await;
}

#[tokio::test]
async fn a_callback_that_cannot_be_cancelled_costs_the_membership_and_batches_do_not_overlap() {
    let kafka = Kafka::new(1);
    kafka.fill(0..1).await;
    let first = kafka.service("max_callback_duration: 1s").await;
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = Mutex::new(released);
    let calls = Arc::new(AtomicUsize::new(0));
    let (counted, scope) = (Arc::clone(&calls), first.scope());
    scope
        .start(move |batch: Batch| {
            if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                // Blocks its thread: there is no point at which it could be cancelled.
                released.lock().unwrap().recv().unwrap();
            }
            async move { batch.commit().await }
        })
        .unwrap();
    until("trouble", || first.health(), Health::is_fatal).await;
    // The partition goes to somebody who can read it.
    let second = kafka.service("").await;
    let (second_scope, second_journal) = second.consume();
    second_journal.reached(1).await;
    committed(&[&second], 1.0).await;
    kafka.fill(1..3).await;
    second_journal.reached(3).await;
    committed(&[&second], 3.0).await;
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    within("stop", second_scope.stop()).await;

    release.send(()).unwrap();
    until("recovery", || first.health(), |health| *health == Health::Ok).await;
    kafka.fill(3..4).await;
    until("calls", || calls.load(Ordering::SeqCst), |calls| *calls == 2).await;
    assert_eq!(first.metric("kafka_consumer_restarts", &[("reason", "poll_exceeded")]), 1.0);
}
