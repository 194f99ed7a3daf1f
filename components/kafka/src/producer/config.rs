//! Options of a producer.

use mainspring_config::{HumanDuration, Violation};
use mainspring_core::ServiceOutline;
use mainspring_kafka_ffi::{ClientConfig, ConfigError};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::client::{CommonConfig, Connection, Role, TypedOption};
use crate::producer::compression::Compression;

/// librdkafka's own default.
const TOPIC_PROPAGATION_MAX: HumanDuration = HumanDuration::from_secs(30);

/// librdkafka's word for the level that the codec itself takes for a good balance.
const CODECS_OWN_LEVEL: i32 = -1;

/// Options of [`KafkaProducerComponent`](crate::KafkaProducerComponent).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ProducerConfig {
    /// What every Kafka client has.
    #[serde(flatten)]
    pub common: CommonConfig,
    /// Longest wait for the acknowledgement of a record, tries and retries together; also the longest wait for space in a
    /// full queue. From `1ms` to `24d`, default `3s`; must be longer than `queue_buffering_max`. Sets
    /// `delivery.timeout.ms`.
    #[serde(default = "ProducerConfig::default_delivery_timeout")]
    #[schemars(extend("formatMinimum" = "1ms", "formatMaximum" = "24d"))]
    pub delivery_timeout: HumanDuration,
    /// How long a record waits for others to share a batch with. Up to `15m`, default `10ms`. Larger values trade latency
    /// for throughput. Sets `queue.buffering.max.ms`, also known as `linger.ms`.
    #[serde(default = "ProducerConfig::default_queue_buffering_max")]
    #[schemars(extend("formatMaximum" = "15m"))]
    pub queue_buffering_max: HumanDuration,
    /// Whether the broker stores each record once and in order even when it is sent again. Default `false`. Sets
    /// `enable.idempotence`.
    #[serde(default)]
    pub enable_idempotence: bool,
    /// Most records that wait for their acknowledgement; `0` for no limit. Default 100000. Sets
    /// `queue.buffering.max.messages`.
    #[serde(default = "ProducerConfig::default_queue_buffering_max_messages")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub queue_buffering_max_messages: u32,
    /// Most KiB of records that wait for their acknowledgement. Default 1048576. Sets `queue.buffering.max.kbytes`.
    #[serde(default = "ProducerConfig::default_queue_buffering_max_kbytes")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub queue_buffering_max_kbytes: u32,
    /// Largest record in bytes, with key, headers and overhead. Default 1000000. Sets `message.max.bytes`; the broker has a
    /// limit of its own.
    #[serde(default = "ProducerConfig::default_message_max_bytes")]
    #[schemars(range(min = 1000, max = 1_000_000_000))]
    pub message_max_bytes: u32,
    /// How often a record is sent again before it fails; the bound is usually `delivery_timeout`. Default 2147483647. Sets
    /// `message.send.max.retries`.
    #[serde(default = "ProducerConfig::default_message_send_max_retries")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub message_send_max_retries: u32,
    /// Wait before the first retry; it doubles with each one. From `1ms` to `5m`, default `100ms`. Sets
    /// `retry.backoff.ms`.
    #[serde(default = "ProducerConfig::default_retry_backoff")]
    #[schemars(extend("formatMinimum" = "1ms", "formatMaximum" = "5m"))]
    pub retry_backoff: HumanDuration,
    /// Longest wait before a retry. From `1ms` to `5m`, default `1s`. Sets `retry.backoff.max.ms`.
    #[serde(default = "ProducerConfig::default_retry_backoff_max")]
    #[schemars(extend("formatMinimum" = "1ms", "formatMaximum" = "5m"))]
    pub retry_backoff_max: HumanDuration,
    /// How batches are compressed: `none`, `gzip`, `snappy`, `lz4` or `zstd`. Default `none`. Sets `compression.codec`.
    #[serde(default)]
    pub compression: Compression,
    /// How hard: from 0 to 9 for `gzip`, from 0 to 12 for `lz4`, from 1 to 12 for `zstd`; higher levels give smaller batches
    /// for more processor time. Default: what the codec takes for a good balance. Sets `compression.level`.
    #[serde(default)]
    #[schemars(range(min = 0, max = 12), example = 6)]
    pub compression_level: Option<u8>,
    /// Task processor that serves the client's events. Default `producer-task-processor`.
    #[serde(default = "ProducerConfig::default_task_processor")]
    pub task_processor: String,
    /// Set by the component whose producer is for transactions.
    #[serde(skip)]
    pub(crate) transactions: Option<TransactionOptions>,
}

/// What makes a producer transactional.
#[derive(Debug, Clone)]
pub(crate) struct TransactionOptions {
    pub(crate) id: String,
    pub(crate) timeout: HumanDuration,
}

impl ProducerConfig {
    const fn default_delivery_timeout() -> HumanDuration {
        HumanDuration::from_secs(3)
    }

    const fn default_queue_buffering_max() -> HumanDuration {
        HumanDuration::from_millis(10)
    }

