//! Options of a producer of transactions: those of a producer, and who it is.

use mainspring_config::{HumanDuration, Surroundings, Violation};
use mainspring_core::{LoadError, ServiceOutline};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::client::with_pod_name;
use crate::producer::{ProducerConfig, TransactionOptions};

/// Options of [`KafkaTransactionalProducerComponent`](crate::KafkaTransactionalProducerComponent).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct TransactionalProducerConfig {
    /// Options of every producer. `enable_idempotence` is always on here.
    #[serde(flatten)]
    pub producer: ProducerConfig,
    /// Name of this producer, by which the cluster knows what an earlier instance left open. No two instances that run at the
    /// same time may share it: the later one shuts the earlier one out. `{pod_name}` in it, once, is replaced by the
    /// environment variable that `env_pod_name` names. Required. Sets `transactional.id`.
    #[schemars(example = &"orders-{pod_name}")]
    pub transactional_id: String,
    /// Name of the environment variable that replaces `{pod_name}`. Default: none, and `{pod_name}` stays as it is.
    #[serde(default)]
    #[schemars(example = &"POD_NAME")]
    pub env_pod_name: Option<String>,
    /// Longest time a transaction may take, from its begin to its end; also the longest wait for one's turn to begin. The
    /// cluster aborts one that takes longer and shuts its producer out, so this bounds how long readers are held up by an
    /// instance that is gone. From `1s` to `24d`, default `1m`; not shorter than `delivery_timeout`. Brokers have a maximum of
    /// their own, `transaction.max.timeout.ms`. Sets `transaction.timeout.ms`.
    #[serde(default = "TransactionalProducerConfig::default_transaction_timeout")]
    #[schemars(extend("formatMinimum" = "1s", "formatMaximum" = "24d"))]
    pub transaction_timeout: HumanDuration,
}

impl TransactionalProducerConfig {
    const fn default_transaction_timeout() -> HumanDuration {
        HumanDuration::from_secs(60)
    }

    /// Everything the configuration alone can prove wrong.
    pub(crate) fn violations(&self, service: &ServiceOutline) -> Vec<Violation> {
        let mut violations = self.to_producer(self.transactional_id.clone()).violations(service);
        if self.transactional_id.is_empty() {
            let message = "expected the name of this producer, found an empty text";
            violations.push(Violation::new("transactional_id", message));
        }
        if self.transaction_timeout < self.producer.delivery_timeout {
            let message = format!(
                "must not be shorter than `delivery_timeout` (`{}`), found `{}`",
                self.producer.delivery_timeout, self.transaction_timeout
            );
            violations.push(Violation::new("transaction_timeout", message));
        }
        violations
    }

    /// Fills in what the configuration leaves to the environment.
    pub(crate) fn transactional_id(&self, world: &dyn Surroundings) -> Result<String, LoadError> {
        with_pod_name(&self.transactional_id, self.env_pod_name.as_deref(), world)
    }

    /// The producer that it comes to.
    pub(crate) fn to_producer(&self, transactional_id: String) -> ProducerConfig {
        let transactions = TransactionOptions { id: transactional_id, timeout: self.transaction_timeout };
        ProducerConfig { enable_idempotence: true, transactions: Some(transactions), ..self.producer.clone() }
    }
}
