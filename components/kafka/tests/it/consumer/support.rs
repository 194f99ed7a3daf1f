//! A cluster, services on it, and callbacks that write down what they were given. Nothing waits without a deadline.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::poll_fn;
use std::ops::Range;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use mainspring_config::{FakeSurroundings, Source, VarsOptions};
use mainspring_core::{ComponentList, Health, Phase, Service, ServiceHandle, ServiceOptions, StopReport};
use mainspring_kafka::{Batch, ConsumerScope, KafkaConsumerComponent};
use mainspring_kafka_ffi::{ClientConfig, MockCluster, Producer, Record};
use mainspring_metrics::Value;
use mainspring_secdist::{DefaultSecdistProvider, SecdistComponent};
use tokio::sync::{Notify, mpsc};

/// Generous: test machines are slow and busy.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Groups that are quick on the mock cluster.
pub(crate) const QUICK: &str = "group.protocol: consumer, fetch.wait.max.ms: '10'";

/// Fails the test when `work` is not done by the deadline.
pub(crate) async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work).await.unwrap_or_else(|_| panic!("no {what} within {DEADLINE:?}"))
}

/// Waits until `probe` returns something that `is_enough`; says what it returned last when that takes too long.
pub(crate) async fn until<T: Debug>(
    what: &str,
    mut probe: impl FnMut() -> T,
    is_enough: impl Fn(&T) -> bool,
) -> T {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        let seen = probe();
        if is_enough(&seen) {
            return seen;
        }
        assert!(tokio::time::Instant::now() < deadline, "no {what} within {DEADLINE:?}; last seen: {seen:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Starts a consumer that hands every batch to the test. Its callbacks succeed; what to commit is up to the test.
pub(crate) fn hand_out(scope: &ConsumerScope) -> mpsc::Receiver<Batch> {
    let (tx, rx) = mpsc::channel(8);
    scope
        .start(move |batch: Batch| {
            let tx = tx.clone();
            async move { tx.send(batch).await }
        })
        .unwrap();
    rx
}

/// Brokers with one topic, `t`.
pub(crate) struct Kafka {
    pub(crate) cluster: MockCluster,
    partitions: i32,
}

impl Kafka {
    pub(crate) fn new(partitions: i32) -> Kafka {
        let cluster = MockCluster::new(1).unwrap();
        cluster.set_initial_rebalance_delay(Duration::ZERO);
        cluster.set_heartbeat_interval(Duration::from_millis(50));
        cluster.create_topic("t", partitions, 1).unwrap();
        Kafka { cluster, partitions }
    }

    /// Puts one record for each number, with the number as payload, over all partitions in turn.
    pub(crate) async fn fill(&self, numbers: Range<i32>) {
        let partitions = self.partitions;
        let records = numbers
            .map(|number| Record::new(Bytes::from(number.to_string())).with_partition(number % partitions));
        self.send(records).await;
    }

    pub(crate) async fn send(&self, records: impl Iterator<Item = Record>) {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.cluster.bootstrap_servers()).unwrap();
        config.set("linger.ms", "1").unwrap();
        let producer = Producer::new(config).unwrap();
        let topic = producer.topic("t").unwrap();
        let deliveries: Vec<_> = records.map(|record| producer.send(&topic, record).unwrap()).collect();
        let mut acknowledged = pin!(async {
            for delivery in deliveries {
                delivery.await.unwrap();
            }
        });
        let driven = poll_fn(|cx| {
            while producer.poll_events(cx, &mut |_| ()).is_ready() {}
            acknowledged.as_mut().poll(cx)
        });
        within("acknowledgement", driven).await;
    }

    /// Starts a service with one consumer of group `g`; `options` are lines of its section.
    pub(crate) async fn service(&self, options: &str) -> Running {
        Running::start(&self.cluster.bootstrap_servers(), options).await
    }
}

/// A service with a `kafka-consumer`, on threads of its own.
pub(crate) struct Running {
    pub(crate) handle: ServiceHandle,
    thread: Option<JoinHandle<StopReport>>,
}

impl Running {
    pub(crate) async fn start(brokers: &str, options: &str) -> Running {
        let has = |key: &str| options.contains(key);
        let mut section = String::new();
        for (key, value) in [
            ("group_id", "g".to_owned()),
            ("rd_kafka_custom_options", format!("{{{QUICK}}}")),
            ("statistics_interval", "0s".to_owned()),
            ("restart_after_failure_delay", "50ms".to_owned()),
            ("poll_timeout", "20ms".to_owned()),
        ] {
            if !has(key) {
                section += &format!("            {key}: {value}\n");
            }
        }
        for line in options.lines().map(str::trim).filter(|line| !line.is_empty()) {
            section += &format!("            {line}\n");
        }
        // One of its own for the test that watches its thread.
        let own_processor = if has("idle-task-processor") {
            "\n        idle-task-processor: {worker_threads: 1}"
        } else {
            ""
        };
        let text = format!(
            "components_manager:
    default_task_processor: main-task-processor
    task_processors:
        main-task-processor: {{worker_threads: 2}}
        consumer-task-processor: {{worker_threads: 1}}{own_processor}
    components:
        logging: {{loggers: {{default: {{file_path: '@stderr', level: warning}}}}}}
        default-secdist-provider: {{environment-secrets-key: SECDIST}}
        kafka-consumer:
            topics: [t]
            security_protocol: PLAINTEXT
{section}"
        );
        let secrets = format!(
            r#"{{"kafka_settings": {{"kafka-consumer": {{"brokers": "{brokers}", "username": "", "password": ""}}}}}}"#
        );
        let world = FakeSurroundings::default().with_env("SECDIST", secrets);
        let root = mainspring_config::load(&Source::new("test.yaml", text), &VarsOptions::default(), &world)
            .unwrap();
        let list = ComponentList::minimal()
            .append_default::<DefaultSecdistProvider>()
            .append_default::<SecdistComponent>()
            .append_default::<KafkaConsumerComponent>();
        let service = Service::new(&list, &root, ServiceOptions { surroundings: Arc::new(world) });
        let service = service.unwrap_or_else(|problems| panic!("{problems}"));
        let handle = service.handle();
        let thread = std::thread::Builder::new().spawn(move || service.run().unwrap()).unwrap();
        assert_eq!(within("service", handle.reached(Phase::Running)).await, Phase::Running);
        Running { handle, thread: Some(thread) }
    }

    pub(crate) fn component(&self) -> Arc<KafkaConsumerComponent> {
        self.handle.component("kafka-consumer").unwrap()
    }

    pub(crate) fn scope(&self) -> ConsumerScope {
        self.component().consumer().unwrap()
    }

    /// Consumes into a journal until the scope is dropped; every batch succeeds and is committed.
    pub(crate) fn consume(&self) -> (ConsumerScope, Journal) {
        let journal = Journal::default();
        let (scope, written) = (self.scope(), journal.clone());
        scope
            .start(move |batch| {
                let written = written.clone();
                async move {
                    written.note(&batch);
                    batch.commit().await
                }
            })
            .unwrap();
        (scope, journal)
    }

    /// Consumes like [`Running::consume`], but every batch waits for a notification of the returned
    /// [`Notify`]. Returns when the first batch waits.
    pub(crate) async fn consume_when_released(&self) -> (ConsumerScope, Journal, Arc<Notify>) {
        let (journal, entered, release) =
            (Journal::default(), Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (written, enters, released) = (journal.clone(), Arc::clone(&entered), Arc::clone(&release));
        let scope = self.scope();
        scope
            .start(move |batch: Batch| {
                let (enters, released) = (Arc::clone(&enters), Arc::clone(&released));
                written.note(&batch);
                async move {
                    enters.notify_one();
                    released.notified().await;
                    batch.commit().await
                }
            })
            .unwrap();
        within("callback", entered.notified()).await;
        (scope, journal, release)
    }

    /// Whether a line with this text was logged.
    pub(crate) fn has_logged(&self, text: &str) -> bool {
        let records = self.handle.logging().recent(&mainspring_logging::RecentFilter::default());
        records.iter().any(|record| record.text() == text)
    }

    pub(crate) fn health(&self) -> Health {
        let components = self.handle.components();
        let consumer = components.into_iter().find(|component| component.name == "kafka-consumer").unwrap();
        consumer.health.unwrap_or_default()
    }

    /// The sum of a family's series that have these labels.
    pub(crate) fn metric(&self, family: &str, labels: &[(&str, &str)]) -> f64 {
        let snapshot = self.handle.metrics().snapshot();
        assert_eq!(snapshot.rejected().collect::<Vec<_>>(), []);
        let series = snapshot.families().filter(|samples| samples.family.name() == family);
        let mut sum = 0.0;
        for samples in series {
            for sample in samples.samples() {
                let matches = labels.iter().all(|(name, value)| {
                    sample.labels.iter().any(|(label, found)| label == name && found == value)
                });
                sum += match sample.value {
                    _ if !matches => 0.0,
                    Value::Counter(value) => *value as f64,
                    Value::Gauge(value) | Value::FloatCounter(value) => *value,
                    Value::Histogram(value) => value.count() as f64,
                    Value::StateSet(states) => states.iter().filter(|(_, holds)| *holds).count() as f64,
                    _ => 1.0,
                };
            }
        }
        sum
    }

    /// Which state the state set shows.
    pub(crate) fn state(&self) -> String {
        let snapshot = self.handle.metrics().snapshot();
        let samples =
            snapshot.families().find(|samples| samples.family.name() == "kafka_consumer_state").unwrap();
        let sample = samples.samples().next().unwrap();
        let Value::StateSet(states) = sample.value else { panic!("it is a state set") };
        states.iter().find(|(_, holds)| *holds).map(|(name, _)| name.clone()).unwrap()
    }

    pub(crate) async fn stop(mut self) -> StopReport {
        self.handle.stop("the test is over");
        within("end of the service", self.handle.reached(Phase::Stopped)).await;
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop("the test is over");
        if let Some(thread) = self.thread.take() {
            // A test that fails already must not panic again.
            drop(thread.join());
        }
    }
}

/// A message as the journal keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) number: i32,
}

/// What callbacks were given, batch by batch.
#[derive(Debug, Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<Vec<Vec<Entry>>>>);

impl Journal {
    /// Writes a batch down and returns the number of batches before it.
    pub(crate) fn note(&self, batch: &Batch) -> usize {
        let entries = batch.iter().map(|message| Entry {
            partition: message.partition(),
            offset: message.offset(),
            number: std::str::from_utf8(message.payload().unwrap()).unwrap().parse().unwrap(),
        });
        let mut batches = self.0.lock().unwrap();
        batches.push(entries.collect());
        batches.len() - 1
    }

    pub(crate) fn batches(&self) -> Vec<Vec<Entry>> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn sizes(&self) -> Vec<usize> {
        self.batches().iter().map(Vec::len).collect()
    }

    pub(crate) fn numbers(&self) -> Vec<i32> {
        self.batches().into_iter().flatten().map(|entry| entry.number).collect()
    }

    /// Waits for so many messages, repeated ones too.
    pub(crate) async fn reached(&self, count: usize) {
        until("messages", || self.numbers().len(), |seen| count <= *seen).await;
    }

    /// The offsets of each partition, in the order in which they came.
    pub(crate) fn offsets(&self) -> BTreeMap<i32, Vec<i64>> {
        let mut offsets: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
        for entry in self.batches().into_iter().flatten() {
            offsets.entry(entry.partition).or_default().push(entry.offset);
        }
        offsets
    }
}
