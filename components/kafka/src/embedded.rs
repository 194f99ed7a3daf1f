//! Brokers in this process, on librdkafka's mock cluster: for a first run, demonstrations and tests.
//!
//! They forget everything when the service ends and keep only the youngest 5 MiB of each partition. They prove nothing
//! about transactions, security or durability.

use std::collections::BTreeMap;

use mainspring_core::{Component, ComponentContext, ConfigMode, Dependencies, LoadError, ServiceOutline};
use mainspring_kafka_ffi::MockCluster;
use schemars::JsonSchema;
use serde::Deserialize;

/// What suits consumers of these brokers; a producer would complain of it. Classic groups take seconds to join them, and a
/// fetch sleeps through its whole wait instead of being woken by new records.
const CONSUMER_DEFAULTS: [(&str, &str); 2] = [("group.protocol", "consumer"), ("fetch.wait.max.ms", "10")];

/// Options of [`KafkaEmbeddedComponent`].
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct EmbeddedConfig {
    /// Number of brokers, from 1 to 16. Default 1.
    #[serde(default = "EmbeddedConfig::default_brokers")]
    #[schemars(range(min = 1, max = 16))]
    pub brokers: i32,
    /// Topics to create at start: their names and their numbers of partitions (from 1 to 1024). Other topics are created on
    /// first use, with 4 partitions. Default: none.
    #[serde(default)]
    #[schemars(extend("additionalProperties" = {"type": "integer", "minimum": 1, "maximum": 1024}))]
    pub topics: BTreeMap<String, i32>,
}

impl EmbeddedConfig {
    const fn default_brokers() -> i32 {
        1
    }
}

impl Default for EmbeddedConfig {
    fn default() -> EmbeddedConfig {
        EmbeddedConfig { brokers: EmbeddedConfig::default_brokers(), topics: BTreeMap::new() }
    }
}

/// Brokers in this process. Kafka components of the same service use them instead of what secdist says.
#[derive(Debug)]
pub struct KafkaEmbeddedComponent {
    bootstrap_servers: String,
    /// Runs for as long as it is held.
    _cluster: MockCluster,
}

impl KafkaEmbeddedComponent {
    /// Where clients, of this process or another on this machine, find the brokers.
    #[must_use]
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// librdkafka properties that make consumers of these brokers quick.
    #[must_use]
    pub fn consumer_defaults(&self) -> &'static [(&'static str, &'static str)] {
        &CONSUMER_DEFAULTS
    }
}

impl Component for KafkaEmbeddedComponent {
    const DEFAULT_NAME: &'static str = "kafka-embedded";
    const CONFIG_MODE: ConfigMode = ConfigMode::NotRequired;
    type Config = EmbeddedConfig;

    fn dependencies(_: &EmbeddedConfig, _: &ServiceOutline) -> Dependencies {
        Dependencies::none()
    }

    async fn load(config: EmbeddedConfig, _cx: &ComponentContext) -> Result<Self, LoadError> {
        let cluster = MockCluster::new(config.brokers)?;
        for (topic, partitions) in &config.topics {
            cluster.create_topic(topic, *partitions, config.brokers.min(3))?;
        }
        let bootstrap_servers = cluster.bootstrap_servers();
        tracing::warn!(%bootstrap_servers, "Embedded Kafka is running: nothing it stores is durable");
        Ok(Self { bootstrap_servers, _cluster: cluster })
    }
}
