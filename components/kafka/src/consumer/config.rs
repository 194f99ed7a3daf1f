//! The options of a consumer component, and what the code makes of them.

use std::collections::HashSet;
use std::time::Duration;

use mainspring_config::{ByteSize, HumanDuration, Surroundings, Violation};
use mainspring_core::{LoadError, ServiceOutline};
use mainspring_kafka_ffi::ClientConfig;
use mainspring_logging::Level;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::client::{CommonConfig, Connection, Role, TypedOption, with_pod_name};
use crate::consumer::concurrency::Concurrency;
use crate::consumer::decode::Undecodable;

/// What suits a consumer and may be overridden. Once `queued.min.messages` or `queued.max.messages.kbytes` wait for us,
/// librdkafka stops fetching for this long, a second by default: whoever drains its queue in less stands still for the rest of
/// it.
const DEFAULTS: [(&str, &str); 1] = [("fetch.queue.backoff.ms", "10")];

/// What librdkafka allows a member of a classic group to be silent for, unless told otherwise.
const SESSION_TIMEOUT_DEFAULT: Duration = Duration::from_secs(45);

/// The parts of `fetch_memory_max` that messages taken from the client, and those in its queue, may have.
const HELD_PART: u64 = 2;
const FETCH_QUEUE_PART: u64 = 8;

/// Properties that the consumer cannot work without: it commits what was processed, never what was merely read, and end of
/// partition entries would move positions.
const FORCED: [(&[&str], &str); 3] = [
    (&["enable.auto.commit", "auto.commit.enable"], "false"),
    (&["enable.auto.offset.store"], "false"),
    (&["enable.partition.eof"], "false"),
];

