//! What only the inside shows: how often the event loop wakes, a full queue without a broker, a fatal error.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use mainspring_config::{FakeSurroundings, Source, VarsOptions};
use mainspring_core::{Health, LoadError};
use mainspring_engine::{Engine, TaskProcessor, TaskProcessorSpec};
use mainspring_kafka_ffi::{self as ffi, KafkaCode, MockCluster};
use mainspring_metrics::Registry;
use tokio::time::timeout;

use crate::client::{ClientState, Connection, Role};
use crate::producer::clients::{Live, Renewal};
use crate::producer::handle::Inner;
use crate::producer::metrics::Metrics;
use crate::{Delivery, Producer, ProducerConfig, Record, SendError, SendFuture};

/// Nobody listens there.
const NOWHERE: &str = "127.0.0.1:1";

fn start(brokers: &str, keys: &str) -> (Producer, Arc<Live>) {
    let (inner, live, _) = make(brokers, keys);
    (Producer { inner: Arc::new(inner) }, live)
}

type Create = Arc<dyn Fn() -> Result<ffi::Producer, LoadError> + Send + Sync>;

fn make(brokers: &str, keys: &str) -> (Inner, Arc<Live>, Create) {
    let text = format!("security_protocol: PLAINTEXT\nstatistics_interval: 0s\n{keys}\n");
    let source = Source::new("test.yaml", text);
    let root = mainspring_config::load(&source, &VarsOptions::default(), &FakeSurroundings::default());
    let config: ProducerConfig = root.unwrap().read().unwrap();
    let connection = Connection::to(brokers);
    let common = config.common.clone();
    let delivery_timeout = *config.delivery_timeout;
    let create = move || Ok(ffi::Producer::new(config.client_config(&connection)?)?);
    let live = Arc::new(Live::new(create().unwrap()));
    let inner = Inner::new(
        Arc::clone(&live),
        ClientState::new("kafka-producer", Role::Producer, &common),
        Metrics::new(&Registry::default(), "kafka-producer"),
        delivery_timeout,
        common.operation_log_level,
    );
    (inner, live, Arc::new(create))
}

/// A producer whose client can be replaced, with what has to live as long.
fn start_renewing(brokers: &str, keys: &str) -> (Producer, Arc<Live>, Engine) {
    start_renewing_with(brokers, keys, |create, _| create)
}

/// The same with a way to make the next client that is told how the usual one is made.
fn start_renewing_with(
    brokers: &str,
    keys: &str,
    next: impl FnOnce(Create, TaskProcessor) -> Create,
) -> (Producer, Arc<Live>, Engine) {
    let spec = TaskProcessorSpec::new("producer-task-processor", 1);
    let engine = Engine::start([spec], &tracing::Dispatch::none()).unwrap();
    let processor = engine.processors().get("producer-task-processor").cloned().unwrap();
    let (inner, live, create) = make(brokers, keys);
    let create = next(create, processor.clone());
    let inner = inner.renewing(Renewal { processor, create, is_final: |_| false });
    (Producer { inner: Arc::new(inner) }, live, engine)
}

/// Waits a moment at a time.
async fn until(mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(30), waiting).await.expect("it comes to that");
}

/// Runs `work` while the events are served; the loop ends with it. `turns` counts how often it is woken.
async fn serving<T>(
    producer: &Producer,
    live: Arc<Live>,
    turns: &AtomicU32,
    work: impl Future<Output = T>,
) -> T {
    let mut serve = pin!(Arc::clone(&producer.inner).serve(live));
    let serve = std::future::poll_fn(|cx| {
        turns.fetch_add(1, Ordering::Relaxed);
        serve.as_mut().poll(cx)
    });
    tokio::select! {
        done = work => done,
        () = serve => unreachable!("events are served for ever"),
    }
}

fn uncounted() -> AtomicU32 {
    AtomicU32::new(0)
}

