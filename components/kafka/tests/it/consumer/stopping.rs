//! Starting, stopping, and stopping when nothing goes well.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mainspring_core::Health;
use mainspring_kafka::{Batch, ConsumerError};
use mainspring_kafka_ffi::KafkaCode;
use tokio::sync::Notify;

use crate::consumer::support::{Kafka, Running, hand_out, until, within};

/// What [`mainspring_kafka::ConsumerScope::stop`] promises, and as much again for a busy machine.
const STOP_MAX: Duration = Duration::from_secs(40);

async fn nothing(_: Batch) -> Result<(), Infallible> {
    Ok(())
}

#[tokio::test]
async fn a_consumer_is_used_by_one_scope_and_started_once_at_a_time() {
    let kafka = Kafka::new(1);
    let service = kafka.service("").await;
    let component = "kafka-consumer".to_owned();
    let scope = service.scope();
    let in_use = service.component().consumer().unwrap_err();
    assert_eq!(in_use, ConsumerError::InUse { component: component.clone() });
    scope.start(nothing).unwrap();
    assert_eq!(scope.start(nothing), Err(ConsumerError::Running { component }));
    within("stop", scope.stop()).await;
    within("second stop", scope.stop()).await;
    scope.start(nothing).unwrap();
    drop(scope);
    let again = service.scope();
    again.start(nothing).unwrap();
    until("partitions", || service.metric("kafka_consumer_assigned_partitions", &[]), |count| *count == 1.0)
        .await;
}

#[tokio::test]
async fn a_dropped_scope_stops_the_consumer() {
    let kafka = Kafka::new(1);
    let service = kafka.service("").await;
    assert_eq!(service.state(), "stopped");
    let (scope, _) = service.consume();
    until("start", || service.state(), |state| state == "running").await;
    drop(scope);
    until("stop", || service.state(), |state| state == "stopped").await;
}

#[tokio::test]
async fn a_callback_may_finish_and_commit_while_the_service_stops() {
    let kafka = Kafka::new(1);
    kafka.fill(0..20).await;
    let service = kafka.service("max_batch_size: 10\npoll_timeout: 1h").await;
    // Released once: another batch would never end.
    let (_scope, _, release) = service.consume_when_released().await;
    service.handle.stop("the test says so");
    let line = "Consumer is stopped before the component that uses it";
    until("stop of the consumer", || service.has_logged(line), |logged| *logged).await;
    release.notify_one();
    let report = service.stop().await;
    assert_eq!(report.unfinished, Vec::<String>::new());

    let service = kafka.service("max_batch_size: 10\npoll_timeout: 1h").await;
    let (_scope, journal) = service.consume();
    journal.reached(10).await;
    assert!(journal.numbers().into_iter().eq(10..20), "{:?}", journal.numbers());
}

#[tokio::test]
async fn a_callback_that_does_not_end_delays_the_stop_by_its_own_limit_only() {
    let kafka = Kafka::new(1);
    kafka.fill(0..1).await;
    let service = kafka.service("max_callback_duration: 2s").await;
    let entered = Arc::new(Notify::new());
    let enters = Arc::clone(&entered);
    let scope = service.scope();
    scope
        .start(move |_: Batch| {
            enters.notify_one();
            pending::<Result<(), Infallible>>()
        })
        .unwrap();
    within("callback", entered.notified()).await;
    let began = Instant::now();
    within("stop", scope.stop()).await;
    assert!(began.elapsed() < Duration::from_secs(10), "without it, it would be ten seconds and more");
    assert_eq!(service.state(), "stopped");
}

#[tokio::test]
async fn stopping_is_bounded_when_the_brokers_are_gone() {
    let kafka = Kafka::new(1);
    kafka.fill(0..1).await;
    let service = kafka.service("").await;
    let (scope, journal) = service.consume();
    journal.reached(1).await;
    // A callback that waits for its commit would get its own ten seconds.
    until("commit", || service.metric("kafka_consumer_commits", &[]), |count| *count == 1.0).await;
    kafka.cluster.set_broker_down(1).unwrap();
    until("trouble", || service.health(), |health| *health != Health::Ok).await;
    let began = Instant::now();
    within("stop", scope.stop()).await;
    assert!(began.elapsed() < STOP_MAX, "{:?}", began.elapsed());
    let report = service.stop().await;
    assert_eq!(report.unfinished, Vec::<String>::new());
}

#[tokio::test]
async fn a_service_starts_and_stops_without_brokers() {
    // Nobody listens on port 1.
    let service = Running::start("127.0.0.1:1", "").await;
    let (_scope, _) = service.consume();
    until("trouble", || service.health(), |health| *health != Health::Ok).await;
    let began = Instant::now();
    let report = service.stop().await;
    assert!(began.elapsed() < STOP_MAX, "{:?}", began.elapsed());
    assert_eq!(report.unfinished, Vec::<String>::new());
}

