//! What only the inside shows: how often the event loop wakes, a full queue without a broker, a fatal error.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mainspring_config::{FakeSurroundings, Source, VarsOptions};
use mainspring_core::Health;
use mainspring_kafka_ffi::{self as ffi, KafkaCode, MockCluster};
use mainspring_metrics::Registry;
use tokio::time::timeout;

use crate::client::{ClientState, Connection, Role};
use crate::producer::handle::{Inner, Live};
use crate::producer::metrics::Metrics;
use crate::{Delivery, Producer, ProducerConfig, Record, SendError, SendFuture};

/// Nobody listens there.
const NOWHERE: &str = "127.0.0.1:1";

fn start(brokers: &str, keys: &str) -> (Producer, Arc<Live>) {
    let text = format!("security_protocol: PLAINTEXT\nstatistics_interval: 0s\n{keys}\n");
    let source = Source::new("test.yaml", text);
    let root = mainspring_config::load(&source, &VarsOptions::default(), &FakeSurroundings::default());
    let config: ProducerConfig = root.unwrap().read().unwrap();
    let rdkafka = config.client_config(&Connection::to(brokers)).unwrap();
    let live = Arc::new(Live::new(ffi::Producer::new(rdkafka).unwrap()));
    let inner = Inner::new(
        Arc::clone(&live),
        ClientState::new("kafka-producer", Role::Producer, &config.common),
        Metrics::new(&Registry::default(), "kafka-producer"),
        *config.delivery_timeout,
        config.common.operation_log_level,
    );
    (Producer { inner: Arc::new(inner) }, live)
}

/// Runs `work` while the events are served, and returns how often that took a turn.
async fn serving<T>(producer: &Producer, live: Arc<Live>, work: impl Future<Output = T>) -> (T, u32) {
    let turns = AtomicU32::new(0);
    let mut serve = pin!(Arc::clone(&producer.inner).serve(live));
    let serve = std::future::poll_fn(|cx| {
        turns.fetch_add(1, Ordering::Relaxed);
        serve.as_mut().poll(cx)
    });
    let done = tokio::select! {
        done = work => done,
        () = serve => unreachable!("events are served for ever"),
    };
    (done, turns.into_inner())
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
    let ((), _) = serving(&producer, Arc::clone(&live), async {
        producer.send(Record::to("orders").with_payload("first")).await.unwrap();
    })
    .await;
    let idle = tokio::time::sleep(Duration::from_secs(1));
    let ((), turns) = serving(&producer, live, idle).await;
    assert!(turns <= 3, "{turns} turns in an idle second");
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
    let (producer, _live) = start(NOWHERE, "queue_buffering_max_messages: 1");
    let occupant = producer.send_async(Record::to("orders").with_payload("one"));
    let mut waiting = producer.send_async(Record::to("orders").with_payload("two"));
    assert!(timeout(Duration::from_millis(20), waiting.enqueued()).await.is_err());
    drop(waiting);
    assert_eq!(producer.in_flight(), 1);
    drop(occupant);
}

#[tokio::test]
async fn a_fatal_error_makes_the_component_fatal_and_sends_fail() {
    let cluster = MockCluster::new(1).unwrap();
    let (producer, live) = start(&cluster.bootstrap_servers(), "enable_idempotence: true");
    let ((), _) = serving(&producer, Arc::clone(&live), async {
        producer.send(Record::to("orders").with_payload("first")).await.unwrap();
        assert_eq!(producer.inner.state().health(), Health::Ok);
        let fenced = KafkaCode::from_raw(90);
        live.client().trigger_fatal_error(fenced, "another producer took over").unwrap();
        let error = producer.send(Record::to("orders").with_payload("second")).await.unwrap_err();
        assert!(matches!(error, SendError::Fatal { .. }), "{error}");
        assert!(!error.is_retryable());
        while !producer.inner.state().health().is_fatal() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let reason = producer.inner.state().health().reason().unwrap_or_default().to_owned();
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
    let ((answers, ()), _) = serving(&producer, live, async { tokio::join!(answers, close) }).await;
    for answer in answers {
        let error = answer.unwrap_err();
        assert!(matches!(error, SendError::ShutDown { .. }), "{error}");
    }
    assert_eq!(producer.in_flight(), 0);
    producer.inner.close(Duration::from_secs(60)).await;
    producer.inner.end().await;
    producer.inner.end().await;
}