#[test]
fn handles_may_be_sent_and_shared() {
    fn check<T: Send + Sync>() {}
    check::<Producer>();
    check::<Record>();
    check::<Delivery>();
    check::<SendError>();
    fn check_send<T: Send>() {}
    check_send::<SendFuture>();
}

#[tokio::test]
async fn nothing_wakes_while_there_is_nothing_to_do() {
    let cluster = MockCluster::new(1).unwrap();
    let (producer, live) = start(&cluster.bootstrap_servers(), "queue_buffering_max: 0s");
    let turns = AtomicU32::new(0);
    let in_an_idle_second = serving(&producer, live, &turns, async {
        producer.send(Record::to("orders").with_payload("first")).await.unwrap();
        // What the first record set off may take a moment to settle.
        for _ in 0..10 {
            let before = turns.load(Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(1)).await;
            let after = turns.load(Ordering::Relaxed);
            if after == before {
                return 0;
            }
        }
        turns.load(Ordering::Relaxed)
    })
    .await;
    assert_eq!(in_an_idle_second, 0, "it wakes every second");
}

#[tokio::test]
async fn a_queue_that_stays_full_is_an_error_after_the_timeout() {
    let keys = "queue_buffering_max_messages: 1\ndelivery_timeout: 60s";
    let (producer, live) = start(NOWHERE, keys);
    let inner = Arc::new(Inner::new(
        live,
        ClientState::new("kafka-producer", Role::Producer, &common()),
        Metrics::new(&Registry::default(), "kafka-producer"),
        Duration::from_millis(50),
        mainspring_logging::Level::Debug,
    ));
    let impatient = Producer { inner };
    let occupant = producer.send_async(Record::to("orders").with_payload("one"));
    let error = impatient.send(Record::to("orders").with_payload("two").with_partition(1)).await.unwrap_err();
    assert!(matches!(error, SendError::QueueFull { .. }), "{error}");
    assert!(error.is_retryable());
    assert_eq!(
        error.to_string(),
        "send to `orders`[1] failed: no space in the producer's queue within 50ms (retryable)"
    );
    assert_eq!(producer.in_flight(), 1);
    drop(occupant);
}

fn common() -> crate::CommonConfig {
    serde_json::from_str(r#"{"security_protocol": "PLAINTEXT"}"#).unwrap()
}

#[tokio::test]
async fn a_waiting_record_that_is_given_up_is_not_sent() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("orders", 1, 1).unwrap();
    let keys = "queue_buffering_max_messages: 1\nqueue_buffering_max: 0s\ndelivery_timeout: 60s";
    let (producer, live) = start(&cluster.bootstrap_servers(), keys);
    // Not served yet, so the only place stays taken.
    let first = producer.send_async(Record::to("orders").with_payload("one"));
    let mut given_up = producer.send_async(Record::to("orders").with_payload("two"));
    assert!(timeout(Duration::from_millis(20), given_up.enqueued()).await.is_err());
    let last = producer.send_async(Record::to("orders").with_payload("three"));
    drop(given_up);
    let both = async { (first.await.unwrap().offset, last.await.unwrap().offset) };
    assert_eq!(serving(&producer, live, &uncounted(), both).await, (Some(0), Some(1)));
}

#[tokio::test]
async fn a_waiting_record_is_sent_even_if_its_future_is_never_polled() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("orders", 1, 1).unwrap();
    let keys = "queue_buffering_max_messages: 1\nqueue_buffering_max: 0s\ndelivery_timeout: 60s";
    let (producer, live) = start(&cluster.bootstrap_servers(), keys);
    let _first = producer.send_async(Record::to("orders").with_payload("one"));
    let _kept = producer.send_async(Record::to("orders").with_payload("two"));
    let last = producer.send_async(Record::to("orders").with_payload("three"));
    let delivered = serving(&producer, live, &uncounted(), last).await.unwrap();
    assert_eq!(delivered.offset, Some(2));
}