/// Options of [`KafkaConsumerComponent`](crate::KafkaConsumerComponent).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ConsumerConfig {
    /// Options of every Kafka client.
    #[serde(flatten)]
    pub common: CommonConfig,
    /// Group whose members share the partitions. Required. `{pod_name}` in it, once, is replaced by the environment
    /// variable that `env_pod_name` names. Sets `group.id`.
    #[schemars(length(min = 1))]
    #[schemars(example = &"orders")]
    pub group_id: String,
    /// Name of the environment variable that replaces `{pod_name}`. Default: none, and `{pod_name}` stays as it is.
    #[serde(default)]
    #[schemars(example = &"POD_NAME")]
    pub env_pod_name: Option<String>,
    /// Topics to consume; at least one. A name that begins with `^` is a regular expression. Required.
    #[schemars(length(min = 1), inner(length(min = 1)))]
    #[schemars(example = ["orders"])]
    pub topics: Vec<String>,
    /// Most messages that one call of the callback is given. From 1 to 1000000, default `1`.
    #[serde(default = "ConsumerConfig::default_max_batch_size")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_batch_size: usize,
    /// Most bytes of keys and payloads that one call of the callback is given; a larger message is given alone. From `1B` to
    /// `1GiB`, default: half of `fetch_memory_max`.
    #[serde(default)]
    #[schemars(extend("formatMinimum" = "1B", "formatMaximum" = "1GiB"))]
    pub max_batch_bytes: Option<ByteSize>,
    /// Most bytes of messages at a time: half of it for those with callbacks and those that wait for one, `512` more than its
    /// key and payload for each message, shared out evenly between the partitions; the other half for what librdkafka fetches
    /// ahead, an eighth in its queue and as much in a response, of which three brokers may send one each. From `8MiB` to
    /// `4GiB`, default `64MiB`. Sets `queued.max.messages.kbytes`, and with that `fetch.max.bytes` unless that is set.
    #[serde(default = "ConsumerConfig::default_fetch_memory_max")]
    #[schemars(extend("formatMinimum" = "8MiB", "formatMaximum" = "4GiB"))]
    pub fetch_memory_max: ByteSize,
    /// Batches that are processed at the same time. Default: one after the other.
    #[serde(default)]
    pub concurrency: Option<Concurrency>,
    /// Longest wait for a batch to fill, from its first message on, before the callback runs with whatever has arrived. Up
    /// to `1h`, default `1s`. Larger values trade latency for fuller batches.
    #[serde(default = "ConsumerConfig::default_poll_timeout")]
    #[schemars(extend("formatMaximum" = "1h"))]
    pub poll_timeout: HumanDuration,
    /// Longest time one call of the callback may take. There is a warning at half of it; at the limit the callback is
    /// cancelled and its batch has failed. From `1ms` to `24h`, default `5m`; not below `session.timeout.ms` (`45s`), unless
    /// `group_protocol` is `consumer`. Sets `max.poll.interval.ms`, which is at least `45s` then.
    #[serde(default = "ConsumerConfig::default_max_callback_duration")]
    #[schemars(extend("formatMinimum" = "1ms", "formatMaximum" = "24h"))]
    pub max_callback_duration: HumanDuration,
    /// How long the consumer waits after a failed batch before it reads again from the last commit, and after a failure of
    /// the client before it creates a new one. Up to `24h`, default `10s`.
    #[serde(default = "ConsumerConfig::default_restart_after_failure_delay")]
    #[schemars(extend("formatMaximum" = "24h"))]
    pub restart_after_failure_delay: HumanDuration,
    /// Where to read a partition that the group has no valid commit for. Default `smallest`. Sets `auto.offset.reset`.
    #[serde(default)]
    pub auto_offset_reset: AutoOffsetReset,
    /// When offsets are committed. Default `manual`. Nothing but what was processed is ever committed, and never a partition
    /// that was taken back since.
    #[serde(default)]
    pub commit_policy: CommitPolicy,
    /// How long after it was processed something is committed with `commit_policy: periodic`. From `1ms` to `1h`, default `5s`.
    /// Has no meaning with another policy.
    #[serde(default = "ConsumerConfig::default_commit_interval")]
    #[schemars(extend("formatMinimum" = "1ms", "formatMaximum" = "1h"))]
    pub commit_interval: HumanDuration,
    /// What becomes of messages that cannot be decoded, for callbacks with a decoder. Default `fail`.
    #[serde(default)]
    pub undecodable: Undecodable,
    /// Who shares the partitions among the members of the group. Default: `classic`, or `consumer` with the brokers of
    /// `kafka-embedded`. A group may be changed while it runs, one member after another; its brokers must be Kafka 4.0 or
    /// later, or have KIP-848 switched on. Sets `group.protocol`.
    #[serde(default)]
    pub group_protocol: Option<GroupProtocol>,
    /// How members of a classic group share the partitions, the preferred way first; the group takes the first one that all
    /// have. `cooperative-sticky` stands alone. Not with `group_protocol: consumer`. Default: `range`, then `roundrobin`. Sets
    /// `partition.assignment.strategy`.
    #[serde(default)]
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    #[schemars(example = ["cooperative-sticky"])]
    pub partition_assignment_strategy: Option<Vec<AssignmentStrategy>>,
    /// Which of the brokers' assignors shares the partitions, such as `uniform` or `range`. Only with
    /// `group_protocol: consumer`. Default: the brokers choose. Sets `group.remote.assignor`.
    #[serde(default)]
    #[schemars(length(min = 1))]
    #[schemars(example = &"uniform")]
    pub group_remote_assignor: Option<String>,
    /// Name under which this member keeps its partitions through a restart (static membership); `{pod_name}` as in
    /// `group_id`. Default: none. Sets `group.instance.id`.
    #[serde(default)]
    #[schemars(length(min = 1))]
    #[schemars(example = &"orders-{pod_name}")]
    pub group_instance_id: Option<String>,
    /// How the keys of messages appear in the log line of each message at `operation_log_level`. Default `plaintext`.
    #[serde(default)]
    pub message_key_log_format: KeyLogFormat,
    /// Task processor that serves the client. Default `consumer-task-processor`.
    #[serde(default = "ConsumerConfig::default_task_processor")]
    pub task_processor: String,
    /// Task processor that runs the callback. Default `main-task-processor`.
    #[serde(default = "ConsumerConfig::default_callback_task_processor")]
    pub callback_task_processor: String,
}

/// Where to begin without a valid commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum AutoOffsetReset {
    /// At the first message there is.
    #[default]
    Smallest,
    /// As `smallest`.
    Earliest,
    /// As `smallest`.
    Beginning,
    /// At the next message to come.
    Largest,
    /// As `largest`.
    Latest,
    /// As `largest`.
    End,
    /// Nowhere: the partition is not read until it is assigned anew, and a warning is logged.
    Error,
}

