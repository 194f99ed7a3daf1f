//! The figures of one consumer: held counters on the way of messages, everything else written when a scrape asks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use mainspring_metrics::{
    Counter, DURATION_BOUNDS, Family, Histogram, MetricsScope, Registry, Snapshot, UserverView,
};
use tokio::time::Instant;

use crate::client::{RecentAverage, Statistics};
use crate::consumer::config::{MemberProtocol, Settings};
use crate::consumer::ledger::Progress;

static CONSUMED: Family = Family::counter(
    "messaging_client_consumed_messages",
    "Messages taken from the client, repeated ones too.",
);
static PROCESS_DURATION: Family = Family::histogram(
    "messaging_process_duration_seconds",
    DURATION_BOUNDS,
    "Time a callback took for a batch.",
);
static PROCESSED: Family = Family::counter(
    "kafka_consumer_processed_messages",
    "Messages that a callback returned from, by result.",
);
static BATCH_MESSAGES: Family = Family::histogram(
    "kafka_consumer_callback_batch_messages",
    &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0],
    "Messages that a callback was given at once.",
);
static DELIVERY_DELAY: Family = Family::histogram(
    "kafka_consumer_delivery_delay_seconds",
    &[
        0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 3600.0,
        86_400.0,
    ],
    "Time from a message's timestamp to its callback.",
);
static COMMITS: Family = Family::counter("kafka_consumer_commits", "Offset commits answered, by result.");
static COMMIT_DURATION: Family = Family::histogram(
    "kafka_consumer_commit_duration_seconds",
    DURATION_BOUNDS,
    "Time from a commit request to its answer.",
);
static REBALANCES: Family = Family::counter("kafka_consumer_rebalances", "Rebalances, by what they brought.");
static REBALANCE_DURATION: Family = Family::histogram(
    "kafka_consumer_rebalance_duration_seconds",
    DURATION_BOUNDS,
    "Time from a revocation, or from joining, to the next assignment.",
);
static RESTARTS: Family = Family::counter("kafka_consumer_restarts", "Times reading began again, by reason.");
static READ_ERRORS: Family =
    Family::counter("kafka_consumer_read_errors", "Times that a partition could not be read, by reason.");
static UNDECODABLE: Family = Family::counter(
    "kafka_consumer_undecodable_messages",
    "Messages that the decoder refused, by what became of them.",
);
static ASSIGNED: Family =
    Family::gauge("kafka_consumer_assigned_partitions", "Partitions assigned to this member.");
static PAUSED: Family = Family::gauge(
    "kafka_consumer_paused_partitions",
    "Partitions assigned to this member that it may not read.",
);
static LAG: Family = Family::gauge(
    "kafka_consumer_lag_messages",
    "Messages from the consumer's position to the partition's end.",
);
static LAG_SECONDS: Family = Family::gauge(
    "kafka_consumer_lag_seconds",
    "Age of the oldest message that no callback is done with; 0 at the partition's end.",
);
static OPERATION_DURATION: Family = Family::histogram(
    "messaging_client_operation_duration_seconds",
    DURATION_BOUNDS,
    "Time of one operation of a messaging client.",
);
static COMMITTED: Family =
    Family::gauge("kafka_consumer_committed_offset", "Offset of the group's last commit.");
static POSITION: Family = Family::gauge(
    "kafka_consumer_position_offset",
    "Offset after the last message that a callback is done with.",
);
static HIGH_WATERMARK: Family =
    Family::gauge("kafka_consumer_high_watermark_offset", "Offset of the next message the partition gets.");
static FETCH_QUEUE_MESSAGES: Family =
    Family::gauge("kafka_consumer_fetch_queue_messages", "Messages fetched and not taken yet.");
static FETCH_QUEUE_BYTES: Family =
    Family::gauge("kafka_consumer_fetch_queue_bytes", "Bytes of the messages fetched and not taken yet.");