#[tokio::test]
async fn an_event_loop_that_ends_by_itself_fails_everything_and_is_told() {
    let keys = "queue_buffering_max_messages: 1\ndelivery_timeout: 60s";
    let (producer, live) = start(NOWHERE, keys);
    let in_flight = producer.send_async(Record::to("orders").with_payload("one"));
    let waiting = producer.send_async(Record::to("orders").with_payload("two"));
    assert!(!producer.inner.health().is_fatal());
    drop(Arc::clone(&producer.inner).serve(live));
    assert!(!producer.inner.health().is_fatal(), "it was never begun");

    let live = producer.inner.live().unwrap();
    serving(&producer, live, &uncounted(), tokio::task::yield_now()).await;
    for answer in [waiting, in_flight, producer.send_async(Record::to("orders"))] {
        let error = timeout(Duration::from_secs(30), answer).await.expect("it resolves").unwrap_err();
        assert!(matches!(error, SendError::ShutDown { .. }), "{error}");
    }
    assert!(producer.inner.health().is_fatal());
}

#[tokio::test]
async fn a_fatal_error_makes_the_component_fatal_and_sends_fail() {
    let cluster = MockCluster::new(1).unwrap();
    let (producer, live) = start(&cluster.bootstrap_servers(), "enable_idempotence: true");
    let reason = serving(&producer, Arc::clone(&live), &uncounted(), async {
        producer.send(Record::to("orders").with_payload("first")).await.unwrap();
        assert_eq!(producer.inner.health(), Health::Ok);
        let fenced = KafkaCode::from_raw(90);
        live.client().trigger_fatal_error(fenced, "another producer took over").unwrap();
        let error = producer.send(Record::to("orders").with_payload("second")).await.unwrap_err();
        assert!(matches!(error, SendError::Fatal { .. }), "{error}");
        assert!(!error.is_retryable());
        while !producer.inner.health().is_fatal() {
            tokio::task::yield_now().await;
        }
        producer.inner.health().reason().unwrap_or_default().to_owned()
    })
    .await;
    assert!(reason.contains("another producer took over"), "{reason}");
}

#[tokio::test]
async fn closing_gives_up_at_its_limit_and_everything_resolves() {
    let keys = "queue_buffering_max_messages: 2\ndelivery_timeout: 60s";
    let (producer, live) = start(NOWHERE, keys);
    let mut sent: Vec<_> =
        (0..2).map(|_| producer.send_async(Record::to("orders").with_payload("queued"))).collect();
    sent.push(producer.send_async(Record::to("payments").with_payload("waits for space")));
    let answers = futures_util::future::join_all(sent);
    let close = producer.inner.close(Duration::from_millis(50));
    let both = async { tokio::join!(answers, close) };
    let (answers, ()) = serving(&producer, live, &uncounted(), both).await;
    for answer in answers {
        let error = answer.unwrap_err();
        assert!(matches!(error, SendError::ShutDown { .. }), "{error}");
    }
    assert_eq!(producer.in_flight(), 0);
    producer.inner.close(Duration::from_secs(60)).await;
    producer.inner.end().await;
    producer.inner.end().await;
}