/// When offsets are committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CommitPolicy {
    /// When the callback says so.
    #[default]
    Manual,
    /// After each batch whose callback returns `Ok`.
    AfterBatch,
    /// Every `commit_interval`, and before partitions are handed back.
    Periodic,
}

impl CommitPolicy {
    /// Whether commits come without the user's doing.
    pub(crate) fn is_automatic(self) -> bool {
        self != CommitPolicy::Manual
    }
}

/// Who shares the partitions among members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum GroupProtocol {
    /// The members, one of which leads.
    Classic,
    /// The brokers (KIP-848).
    Consumer,
}

impl GroupProtocol {
    fn as_str(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
        }
    }
}

/// How members of a classic group share the partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AssignmentStrategy {
    /// Neighbouring partitions of each topic; every rebalance takes everything from everybody.
    Range,
    /// In turn over all topics; every rebalance takes everything from everybody.
    #[serde(rename = "roundrobin")]
    RoundRobin,
    /// Evenly; a rebalance takes only what changes hands (KIP-429).
    CooperativeSticky,
}

impl AssignmentStrategy {
    fn as_str(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }
}

/// How keys are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum KeyLogFormat {
    /// As text; what is not UTF-8 is replaced.
    #[default]
    Plaintext,
    /// Two hexadecimal digits for each byte.
    Hex,
}

impl ConsumerConfig {
    const fn default_max_batch_size() -> usize {
        1
    }

    const fn default_fetch_memory_max() -> ByteSize {
        ByteSize::new(64 << 20)
    }

    const fn default_poll_timeout() -> HumanDuration {
        HumanDuration::from_secs(1)
    }

    const fn default_max_callback_duration() -> HumanDuration {
        HumanDuration::from_secs(5 * 60)
    }

    const fn default_restart_after_failure_delay() -> HumanDuration {
        HumanDuration::from_secs(10)
    }

    const fn default_commit_interval() -> HumanDuration {
        HumanDuration::from_secs(5)
    }

    fn default_task_processor() -> String {
        "consumer-task-processor".to_owned()
    }

    fn default_callback_task_processor() -> String {
        "main-task-processor".to_owned()
    }

    /// Everything that a configuration alone can prove wrong.
    pub(crate) fn violations(&self, service: &ServiceOutline) -> Vec<Violation> {
        let typed = self.typed(&self.group_id, self.group_instance_id.as_deref());
        let mut violations = self.common.violations(Role::Consumer, &typed);
        violations.extend(service.check_task_processor("task_processor", &self.task_processor));
        violations
            .extend(service.check_task_processor("callback_task_processor", &self.callback_task_processor));
        violations.extend(self.check_batch_bytes());
        violations.extend(self.check_session_timeout(service));
        self.check_protocol(service, &mut violations);
        violations.extend(self.common.check_embedded(service));
        self.check_names(&mut violations);
        self.check_forced(&mut violations);
        violations
    }

    /// A batch has to fit into what may be held.
    fn check_batch_bytes(&self) -> Option<Violation> {
        let most = ByteSize::new(self.fetch_memory_max.as_u64() / HELD_PART);
        self.max_batch_bytes.filter(|bytes| most < *bytes).map(|bytes| {
            let message = format!(
                "must not be more than half of `fetch_memory_max`, which is `{most}`, found `{bytes}`"
            );
            Violation::new("max_batch_bytes", message)
        })
    }

    /// A member of a classic group has to be allowed to take as long as its session lasts; librdkafka refuses anything else.
    fn check_session_timeout(&self, service: &ServiceOutline) -> Option<Violation> {
        let session = HumanDuration::from(self.session_timeout());
        (self.is_classic(service) && self.max_callback_duration < session).then(|| {
            let message = format!(
                "must not be shorter than the session timeout (`session.timeout.ms`, `{session}`), found `{}`",
                self.max_callback_duration
            );
            Violation::new("max_callback_duration", message)
        })
    }

    /// Whether the members of the group agree among themselves: librdkafka's default, but not that of embedded brokers.
    fn is_classic(&self, service: &ServiceOutline) -> bool {
        if let Some(protocol) = self.group_protocol {
            return protocol == GroupProtocol::Classic;
        }
        match self.common.rd_kafka_custom_options.get("group.protocol") {
            Some(protocol) => protocol.eq_ignore_ascii_case("classic"),
            None => !CommonConfig::is_embedded(service),
        }
    }