static HELD_BYTES: Family = Family::gauge(
    "kafka_consumer_held_bytes",
    "Bytes of the messages taken and not processed yet: with callbacks, or waiting for one.",
);
static MEMORY_LIMIT: Family = Family::gauge(
    "kafka_consumer_fetch_memory_limit_bytes",
    "Most bytes of messages at a time: fetch_memory_max.",
);
static LAST_POLL: Family = Family::gauge(
    "kafka_consumer_last_poll_timestamp_seconds",
    "When the consumer's task served its client last, as a Unix time.",
);
static LAST_COMMIT: Family = Family::gauge(
    "kafka_consumer_last_commit_timestamp_seconds",
    "When a commit succeeded last, as a Unix time.",
);
static POLL_INTERVAL_LIMIT: Family = Family::gauge(
    "kafka_consumer_poll_interval_limit_seconds",
    "Longest time a callback may take: max_callback_duration.",
);
static STATE: Family = Family::state_set("kafka_consumer_state", "What the consumer is doing.");

/// Why reading began again.
pub(crate) const RESTART_REASONS: [&str; 3] = ["callback_error", "fatal", "poll_exceeded"];

/// Handles and figures of one consumer, for as long as its component lives.
#[derive(Debug)]
pub(crate) struct Metrics {
    component: String,
    group: String,
    limit: Duration,
    memory_max: usize,
    scope: MetricsScope,
    /// Topics named by the configuration.
    subscribed: Vec<String>,
    poll_duration: Histogram,
    topics: Mutex<BTreeMap<Arc<str>, Arc<TopicMetrics>>>,
    batch_messages: Histogram,
    /// Milliseconds since the Unix epoch; 0 is never.
    last_poll: AtomicU64,
    last_commit: AtomicU64,
    /// Since when partitions have messages of which none was taken yet, in milliseconds since the Unix epoch.
    untaken_since: Mutex<BTreeMap<(Arc<str>, i32), i64>>,
}

