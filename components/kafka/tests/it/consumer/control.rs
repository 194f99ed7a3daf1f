//! Seeking, pausing, and asking, while the consumer runs.

use mainspring_kafka::{CommitError, ControlError, Position};
use mainspring_kafka_ffi::KafkaCode;

use crate::consumer::support::{Kafka, Running, hand_out, until, within};

/// Kafka's number for the request.
const LIST_OFFSETS: i16 = 2;

fn paused(service: &Running) -> f64 {
    service.metric("kafka_consumer_paused_partitions", &[])
}

#[tokio::test]
async fn a_seek_reads_again_from_an_offset_and_commits_follow() {
    let kafka = Kafka::new(1);
    kafka.fill(0..20).await;
    let service = kafka.service("commit_policy: after_batch\nmax_batch_size: 5").await;
    let (scope, journal) = service.consume();
    journal.reached(20).await;
    within("seek", scope.seek("t", 0, Position::Offset(15))).await.unwrap();
    journal.reached(25).await;
    assert!(journal.numbers()[20..].iter().copied().eq(15..20));
    within("seek", scope.seek("t", 0, Position::Beginning)).await.unwrap();
    journal.reached(45).await;
    assert!(journal.numbers()[25..].iter().copied().eq(0..20));
    within("seek", scope.seek("t", 0, Position::End)).await.unwrap();
    kafka.fill(20..21).await;
    journal.reached(46).await;
    assert_eq!(journal.numbers()[45..], [20], "and nothing before");
}

#[tokio::test]
async fn messages_handed_out_before_a_seek_cannot_be_committed_any_more() {
    let kafka = Kafka::new(1);
    kafka.fill(0..10).await;
    let service = kafka.service("max_batch_size: 10\npoll_timeout: 1h").await;
    let scope = service.scope();
    let mut batches = hand_out(&scope);
    let before = within("batch", batches.recv()).await.unwrap();
    within("seek", scope.seek("t", 0, Position::Beginning)).await.unwrap();
    let refused = Err(CommitError::Revoked { topic: "t".to_owned(), partition: 0 });
    assert_eq!(before.commit().await, refused);
    let after = within("the same batch", batches.recv()).await.unwrap();
    assert_eq!(after.commit().await, Ok(()));
}

#[tokio::test]
async fn a_seek_right_after_the_assignment_is_not_lost() {
    let kafka = Kafka::new(1);
    kafka.fill(0..20).await;
    // Committed offsets are asked for first, and until they are known a seek is refused.
    kafka.cluster.set_rtt(1, std::time::Duration::from_millis(150)).unwrap();
    for round in 0..3 {
        let service = kafka.service(&format!("group_id: round-{round}\nmax_batch_size: 20")).await;
        let (scope, journal) = service.consume();
        until("assignment", || scope.assignment().len(), |count| *count == 1).await;
        within("seek", scope.seek("t", 0, Position::Offset(18))).await.unwrap();
        let before = journal.numbers().len();
        until("the last ones", || journal.numbers(), |numbers| numbers.ends_with(&[18, 19])).await;
        let numbers = journal.numbers();
        // Whatever a callback had been given by then; after the seek nothing but what it asked for.
        assert!(numbers.len() <= before + 2 + 20, "{numbers:?}");
    }
}

#[tokio::test]
async fn a_paused_partition_is_not_read_until_it_is_resumed_and_nothing_is_left_out() {
    let kafka = Kafka::new(2);
    kafka.fill(0..20).await;
    let service = kafka.service("max_batch_size: 3").await;
    let (scope, journal) = service.consume();
    journal.reached(20).await;
    within("pause", scope.pause("t", 0)).await.unwrap();
    within("pause", scope.pause("t", 0)).await.unwrap();
    assert_eq!(paused(&service), 1.0);
    kafka.fill(20..60).await;
    journal.reached(40).await;
    let offsets = journal.offsets();
    assert_eq!((offsets[&0].len(), offsets[&1].len()), (10, 30), "the other partition goes on");
    within("resume", scope.resume("t", 0)).await.unwrap();
    within("resume", scope.resume("t", 0)).await.unwrap();
    journal.reached(60).await;
    let offsets = journal.offsets();
    assert!(offsets.values().all(|offsets| offsets.iter().copied().eq(0..30)), "{offsets:?}");
    assert_eq!(paused(&service), 0.0);
    assert_eq!(service.metric("kafka_consumer_processed_messages", &[("result", "error")]), 0.0);
}

#[tokio::test]
async fn a_pause_takes_what_waits_for_its_batch_to_fill_and_a_resume_brings_it() {
    let kafka = Kafka::new(1);
    kafka.fill(0..5).await;
    let service = kafka.service("max_batch_size: 10\npoll_timeout: 1h").await;
    let (scope, journal) = service.consume();
    let taken = || service.metric("messaging_client_consumed_messages", &[]);
    until("five collected", taken, |count| *count == 5.0).await;
    within("pause", scope.pause("t", 0)).await.unwrap();
    kafka.fill(5..10).await;
    assert_eq!(journal.numbers(), [0; 0]);
    within("resume", scope.resume("t", 0)).await.unwrap();
    journal.reached(10).await;
    assert!(journal.numbers().into_iter().eq(0..10), "{:?}", journal.numbers());
}