#[test]
fn a_client_that_failed_is_replaced_and_only_what_it_had_fails() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("orders", 1, 1).unwrap();
    let keys = "enable_idempotence: true\nqueue_buffering_max: 0s\ndelivery_timeout: 60s";
    let (producer, live, engine) = start_renewing(&cluster.bootstrap_servers(), keys);
    let send = |text: &'static str| producer.send_async(Record::to("orders").with_payload(text));
    engine.block_on(serving(&producer, Arc::clone(&live), &uncounted(), async {
        send("first").await.unwrap();
        cluster.set_broker_down(1).unwrap();
        let batch = producer.send_batch([Record::to("orders").with_payload("in flight too")]);
        let in_flight = send("in flight");
        live.client().trigger_fatal_error(KafkaCode::from_raw(45), "out of sequence").unwrap();
        let after = send("after");
        let batch_after = producer.send_batch([Record::to("orders").with_payload("after, too")]);
        assert!(format!("{after:?}").contains("waiting for space"), "{after:?}");

        let error = in_flight.await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "send to `orders`[0] failed: the client failed for good and is replaced: test_fatal_error: out of sequence"
        );
        assert!(!error.is_retryable());
        let error = batch.await.unwrap_err();
        assert!(matches!(error.failures(), [(0, SendError::Fatal { .. })]), "{error}");
        let health = producer.inner.health();
        assert!(
            matches!(&health, Health::Fallback { reason, .. } if reason.contains("replaced")),
            "{health:?}"
        );

        cluster.set_broker_up(1).unwrap();
        assert_eq!(after.await.unwrap().offset, Some(1));
        assert_eq!(batch_after.await.unwrap().get(0).unwrap().offset, Some(2));
        assert_eq!(send("last").await.unwrap().offset, Some(3));
        assert_eq!(producer.inner.health(), Health::Ok);
        assert_eq!(producer.in_flight(), 0);
    }));
    drop(live);
    engine.block_on(producer.inner.end());
    assert_eq!(engine.shutdown(Duration::from_secs(10)), []);
}

#[test]
fn a_renewed_client_takes_over_without_losing_repeating_or_reordering() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("orders", 1, 1).unwrap();
    let keys = "queue_buffering_max: 2ms\ndelivery_timeout: 60s\nqueue_buffering_max_messages: 100";
    let (producer, live, engine) = start_renewing(&cluster.bootstrap_servers(), keys);
    engine.block_on(serving(&producer, live, &uncounted(), async {
        let mut sent = Vec::new();
        for number in 0..1000 {
            if number % 300 == 150 {
                producer.inner.renew_client();
            }
            let mut next = producer.send_async(Record::to("orders").with_payload(number.to_string()));
            next.enqueued().await;
            sent.push(next);
            if number % 10 == 0 {
                tokio::task::yield_now().await;
            }
        }
        let mut offsets = Vec::new();
        for answer in sent {
            offsets.push(answer.await.unwrap().offset);
        }
        assert!(offsets.into_iter().eq((0..1000).map(Some)), "in order, each once");
    }));
    assert_eq!(engine.shutdown(Duration::from_secs(10)), []);
}

#[test]
fn a_client_renewed_without_brokers_gives_its_records_their_time_and_no_more() {
    let keys = "queue_buffering_max: 0s\ndelivery_timeout: 300ms";
    let (producer, live, engine) = start_renewing(NOWHERE, keys);
    engine.block_on(serving(&producer, live, &uncounted(), async {
        let old = producer.send_async(Record::to("orders").with_payload("old"));
        producer.inner.renew_client();
        assert!(matches!(old.await.unwrap_err(), SendError::DeliveryTimeout { .. }));
        while !producer.inner.clients.retiring().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let new = producer.send(Record::to("orders").with_payload("new")).await.unwrap_err();
        assert!(matches!(new, SendError::DeliveryTimeout { .. }), "{new}");
    }));
    assert_eq!(engine.shutdown(Duration::from_secs(10)), []);
}

#[test]
fn a_record_sent_after_a_renewal_does_not_overtake_one_that_the_old_client_sends_again() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("orders", 1, 1).unwrap();
    let keys = "queue_buffering_max: 0s\ndelivery_timeout: 60s\nretry_backoff: 2s\nretry_backoff_max: 2s";
    let (producer, live, engine) = start_renewing(&cluster.bootstrap_servers(), keys);
    engine.block_on(serving(&producer, live, &uncounted(), async {
        let send = |text: &'static str| producer.send_async(Record::to("orders").with_payload(text));
        send("first").await.unwrap();
        let not_enough_replicas = KafkaCode::from_raw(19);
        cluster.push_request_errors(0, &[not_enough_replicas]);
        let sent_again = send("sent again");
        tokio::time::sleep(Duration::from_millis(100)).await;
        producer.inner.renew_client();
        while producer.inner.clients.retiring().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let after = send("after").await.unwrap();
        assert_eq!((sent_again.await.unwrap().offset, after.offset), (Some(1), Some(2)));
    }));
    assert_eq!(engine.shutdown(Duration::from_secs(10)), []);
}