/// Handles for one topic, looked up once for messages in a row.
#[derive(Debug)]
pub(crate) struct TopicMetrics {
    consumed: Counter,
    succeeded: Counter,
    failed: Counter,
    /// Of callbacks that succeeded.
    pub(crate) process_duration: Histogram,
    delivery_delay: Histogram,
    recent_delay: Mutex<RecentAverage>,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry, settings: &Settings) -> Metrics {
        let (component, group) = (settings.component.as_str(), settings.group.as_str());
        let scope = MetricsScope::new(registry, component);
        let subscribed: Vec<_> =
            settings.topics.iter().filter(|topic| !topic.starts_with('^')).cloned().collect();
        let metrics = Metrics {
            component: component.to_owned(),
            group: group.to_owned(),
            limit: settings.max_callback_duration,
            memory_max: settings.memory_max,
            batch_messages: scope.histogram(&BATCH_MESSAGES, &[]),
            poll_duration: scope
                .histogram(&OPERATION_DURATION, &operation_labels("poll", "receive", group, "")),
            scope,
            subscribed,
            topics: Mutex::default(),
            last_poll: AtomicU64::new(0),
            last_commit: AtomicU64::new(0),
            untaken_since: Mutex::default(),
        };
        metrics.begin_at_zero(settings.protocol);
        metrics
    }

    /// What is known beforehand exists before it first happens, so that its first time is a change.
    fn begin_at_zero(&self, protocol: MemberProtocol) {
        for topic in &self.subscribed {
            self.topic(topic);
        }
        for reason in RESTART_REASONS {
            self.restarts(reason);
        }
        for event in ["assign", "revoke", "lost"] {
            self.rebalances(event, protocol);
        }
        let group = self.group.as_str();
        let succeeded = [("group", group), ("result", "success"), ("error_type", "")];
        drop(self.scope.counter(&COMMITS, &succeeded));
        drop(self.scope.histogram(&COMMIT_DURATION, &succeeded));
        drop(self.scope.histogram(&OPERATION_DURATION, &operation_labels("commit", "settle", group, "")));
        drop(self.scope.histogram(&REBALANCE_DURATION, &[("group", group)]));
    }

    /// The handles of a topic.
    pub(crate) fn topic(&self, topic: &str) -> Arc<TopicMetrics> {
        let mut topics = lock(&self.topics);
        if let Some(known) = topics.get(topic) {
            return Arc::clone(known);
        }
        let of_client = [
            ("messaging_system", "kafka"),
            ("messaging_operation_name", "poll"),
            ("messaging_operation_type", "receive"),
            ("messaging_destination_name", topic),
            ("messaging_consumer_group_name", &self.group),
        ];
        let processed = |result| self.scope.counter(&PROCESSED, &[("topic", topic), ("result", result)]);
        let created = Arc::new(TopicMetrics {
            consumed: self.scope.counter(&CONSUMED, &of_client),
            succeeded: processed("success"),
            failed: processed("error"),
            process_duration: self.scope.histogram(&PROCESS_DURATION, &self.process_labels(topic, "")),
            delivery_delay: self.scope.histogram(&DELIVERY_DELAY, &[("topic", topic)]),
            recent_delay: Mutex::default(),
        });
        topics.insert(topic.into(), Arc::clone(&created));
        created
    }

    /// The client is about to be served.
    pub(crate) fn polled(&self) {
        self.last_poll.store(unix_millis(), Ordering::Relaxed);
    }

    /// A batch was collected in this time.
    pub(crate) fn collected(&self, took: Duration) {
        self.poll_duration.observe(took.as_secs_f64());
    }

    pub(crate) fn batch(&self, messages: usize) {
        self.batch_messages.observe(as_f64(messages));
    }

    /// A callback ended; `topic` is empty when its batch had several, `error_type` when it succeeded.
    pub(crate) fn callback(&self, topic: &str, error_type: &str, took: Duration) {
        let labels = self.process_labels(topic, error_type);
        self.scope.histogram(&PROCESS_DURATION, &labels).observe(took.as_secs_f64());
    }

    fn process_labels<'l>(&'l self, topic: &'l str, error_type: &'l str) -> [(&'static str, &'l str); 6] {
        [
            ("messaging_system", "kafka"),
            ("messaging_operation_name", "process"),
            ("messaging_operation_type", "process"),
            ("messaging_destination_name", topic),
            ("messaging_consumer_group_name", &self.group),
            ("error_type", error_type),
        ]
    }

    pub(crate) fn commit(&self, error_type: &str, took: Duration) {
        let result = if error_type.is_empty() { "success" } else { "error" };
        let labels = [("group", self.group.as_str()), ("result", result), ("error_type", error_type)];
        self.scope.counter(&COMMITS, &labels).inc();
        self.scope.histogram(&COMMIT_DURATION, &labels).observe(took.as_secs_f64());
        let labels = operation_labels("commit", "settle", &self.group, error_type);
        self.scope.histogram(&OPERATION_DURATION, &labels).observe(took.as_secs_f64());
        if error_type.is_empty() {
            self.last_commit.store(unix_millis(), Ordering::Relaxed);
        }
    }

    pub(crate) fn rebalances(&self, event: &str, protocol: MemberProtocol) -> Counter {
        let labels = [("group", self.group.as_str()), ("event", event), ("protocol", protocol.as_str())];
        self.scope.counter(&REBALANCES, &labels)
    }

    pub(crate) fn rebalanced(&self, took: Duration) {
        self.scope.histogram(&REBALANCE_DURATION, &[("group", &self.group)]).observe(took.as_secs_f64());
    }

    /// A partition of this topic could not be read.
    pub(crate) fn unreadable(&self, topic: &str, error_type: &str) {
        self.scope.counter(&READ_ERRORS, &[("topic", topic), ("error_type", error_type)]).inc();
    }

    /// A message of this topic could not be decoded.
    pub(crate) fn undecodable(&self, topic: &str, action: &str) {
        self.scope.counter(&UNDECODABLE, &[("topic", topic), ("action", action)]).inc();
    }

    pub(crate) fn restarts(&self, reason: &str) -> Counter {
        self.scope.counter(&RESTARTS, &[("reason", reason)])
    }

    /// Writes what of the memory budget is in use.
    pub(crate) fn collect_memory(&self, snapshot: &mut Snapshot, held_bytes: usize) {
        let component = ("component", self.component.as_str());
        for (family, bytes) in [(&HELD_BYTES, held_bytes), (&MEMORY_LIMIT, self.memory_max)] {
            snapshot.gauge(family, &[component], offset_as_f64(i64::try_from(bytes).unwrap_or(i64::MAX)));
        }
    }

    pub(crate) fn collect(
        &self,
        snapshot: &mut Snapshot,
        states: &[(&str, bool)],
        assigned: &[(String, (usize, usize))],
        progress: &[Progress],
        statistics: &Statistics,
    ) {
        let component = ("component", self.component.as_str());
        let group = ("group", self.group.as_str());
        snapshot.state_set(&STATE, &[component], states);
        snapshot.gauge(&POLL_INTERVAL_LIMIT, &[component], self.limit.as_secs_f64());
        for (family, cell) in [(&LAST_POLL, &self.last_poll), (&LAST_COMMIT, &self.last_commit)] {
            let seconds = Duration::from_millis(cell.load(Ordering::Relaxed)).as_secs_f64();
            snapshot.gauge(family, &[component, group], seconds);
        }
        let mut assigned_of: BTreeMap<&str, (usize, usize)> =
            self.subscribed.iter().map(|topic| (topic.as_str(), (0, 0))).collect();
        assigned_of.extend(assigned.iter().map(|(topic, counts)| (topic.as_str(), *counts)));
        for (topic, (count, paused)) in assigned_of {
            snapshot.gauge(&ASSIGNED, &[component, group, ("topic", topic)], as_f64(count));
            snapshot.gauge(&PAUSED, &[component, group, ("topic", topic)], as_f64(paused));
        }
        let now_ms = i64::try_from(unix_millis()).unwrap_or(i64::MAX);
        let mut fetched: Option<(i64, i64)> = None;
        for progress in progress {
            let partition = progress.partition.to_string();
            let labels = [component, group, ("topic", &*progress.topic), ("partition", &partition)];
            let mut offset = |family: &'static Family, offset: Option<i64>| {
                if let Some(offset) = offset.filter(|offset| 0 <= *offset) {
                    snapshot.gauge(family, &labels, offset_as_f64(offset));
                }
            };
            offset(&POSITION, progress.position);
            let reported = statistics.topics.get(&*progress.topic);
            let reported = reported.and_then(|topic| topic.partitions.get(&partition));
            offset(
                &COMMITTED,
                progress.committed.or_else(|| reported.map(|reported| reported.committed_offset)),
            );
            let Some(reported) = reported else { continue };
            offset(&HIGH_WATERMARK, Some(reported.hi_offset));
            // librdkafka's own lag is that of stored offsets, and we store none. Messages of transactions that are still
            // open cannot be read, so the last stable offset is the end.
            let end = if 0 <= reported.ls_offset { reported.ls_offset } else { reported.hi_offset };
            let known = progress.position.or(Some(reported.committed_offset)).filter(|offset| 0 <= *offset);
            // Where nothing is under way, what librdkafka has passed by is done with: markers of transactions are no messages.
            let passed = (!progress.is_pending).then_some(reported.app_offset).filter(|offset| 0 <= *offset);
            let lag = known.max(passed).filter(|_| 0 <= end).map(|position| (end - position).max(0));
            offset(&LAG, lag);
            let since_ms = self.oldest_ms(progress, lag, now_ms);
            let age_ms = since_ms.map(|since_ms| (now_ms - since_ms).max(0));
            if let Some(age_ms) = age_ms {
                snapshot.gauge(&LAG_SECONDS, &labels, offset_as_f64(age_ms) / 1e3);
            }
            // All partitions feed one queue, and each reports the whole of it.
            let (messages, bytes) = fetched.unwrap_or_default();
            fetched = Some((messages.max(reported.fetchq_cnt), bytes.max(reported.fetchq_size)));
        }
        if let Some((messages, bytes)) = fetched {
            snapshot.gauge(&FETCH_QUEUE_MESSAGES, &[component], offset_as_f64(messages));
            snapshot.gauge(&FETCH_QUEUE_BYTES, &[component], offset_as_f64(bytes));
        }
    }

    /// When the oldest message arrived that no callback is done with: by its timestamp if it was taken, else the moment it
    /// was first seen that there is one. `None` when that is not known.
    fn oldest_ms(&self, progress: &Progress, lag: Option<i64>, now_ms: i64) -> Option<i64> {
        let key = (Arc::clone(&progress.topic), progress.partition);
        let mut untaken_since = lock(&self.untaken_since);
        if progress.is_pending || lag.is_none_or(|lag| lag == 0) {
            untaken_since.remove(&key);
            return if progress.is_pending { progress.oldest_ms } else { lag.map(|_| now_ms) };
        }
        Some(*untaken_since.entry(key).or_insert(now_ms))
    }

    pub(crate) fn collect_userver(&self, view: &mut UserverView) {
        let topics: Vec<_> =
            lock(&self.topics).iter().map(|(name, topic)| (Arc::clone(name), Arc::clone(topic))).collect();
        for (name, topic) in topics {
            let labels = [("component_name", self.component.as_str()), ("topic", &*name)];
            let average = lock(&topic.recent_delay).get(Instant::now());
            view.gauge("kafka_consumer.avg_ms_spent_time", &labels, average);
            view.rate("kafka_consumer.messages_total", &labels, topic.consumed.get());
            view.rate("kafka_consumer.messages_success", &labels, topic.succeeded.get());
            view.rate("kafka_consumer.messages_error", &labels, topic.failed.get());
        }
    }
}

