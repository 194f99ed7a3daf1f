//! Several members of one group.

use std::sync::Arc;
use std::time::Duration;

use mainspring_kafka::{Batch, CommitError};
use tokio::sync::{Notify, mpsc};

use crate::consumer::support::{Journal, Kafka, Running, until, within};

fn assigned(service: &Running) -> f64 {
    service.metric("kafka_consumer_assigned_partitions", &[])
}

const CLASSIC: &str = "fetch.wait.max.ms: '10', session.timeout.ms: '2000', heartbeat.interval.ms: '100'";

async fn check_members_share_and_take_over(custom: &str) {
    let kafka = Kafka::new(4);
    kafka.fill(0..400).await;
    let options = format!("max_batch_size: 10\nrd_kafka_custom_options: {{{custom}}}");
    let (first, second) = (kafka.service(&options).await, kafka.service(&options).await);
    let (_first_scope, first_journal) = first.consume();
    first_journal.reached(400).await;
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
    let (tx, mut rx) = mpsc::channel(8);
    let scope = first.scope();
    scope
        .start(move |batch: Batch| {
            let tx = tx.clone();
            async move { tx.send(batch).await }
        })
        .unwrap();
    let mut batches = vec![within("batch", rx.recv()).await.unwrap()];
    if batches[0].len() == 1 {
        batches.push(within("batch", rx.recv()).await.unwrap());
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
    let (first, second) = (kafka.service("max_batch_size: 2").await, kafka.service("").await);
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let journal = Journal::default();
    let (noted, enters, released) = (journal.clone(), Arc::clone(&entered), Arc::clone(&release));
    let scope = first.scope();
    scope
        .start(move |batch: Batch| {
            let (enters, released) = (Arc::clone(&enters), Arc::clone(&released));
            noted.note(&batch);
            async move {
                enters.notify_one();
                released.notified().await;
                batch.commit().await
            }
        })
        .unwrap();
    within("callback", entered.notified()).await;
    let (_second_scope, second_journal) = second.consume();
    let revocations = || first.metric("kafka_consumer_rebalances", &[("event", "revoke")]);
    until("revocation", revocations, |count| *count == 1.0).await;
    assert_eq!(assigned(&second), 0.0, "still held");
    // The first batch may have one message or both, so there may be a second one.
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
async fn a_member_that_is_idle_or_slow_for_longer_than_the_poll_interval_stays_in_its_group() {
    let kafka = Kafka::new(1);
    let custom = "fetch.wait.max.ms: '10', session.timeout.ms: '1000', heartbeat.interval.ms: '100'";
    let options = format!("max_callback_duration: 1s\nrd_kafka_custom_options: {{{custom}}}");
    let service = kafka.service(&options).await;
    let (_scope, journal) = service.consume();
    until("assignment", || assigned(&service), |count| *count == 1.0).await;
    // Nothing announces that nothing happened: this is how long nothing has to happen.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    kafka.fill(0..1).await;
    journal.reached(1).await;
    assert_eq!(service.metric("kafka_consumer_rebalances", &[]), 1.0);
    assert_eq!(service.metric("kafka_consumer_restarts", &[]), 0.0);
}