    /// Each protocol has options that the other one has not.
    fn check_protocol(&self, service: &ServiceOutline, violations: &mut Vec<Violation>) {
        let mut refuse = |path: &str, message: &str| violations.push(Violation::new(path, message));
        let is_classic = self.is_classic(service);
        if is_classic && self.group_remote_assignor.is_some() {
            refuse(
                "group_remote_assignor",
                "needs `group_protocol: consumer`: members of a classic group choose",
            );
        }
        let Some(strategies) = &self.partition_assignment_strategy else { return };
        let path = "partition_assignment_strategy";
        if !is_classic {
            refuse(
                path,
                "not possible with `group_protocol: consumer`: brokers decide it; see `group_remote_assignor`",
            );
        }
        if 1 < strategies.len() && strategies.contains(&AssignmentStrategy::CooperativeSticky) {
            refuse(path, "`cooperative-sticky` stands alone: the others take partitions back in another way");
        }
    }

    fn check_names(&self, violations: &mut Vec<Violation>) {
        let mut seen = HashSet::new();
        for (topic_idx, topic) in self.topics.iter().enumerate().filter(|(_, topic)| !seen.insert(*topic)) {
            let message = format!("topic `{topic}` is given twice");
            violations.push(Violation::new(format!("topics[{topic_idx}]"), message));
        }
    }

    fn check_forced(&self, violations: &mut Vec<Violation>) {
        for (names, value) in FORCED {
            for name in names.iter().filter(|name| self.common.rd_kafka_custom_options.contains_key(**name)) {
                let message =
                    format!("`{name}` is always `{value}` here: offsets are committed by the callback");
                violations.push(Violation::new(format!("rd_kafka_custom_options.{name}"), message));
            }
        }
    }

    /// The properties that keys of ours set.
    fn typed(&self, group_id: &str, group_instance_id: Option<&str>) -> Vec<TypedOption> {
        let mut typed = vec![
            TypedOption::new("group_id", &["group.id"], group_id),
            TypedOption::new(
                "max_callback_duration",
                &["max.poll.interval.ms"],
                self.poll_interval().as_millis(),
            ),
            TypedOption::new("auto_offset_reset", &["auto.offset.reset"], self.auto_offset_reset.as_str()),
            TypedOption::new(
                "fetch_memory_max",
                &["queued.max.messages.kbytes"],
                self.fetch_memory_max.as_u64() / FETCH_QUEUE_PART / 1024,
            ),
        ];
        if let Some(protocol) = self.group_protocol {
            typed.push(TypedOption::new("group_protocol", &["group.protocol"], protocol.as_str()));
        }
        if let Some(strategies) = &self.partition_assignment_strategy {
            let names: Vec<_> = strategies.iter().copied().map(AssignmentStrategy::as_str).collect();
            let properties = &["partition.assignment.strategy"];
            typed.push(TypedOption::new("partition_assignment_strategy", properties, names.join(",")));
        }
        if let Some(assignor) = &self.group_remote_assignor {
            typed.push(TypedOption::new("group_remote_assignor", &["group.remote.assignor"], assignor));
        }
        if let Some(id) = group_instance_id {
            typed.push(TypedOption::new("group_instance_id", &["group.instance.id"], id));
        }
        typed
    }

    /// How long the client may go without being polled. Our own clock ends callbacks, and the client is polled meanwhile, so
    /// this only has to be a value that librdkafka takes and a busy machine keeps: not below the session timeout. A shorter
    /// one comes this far only with `group.protocol: consumer`, where the session is the brokers' business.
    fn poll_interval(&self) -> Duration {
        self.max_callback_duration.get().max(self.session_timeout())
    }

    fn session_timeout(&self) -> Duration {
        let custom = self.common.rd_kafka_custom_options.get("session.timeout.ms");
        let millis = custom.and_then(|millis| millis.parse().ok());
        millis.map_or(SESSION_TIMEOUT_DEFAULT, Duration::from_millis)
    }