impl TopicMetrics {
    pub(crate) fn consumed(&self, messages: usize) {
        self.consumed.add(as_u64(messages));
    }

    pub(crate) fn succeeded(&self, messages: usize) {
        self.succeeded.add(as_u64(messages));
    }

    pub(crate) fn failed(&self, messages: usize) {
        self.failed.add(as_u64(messages));
    }

    /// Messages with these timestamps, in milliseconds since the Unix epoch, are handed to a callback.
    pub(crate) fn delivered(&self, timestamps: impl Iterator<Item = i64> + Clone) {
        let now = i64::try_from(unix_millis()).unwrap_or(i64::MAX);
        // Clocks of others may be ahead of ours.
        let delays = timestamps.map(|timestamp| now.saturating_sub(timestamp).max(0));
        let (mut count, mut sum, mut least, mut most) = (0_u32, 0_i64, i64::MAX, 0);
        for delay in delays.clone() {
            count += 1;
            sum = sum.saturating_add(delay);
            (least, most) = (least.min(delay), most.max(delay));
        }
        let seconds = |delay: i64| offset_as_f64(delay) / 1e3;
        // What arrives together is mostly of one age.
        if 0 < count && !self.delivery_delay.observe_between(seconds(least), seconds(most), count) {
            delays.for_each(|delay| self.delivery_delay.observe(seconds(delay)));
        }
        lock(&self.recent_delay).add(Instant::now(), offset_as_f64(sum), count);
    }
}

fn operation_labels<'l>(
    name: &'static str,
    kind: &'static str,
    group: &'l str,
    error_type: &'l str,
) -> [(&'static str, &'l str); 6] {
    [
        ("messaging_system", "kafka"),
        ("messaging_operation_name", name),
        ("messaging_operation_type", kind),
        // One poll, and one commit, may be of several topics.
        ("messaging_destination_name", ""),
        ("messaging_consumer_group_name", group),
        ("error_type", error_type),
    ]
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unix_millis() -> u64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn as_f64(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

fn offset_as_f64(offset: i64) -> f64 {
    // Gauges are floats; beyond 2^53 the last digits go.
    offset as f64
}