#[tokio::test]
async fn messages_that_are_still_held_do_not_block_the_stop() {
    let kafka = Kafka::new(1);
    kafka.fill(0..1).await;
    let service = kafka.service("").await;
    let scope = service.scope();
    let mut batches = hand_out(&scope);
    let held = within("batch", batches.recv()).await.unwrap();
    let began = Instant::now();
    within("stop", scope.stop()).await;
    assert!(began.elapsed() < STOP_MAX, "{:?}", began.elapsed());
    assert_eq!(held.iter().next().unwrap().payload(), Some(&b"0"[..]), "still readable");
}

#[tokio::test]
async fn nothing_starts_after_the_service_has_stopped() {
    let kafka = Kafka::new(1);
    let service = kafka.service("").await;
    let scope = service.scope();
    service.stop().await;
    assert_eq!(scope.start(nothing), Err(ConsumerError::Stopped { component: "kafka-consumer".to_owned() }));
}

#[tokio::test]
async fn a_stop_does_not_wait_for_the_delay_after_a_failure() {
    let kafka = Kafka::new(1);
    kafka.fill(0..1).await;
    let service = kafka.service("restart_after_failure_delay: 1h").await;
    let scope = service.scope();
    scope.start(|_: Batch| async { Err::<(), _>("not today") }).unwrap();
    until("failure", || service.state(), |state| state == "backoff").await;
    within("stop", scope.stop()).await;
    assert_eq!((service.state().as_str(), service.health()), ("stopped", Health::Ok));
}

#[tokio::test]
async fn a_stop_is_bounded_while_a_callback_waits_for_a_commit_that_nobody_answers() {
    let kafka = Kafka::new(1);
    kafka.fill(0..1).await;
    let service = kafka.service("").await;
    let (scope, _, release) = service.consume_when_released().await;
    kafka.cluster.set_broker_down(1).unwrap();
    release.notify_one();
    let began = Instant::now();
    within("stop", scope.stop()).await;
    assert!(began.elapsed() < STOP_MAX, "{:?}", began.elapsed());
    assert_eq!(service.state(), "stopped");
}

#[tokio::test]
async fn a_consumer_started_again_waits_for_the_callback_that_outlived_its_stop() {
    let kafka = Kafka::new(1);
    kafka.fill(0..1).await;
    let service = kafka.service("max_callback_duration: 1s").await;
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (entered, scope) = (Arc::new(Notify::new()), service.scope());
    let (enters, released) = (Arc::clone(&entered), std::sync::Mutex::new(released));
    scope
        .start(move |_: Batch| {
            enters.notify_one();
            // Blocks its thread: there is no point at which it could be cancelled.
            released.lock().unwrap().recv().unwrap();
            async { Ok::<(), Infallible>(()) }
        })
        .unwrap();
    within("callback", entered.notified()).await;
    let began = Instant::now();
    within("stop", scope.stop()).await;
    assert!(began.elapsed() < STOP_MAX, "{:?}", began.elapsed());

    let journal = crate::consumer::support::Journal::default();
    let noted = journal.clone();
    scope
        .start(move |batch: Batch| {
            noted.note(&batch);
            async move { batch.commit().await }
        })
        .unwrap();
    until("the wait", || service.state(), |state| state == "backoff").await;
    assert_eq!(journal.numbers(), [0; 0], "batches never overlap");
    release.send(()).unwrap();
    journal.reached(1).await;
}

/// Kafka's numbers for the requests.
const FIND_COORDINATOR: i16 = 10;
const LEAVE_GROUP: i16 = 13;

#[tokio::test]
async fn a_stop_is_bounded_when_the_coordinator_is_not_available() {
    // librdkafka before 2.14.2 may crash in the answer to the request that leaves the group.
    let kafka = Kafka::new(1);
    kafka.fill(0..1).await;
    let classic = "fetch.wait.max.ms: '10', session.timeout.ms: '6000', heartbeat.interval.ms: '100'";
    let service = kafka.service(&format!("rd_kafka_custom_options: {{{classic}}}")).await;
    let (scope, journal) = service.consume();
    journal.reached(1).await;
    until("commit", || service.metric("kafka_consumer_commits", &[]), |count| *count == 1.0).await;
    // COORDINATOR_NOT_AVAILABLE and NOT_COORDINATOR, for longer than anybody tries.
    kafka.cluster.push_request_errors(FIND_COORDINATOR, &[KafkaCode::from_raw(15); 1000]);
    kafka.cluster.push_request_errors(LEAVE_GROUP, &[KafkaCode::from_raw(16); 1000]);
    let began = Instant::now();
    within("stop", scope.stop()).await;
    assert!(began.elapsed() < STOP_MAX, "{:?}", began.elapsed());
    assert_eq!(service.stop().await.unfinished, Vec::<String>::new());
}