    const fn default_queue_buffering_max_messages() -> u32 {
        100_000
    }

    const fn default_queue_buffering_max_kbytes() -> u32 {
        1_048_576
    }

    const fn default_message_max_bytes() -> u32 {
        1_000_000
    }

    const fn default_message_send_max_retries() -> u32 {
        2_147_483_647
    }

    const fn default_retry_backoff() -> HumanDuration {
        HumanDuration::from_millis(100)
    }

    const fn default_retry_backoff_max() -> HumanDuration {
        HumanDuration::from_secs(1)
    }

    fn default_task_processor() -> String {
        "producer-task-processor".to_owned()
    }

    /// Everything the configuration alone can prove wrong.
    pub(crate) fn violations(&self, service: &ServiceOutline) -> Vec<Violation> {
        let mut violations = self.common.violations(Role::Producer, &self.typed());
        violations.extend(service.check_task_processor("task_processor", &self.task_processor));
        violations.extend(self.common.check_embedded(service));
        violations.extend(self.compression.check(self.compression_level));
        if self.delivery_timeout <= self.queue_buffering_max {
            let message = format!(
                "must be longer than `queue_buffering_max` (`{}`), found `{}`",
                self.queue_buffering_max, self.delivery_timeout
            );
            violations.push(Violation::new("delivery_timeout", message));
        }
        if self.retry_backoff_max < self.retry_backoff {
            let message = format!(
                "must not be shorter than `retry_backoff` (`{}`), found `{}`",
                self.retry_backoff, self.retry_backoff_max
            );
            violations.push(Violation::new("retry_backoff_max", message));
        }
        if u64::from(self.queue_buffering_max_kbytes) * 1024 < u64::from(self.message_max_bytes) {
            let message = format!(
                "must have room for one record of `message_max_bytes` (`{}` bytes), found `{}` KiB",
                self.message_max_bytes, self.queue_buffering_max_kbytes
            );
            violations.push(Violation::new("queue_buffering_max_kbytes", message));
        }
        if self.enable_idempotence && self.message_send_max_retries == 0 {
            let message = "must be at least 1 with `enable_idempotence`, found `0`";
            violations.push(Violation::new("message_send_max_retries", message));
        }
        violations
    }

    /// What librdkafka is told.
    ///
    /// librdkafka gives a topic that no broker knows 30 s to become known; a record with a shorter deadline would fail
    /// with a timeout, which does not say why. Half of the deadline leaves time for both.
    pub(crate) fn client_config(&self, connection: &Connection) -> Result<ClientConfig, ConfigError> {
        self.common.client_config(connection, &self.defaults(), &self.typed())
    }

    /// The same, as it is logged.
    pub(crate) fn describe(&self, connection: &Connection) -> String {
        self.common.describe(connection, &self.defaults(), &self.typed())
    }

    /// What custom options may override.
    fn defaults(&self) -> [(&'static str, String); 1] {
        let propagation = (self.delivery_timeout.as_millis() / 2).min(TOPIC_PROPAGATION_MAX.as_millis());
        [("topic.metadata.propagation.max.ms", propagation.to_string())]
    }

    /// What the keys above set.
    pub(crate) fn typed(&self) -> Vec<TypedOption> {
        let option = |key, properties, value: u32| TypedOption::new(key, properties, value);
        let millis = TypedOption::millis;
        let mut typed = vec![
            millis("delivery_timeout", &["delivery.timeout.ms", "message.timeout.ms"], self.delivery_timeout),
            millis("queue_buffering_max", &["queue.buffering.max.ms", "linger.ms"], self.queue_buffering_max),
            TypedOption::new("enable_idempotence", &["enable.idempotence"], self.enable_idempotence),
            option(
                "queue_buffering_max_messages",
                &["queue.buffering.max.messages"],
                self.queue_buffering_max_messages,
            ),
            option(
                "queue_buffering_max_kbytes",
                &["queue.buffering.max.kbytes"],
                self.queue_buffering_max_kbytes,
            ),
            option("message_max_bytes", &["message.max.bytes"], self.message_max_bytes),
            option(
                "message_send_max_retries",
                &["message.send.max.retries", "retries"],
                self.message_send_max_retries,
            ),
            millis("retry_backoff", &["retry.backoff.ms"], self.retry_backoff),
            millis("retry_backoff_max", &["retry.backoff.max.ms"], self.retry_backoff_max),
            TypedOption::new(
                "compression",
                &["compression.codec", "compression.type"],
                self.compression.as_str(),
            ),
            TypedOption::new(
                "compression_level",
                &["compression.level"],
                self.compression_level.map_or(CODECS_OWN_LEVEL, i32::from),
            ),
        ];
        if let Some(TransactionOptions { id, timeout }) = &self.transactions {
            typed.push(TypedOption::new("transactional_id", &["transactional.id"], id));
            typed.push(millis("transaction_timeout", &["transaction.timeout.ms"], *timeout));
        }
        typed
    }
}

#[cfg(test)]
mod tests;