async fn check_pauses_survive_a_rebalance(custom: &str) {
    let kafka = Kafka::new(4);
    let options = format!("rd_kafka_custom_options: {{{custom}}}");
    let (first, second) = (kafka.service(&options).await, kafka.service(&options).await);
    let (scope, journal) = first.consume();
    until("assignment", || scope.assignment().len(), |count| *count == 4).await;
    for partition in 0..4 {
        within("pause", scope.pause("t", partition)).await.unwrap();
    }
    let (second_scope, second_journal) = second.consume();
    until("sharing", || (scope.assignment().len(), second_scope.assignment().len()), |both| *both == (2, 2))
        .await;
    assert_eq!(paused(&first), 2.0, "those that it kept");
    assert_eq!(paused(&second), 0.0);
    kafka.fill(0..40).await;
    second_journal.reached(20).await;
    assert_eq!(journal.numbers(), [0; 0]);
    for kept in scope.assignment() {
        within("resume", scope.resume(&kept.topic, kept.partition)).await.unwrap();
    }
    journal.reached(20).await;
    let all = || {
        let mut numbers = [journal.numbers(), second_journal.numbers()].concat();
        numbers.sort_unstable();
        numbers
    };
    assert!(all().into_iter().eq(0..40));

    // Those that went to the other member come back, and are read: a pause ends with the assignment.
    within("stop", second_scope.stop()).await;
    until("take-over", || scope.assignment().len(), |count| *count == 4).await;
    kafka.fill(40..60).await;
    until("the rest", all, |numbers| 60 <= numbers.len()).await;
    assert!(all().into_iter().eq(0..60));
}

#[tokio::test]
async fn pauses_survive_an_eager_rebalance() {
    let classic = "fetch.wait.max.ms: '10', session.timeout.ms: '6000', heartbeat.interval.ms: '100'";
    check_pauses_survive_a_rebalance(classic).await;
}

#[tokio::test]
async fn pauses_survive_a_rebalance_of_the_new_protocol() {
    check_pauses_survive_a_rebalance(crate::consumer::support::QUICK).await;
}

#[tokio::test]
async fn brokers_are_asked_for_ranges_lag_and_partitions() {
    let kafka = Kafka::new(3);
    kafka.fill(0..30).await;
    let service = kafka.service("max_batch_size: 30\npoll_timeout: 1h").await;
    let scope = service.scope();
    let mut batches = hand_out(&scope);
    let batch = within("batch", batches.recv()).await.unwrap();
    let range = within("range", scope.offset_range("t", 1)).await.unwrap();
    assert_eq!((range.low, range.high), (0, 10));
    until(
        "processing",
        || service.metric("kafka_consumer_processed_messages", &[("result", "success")]),
        |it| *it == 30.0,
    )
    .await;
    batch.commit().await.unwrap();
    assert_eq!(within("lag", scope.lag("t", 1)).await, Ok(0));
    kafka.fill(30..36).await;
    assert_eq!(within("lag", scope.lag("t", 1)).await, Ok(2));
    let mut ids = within("ids", scope.partition_ids("t")).await.unwrap();
    ids.sort_unstable();
    assert_eq!(ids, [0, 1, 2]);
}

#[tokio::test]
async fn what_cannot_be_done_is_a_typed_error() {
    let kafka = Kafka::new(1);
    let service = kafka.service("").await;
    let scope = service.scope();
    assert_eq!(scope.pause("t", 0).await, Err(ControlError::Stopped));
    let (scope, _journal) = {
        drop(scope);
        service.consume()
    };
    until("assignment", || scope.assignment().len(), |count| *count == 1).await;
    let not_ours = ControlError::NotAssigned { topic: "t".to_owned(), partition: 7 };
    assert_eq!(within("pause", scope.pause("t", 7)).await, Err(not_ours.clone()));
    assert_eq!(within("resume", scope.resume("t", 7)).await, Err(not_ours.clone()));
    assert_eq!(within("seek", scope.seek("t", 7, Position::Beginning)).await, Err(not_ours.clone()));
    assert_eq!(not_ours.to_string(), "`t`[7] is not assigned to this member");
    let below_zero = scope.seek("t", 0, Position::Offset(-1)).await;
    assert_eq!(below_zero, Err(ControlError::InvalidOffset { offset: -1 }));
    let unknown = within("range", scope.offset_range("t", 7)).await.unwrap_err();
    assert!(matches!(&unknown, ControlError::Query { partition: Some(7), .. }), "{unknown:?}");
    assert!(!unknown.is_retryable(), "{unknown}");
    within("stop", scope.stop()).await;
    assert_eq!(scope.resume("t", 0).await, Err(ControlError::Stopped));
}

#[tokio::test]
async fn a_broker_that_does_not_answer_is_a_retryable_error_and_consuming_goes_on_meanwhile() {
    let kafka = Kafka::new(1);
    kafka.fill(0..1).await;
    let service = kafka.service("").await;
    let (scope, journal) = service.consume();
    journal.reached(1).await;
    // The leader, as the broker sees it, is another broker; 1000 times.
    kafka.cluster.push_request_errors(LIST_OFFSETS, &[KafkaCode::from_raw(5); 1000]);
    let asking = scope.offset_range("t", 0);
    let (answer, ()) = tokio::join!(within("answer", asking), async {
        kafka.fill(1..11).await;
        journal.reached(11).await;
    });
    let error = answer.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
}
