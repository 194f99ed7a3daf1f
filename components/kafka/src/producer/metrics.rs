//! The figures of one producer: held handles on the way of records, everything else written when a scrape asks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use mainspring_metrics::{
    Counter, DURATION_BOUNDS, Family, Histogram, MetricsScope, Registry, Snapshot, UserverView,
};
use tokio::time::Instant;

use crate::client::{RecentAverage, Statistics};
use crate::producer::clients::Cause;

static SENT: Family =
    Family::counter("messaging_client_sent_messages", "Messages handed over to be sent, by outcome.");
static DURATION: Family = Family::histogram(
    "messaging_client_operation_duration_seconds",
    DURATION_BOUNDS,
    "Time of one operation of a messaging client.",
);
static SENT_BYTES: Family =
    Family::counter("kafka_producer_sent_bytes", "Bytes of keys and payloads of acknowledged records.");
static ERRORS: Family =
    Family::counter("kafka_producer_errors", "Records that were not delivered, by reason.");
static QUEUE_FULL: Family =
    Family::counter("kafka_producer_queue_full", "Records that met a full queue and waited for space.");
static REPLACEMENTS: Family = Family::counter(
    "kafka_producer_client_replacements",
    "Clients that took the place of one that failed for good, or was to be made anew.",
);
static IN_FLIGHT: Family =
    Family::gauge("kafka_producer_in_flight_messages", "Records that wait for their acknowledgement.");
static QUEUE_MESSAGES: Family =
    Family::gauge("kafka_producer_queue_messages", "Records in librdkafka's queue.");
static QUEUE_BYTES: Family = Family::gauge("kafka_producer_queue_bytes", "Bytes in librdkafka's queue.");
static QUEUE_LIMIT_MESSAGES: Family =
    Family::gauge("kafka_producer_queue_limit_messages", "Most records that librdkafka's queue takes.");
static QUEUE_LIMIT_BYTES: Family =
    Family::gauge("kafka_producer_queue_limit_bytes", "Most bytes that librdkafka's queue takes.");
static QUEUE_TIME: Family = Family::summary(
    "kafka_producer_queue_time_seconds",
    "Time from accepting a record to sending its batch.",
);
static BATCH_MESSAGES: Family = Family::summary("kafka_producer_batch_messages", "Records in one batch.");
static BATCH_BYTES: Family = Family::summary("kafka_producer_batch_size_bytes", "Size of one batch.");

/// Topics with handles of their own; those past it share the series of [`mainspring_metrics::LABEL_OTHER`].
const TOPICS_MAX: usize = 1024;

/// Handles of one producer, for as long as its component lives.
#[derive(Debug)]
pub(crate) struct Metrics {
    component: Arc<str>,
    scope: MetricsScope,
    topics: RwLock<HashMap<Arc<str>, Arc<TopicMetrics>>>,
    replacements: [Counter; Cause::ALL.len()],
}