    /// Fills in what the configuration leaves to the environment.
    pub(crate) fn into_settings(
        self,
        component: &str,
        connection: &Connection,
        world: &dyn Surroundings,
    ) -> Result<Settings, LoadError> {
        let group = self.with_pod_name(&self.group_id, world)?;
        let instance =
            self.group_instance_id.as_deref().map(|id| self.with_pod_name(id, world)).transpose()?;
        let mut typed = self.typed(&group, instance.as_deref());
        typed.extend(FORCED.map(|(names, value)| TypedOption::new("", names, value)));
        let defaults = DEFAULTS.map(|(name, value)| (name, value.to_owned()));
        let client = self.common.client_config(connection, &defaults, &typed)?;
        let held_bytes_max = ByteSize::new(self.fetch_memory_max.as_u64() / HELD_PART).as_usize();
        Ok(Settings {
            options: self.common.describe(connection, &defaults, &typed),
            component: component.to_owned(),
            group,
            protocol: MemberProtocol::of(&client),
            client,
            poll_interval: self.poll_interval(),
            max_batch_size: self.max_batch_size,
            batch_bytes_max: self.max_batch_bytes.map_or(held_bytes_max, ByteSize::as_usize),
            held_bytes_max,
            memory_max: self.fetch_memory_max.as_usize(),
            concurrency: self.concurrency,
            poll_timeout: self.poll_timeout.get(),
            max_callback_duration: self.max_callback_duration.get(),
            commit_policy: self.commit_policy,
            commit_interval: self.commit_interval.get(),
            undecodable: self.undecodable,
            restart_delay: self.restart_after_failure_delay.get(),
            key_format: self.message_key_log_format,
            operation_level: self.common.operation_log_level,
            topics: self.topics,
        })
    }

    fn with_pod_name(&self, text: &str, world: &dyn Surroundings) -> Result<String, LoadError> {
        with_pod_name(text, self.env_pod_name.as_deref(), world)
    }
}

impl AutoOffsetReset {
    fn as_str(self) -> &'static str {
        match self {
            Self::Smallest => "smallest",
            Self::Earliest => "earliest",
            Self::Beginning => "beginning",
            Self::Largest => "largest",
            Self::Latest => "latest",
            Self::End => "end",
            Self::Error => "error",
        }
    }
}

impl KeyLogFormat {
    /// A key as it is logged; empty for none.
    pub(crate) fn show(self, key: Option<&[u8]>) -> String {
        let key = key.unwrap_or_default();
        match self {
            Self::Plaintext => String::from_utf8_lossy(key).into_owned(),
            Self::Hex => key.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

/// How a group shares its partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MemberProtocol {
    /// Members agree among themselves, and each rebalance takes everything.
    ClassicEager,
    /// Members agree among themselves, and a rebalance takes what changes hands.
    Cooperative,
    /// The coordinator decides (KIP-848).
    Consumer,
}

impl MemberProtocol {
    fn of(config: &ClientConfig) -> MemberProtocol {
        let has = |property: &str, value: &str| config.get(property).is_some_and(|set| set.contains(value));
        if has("group.protocol", "consumer") {
            MemberProtocol::Consumer
        } else if has("partition.assignment.strategy", "cooperative") {
            MemberProtocol::Cooperative
        } else {
            MemberProtocol::ClassicEager
        }
    }

    /// The value of the label `protocol`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ClassicEager => "classic_eager",
            Self::Cooperative => "cooperative",
            Self::Consumer => "consumer",
        }
    }
}

/// A consumer ready to be started: the configuration with everything filled in.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) component: String,
    pub(crate) group: String,
    pub(crate) topics: Vec<String>,
    pub(crate) client: ClientConfig,
    /// The same, as it is logged.
    pub(crate) options: String,
    pub(crate) protocol: MemberProtocol,
    pub(crate) poll_interval: Duration,
    pub(crate) max_batch_size: usize,
    pub(crate) batch_bytes_max: usize,
    /// Most bytes of messages that were taken and are not processed.
    pub(crate) held_bytes_max: usize,
    /// Most bytes of messages at a time, fetched ahead or taken.
    pub(crate) memory_max: usize,
    pub(crate) concurrency: Option<Concurrency>,
    pub(crate) poll_timeout: Duration,
    pub(crate) max_callback_duration: Duration,
    pub(crate) restart_delay: Duration,
    pub(crate) commit_policy: CommitPolicy,
    pub(crate) commit_interval: Duration,
    pub(crate) undecodable: Undecodable,
    pub(crate) key_format: KeyLogFormat,
    pub(crate) operation_level: Level,
}