#[test]
fn a_renewal_ends_with_the_last_report_also_when_no_thread_is_free_to_flush() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("orders", 1, 1).unwrap();
    let keys = "queue_buffering_max: 0s\ndelivery_timeout: 5s\nretry_backoff: 1s\nretry_backoff_max: 1s";
    let busy = Arc::new(AtomicBool::new(true));
    let still_busy = Arc::clone(&busy);
    let (producer, live, engine) =
        start_renewing_with(&cluster.bootstrap_servers(), keys, |create, processor| {
            Arc::new(move || {
                // From here on others keep every thread for blocking calls busy.
                for _ in 0..256 {
                    let busy = Arc::clone(&still_busy);
                    drop(processor.spawn_blocking("busy", move || {
                        while busy.load(Ordering::Relaxed) {
                            std::thread::park_timeout(Duration::from_millis(10));
                        }
                    }));
                }
                create()
            })
        });
    engine.block_on(serving(&producer, live, &uncounted(), async {
        let send = |text: &'static str| producer.send_async(Record::to("orders").with_payload(text));
        send("first").await.unwrap();
        cluster.push_request_errors(0, &[KafkaCode::from_raw(19)]);
        let sent_again = send("sent again");
        tokio::time::sleep(Duration::from_millis(100)).await;
        producer.inner.renew_client();
        until(|| !producer.inner.clients.retiring().is_empty()).await;
        sent_again.await.unwrap();
        assert_eq!(send("after").await.unwrap().offset, Some(2));
    }));
    busy.store(false, Ordering::Relaxed);
    assert_eq!(engine.shutdown(Duration::from_secs(10)), []);
}

#[test]
fn health_tells_of_a_new_client_that_failed_also_once_the_old_one_is_gone() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("orders", 1, 1).unwrap();
    let keys = "enable_idempotence: true\nqueue_buffering_max: 0s\ndelivery_timeout: 60s\nretry_backoff: 1s\n\
                retry_backoff_max: 1s";
    let made = AtomicU32::new(0);
    let (producer, live, engine) = start_renewing_with(&cluster.bootstrap_servers(), keys, |create, _| {
        Arc::new(move || match made.fetch_add(1, Ordering::SeqCst) {
            0 => create(),
            _ => Err(std::io::Error::other("no second client").into()),
        })
    });
    engine.block_on(serving(&producer, live, &uncounted(), async {
        let send = |text: &'static str| producer.send_async(Record::to("orders").with_payload(text));
        send("first").await.unwrap();
        cluster.push_request_errors(0, &[KafkaCode::from_raw(19)]);
        let sent_again = send("sent again");
        tokio::time::sleep(Duration::from_millis(100)).await;
        producer.inner.renew_client();
        until(|| !producer.inner.clients.retiring().is_empty()).await;
        let next = producer.inner.live().unwrap();
        next.client().trigger_fatal_error(KafkaCode::from_raw(31), "not allowed to be idempotent").unwrap();
        drop(next);
        until(|| producer.inner.health() != Health::Ok).await;
        sent_again.await.unwrap();
        until(|| producer.inner.clients.retiring().is_empty()).await;
        assert_ne!(producer.inner.health(), Health::Ok);
    }));
    assert_eq!(engine.shutdown(Duration::from_secs(10)), []);
}

#[tokio::test]
async fn a_batch_that_was_answered_does_not_say_afterwards_that_all_is_well() {
    let (producer, _live) = start(NOWHERE, "");
    let mut batch = producer.send_batch([]);
    (&mut batch).await.unwrap();
    let again = AssertUnwindSafe(batch).catch_unwind().await;
    let panic = again.expect_err("it has no second answer").downcast::<&str>().unwrap();
    assert_eq!(*panic, "`SendBatchFuture` polled after it was ready");
}