/// Handles for one topic, looked up once for reports in a row.
#[derive(Debug)]
pub(crate) struct TopicMetrics {
    pub(crate) name: Arc<str>,
    sent: Counter,
    duration: Histogram,
    bytes: Counter,
    queue_full: Counter,
    /// Failed after they were accepted, which is what userver counts.
    failed: Counter,
    recent_latency: Mutex<RecentAverage>,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry, component: &str) -> Metrics {
        let scope = MetricsScope::new(registry, component);
        let replacements =
            Cause::ALL.map(|cause| scope.counter(&REPLACEMENTS, &[("reason", cause.as_str())]));
        Metrics { component: component.into(), scope, topics: RwLock::default(), replacements }
    }

    pub(crate) fn client_replaced(&self, cause: Cause) {
        for (counter, of) in self.replacements.iter().zip(Cause::ALL) {
            if of == cause {
                counter.inc();
            }
        }
    }

    /// The handles of a topic.
    pub(crate) fn topic(&self, name: &str) -> Arc<TopicMetrics> {
        if let Some(known) = self.topics.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Arc::clone(known);
        }
        let of_client = client_labels(name, "");
        let created = Arc::new(TopicMetrics {
            name: name.into(),
            sent: self.scope.counter(&SENT, &of_client),
            duration: self.scope.histogram(&DURATION, &of_client),
            bytes: self.scope.counter(&SENT_BYTES, &[("topic", name)]),
            queue_full: self.scope.counter(&QUEUE_FULL, &[("topic", name)]),
            failed: Counter::default(),
            recent_latency: Mutex::default(),
        });
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = topics.get(name) {
            return Arc::clone(known);
        }
        if topics.len() < TOPICS_MAX {
            topics.insert(Arc::clone(&created.name), Arc::clone(&created));
        }
        created
    }

    /// A record was not accepted, or not delivered.
    pub(crate) fn error(&self, topic: &str, error_type: &str, retryable: bool, took: Option<Duration>) {
        let of_client = client_labels(topic, error_type);
        self.scope.counter(&SENT, &of_client).inc();
        if let Some(took) = took {
            self.scope.histogram(&DURATION, &of_client).observe(took.as_secs_f64());
        }
        let retryable = if retryable { "true" } else { "false" };
        let labels = [("topic", topic), ("error_type", error_type), ("retryable", retryable)];
        self.scope.counter(&ERRORS, &labels).inc();
    }

    /// Writes what librdkafka knows itself. `statistics` say nothing while they are switched off.
    pub(crate) fn collect(&self, in_flight: usize, statistics: &Statistics, snapshot: &mut Snapshot) {
        let component = ("component", &*self.component);
        snapshot.gauge(&IN_FLIGHT, &[component], as_f64(u64::try_from(in_flight).unwrap_or(u64::MAX)));
        if 0 < statistics.msg_max || 0 < statistics.msg_size_max {
            for (family, value) in [
                (&QUEUE_MESSAGES, statistics.msg_cnt),
                (&QUEUE_BYTES, statistics.msg_size),
                (&QUEUE_LIMIT_MESSAGES, statistics.msg_max),
                (&QUEUE_LIMIT_BYTES, statistics.msg_size_max),
            ] {
                snapshot.gauge(family, &[component], as_f64(value));
            }
        }
        for broker in statistics.real_brokers() {
            let labels = [component, ("broker", broker.name.as_str())];
            broker.int_latency.collect(&QUEUE_TIME, &labels, 1e-6, snapshot);
        }
        for (name, topic) in &statistics.topics {
            let labels = [component, ("topic", name.as_str())];
            topic.batchcnt.collect(&BATCH_MESSAGES, &labels, 1.0, snapshot);
            topic.batchsize.collect(&BATCH_BYTES, &labels, 1.0, snapshot);
        }
    }

    pub(crate) fn collect_userver(&self, view: &mut UserverView) {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        let mut topics: Vec<_> = topics.values().map(Arc::clone).collect();
        topics.sort_by(|left, right| left.name.cmp(&right.name));
        for topic in topics {
            let labels = [("component_name", &*self.component), ("topic", &*topic.name)];
            let (success, error) = (topic.sent.get(), topic.failed.get());
            let average = lock(&topic.recent_latency).get(Instant::now());
            view.gauge("kafka_producer.avg_ms_spent_time", &labels, average);
            view.rate("kafka_producer.messages_total", &labels, success + error);
            view.rate("kafka_producer.messages_success", &labels, success);
            view.rate("kafka_producer.messages_error", &labels, error);
        }
    }
}

impl TopicMetrics {
    /// `count` records of so many bytes in all were acknowledged. They went and came in order, so where the first and the
    /// last of their latencies are in one bucket, so are all; the others, each of which reads the clock, are not asked.
    pub(crate) fn delivered(
        &self,
        count: u32,
        bytes: usize,
        latencies: impl DoubleEndedIterator<Item = Option<Duration>> + Clone,
    ) {
        if count == 0 {
            return;
        }
        self.sent.add(u64::from(count));
        self.bytes.add(u64::try_from(bytes).unwrap_or(u64::MAX));
        let seconds = latencies.map(|latency| latency.unwrap_or_default().as_secs_f64());
        let first = seconds.clone().next().unwrap_or_default();
        let last = seconds.clone().next_back().unwrap_or_default();
        if !self.duration.observe_between(first.min(last), first.max(last), count) {
            seconds.for_each(|latency| self.duration.observe(latency));
        }
        let sum_ms = f64::midpoint(first, last) * 1e3 * f64::from(count);
        lock(&self.recent_latency).add(Instant::now(), sum_ms, count);
    }

    /// A record that was accepted has failed.
    pub(crate) fn failed(&self, latency: Option<Duration>) {
        self.failed.inc();
        if let Some(latency) = latency {
            lock(&self.recent_latency).add(Instant::now(), latency.as_secs_f64() * 1e3, 1);
        }
    }

    /// Records have to wait for space.
    pub(crate) fn met_full_queue(&self, records: usize) {
        self.queue_full.add(u64::try_from(records).unwrap_or(u64::MAX));
    }
}

fn client_labels<'l>(topic: &'l str, error_type: &'l str) -> [(&'static str, &'l str); 5] {
    [
        ("messaging_system", "kafka"),
        ("messaging_operation_name", "send"),
        ("messaging_operation_type", "send"),
        ("messaging_destination_name", topic),
        ("error_type", error_type),
    ]
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floats; beyond 2^53 the last digits go")]
fn as_f64(value: u64) -> f64 {
    value as f64
}
