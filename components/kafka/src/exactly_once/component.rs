//! The pipeline as a component: a consumer and a producer of the same service, joined.

use std::sync::Arc;

use mainspring_config::Violation;
use mainspring_core::{Component, ComponentContext, Dependencies, LoadError, ServiceOutline};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::consumer::{ConsumerError, KafkaConsumerComponent};
use crate::embedded::KafkaEmbeddedComponent;
use crate::exactly_once::events;
use crate::exactly_once::pipeline::ExactlyOncePipeline;
use crate::transactions::{KafkaTransactionalProducerComponent, TransactionalProducer};

/// Joins a consumer and a producer of transactions into an [`ExactlyOncePipeline`].
///
/// It has the consumer to itself. The producer may be shared with others; transactions stand in line.
#[derive(Debug)]
pub struct KafkaExactlyOnceComponent {
    consumer: Arc<KafkaConsumerComponent>,
    producer: TransactionalProducer,
}

/// Options of [`KafkaExactlyOnceComponent`].
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ExactlyOnceConfig {
    /// Component that consumes. It must read what is committed only (`isolation.level`), and commit nothing by itself
    /// (`commit_policy`); both are the defaults. Default `kafka-consumer`.
    #[serde(default = "ExactlyOnceConfig::default_consumer")]
    pub consumer: String,
    /// Component that produces. Default `kafka-transactional-producer`.
    #[serde(default = "ExactlyOnceConfig::default_producer")]
    pub producer: String,
}

impl ExactlyOnceConfig {
    fn default_consumer() -> String {
        KafkaConsumerComponent::DEFAULT_NAME.to_owned()
    }

    fn default_producer() -> String {
        KafkaTransactionalProducerComponent::DEFAULT_NAME.to_owned()
    }
}

impl KafkaExactlyOnceComponent {
    /// The right to run the pipeline; one exists at a time.
    ///
    /// # Errors
    /// [`ConsumerError::InUse`] while another one, or a scope of the consumer, exists.
    pub fn pipeline(&self) -> Result<ExactlyOncePipeline, ConsumerError> {
        Ok(ExactlyOncePipeline::new(self.consumer.consumer()?, self.producer.clone()))
    }
}

impl Component for KafkaExactlyOnceComponent {
    const DEFAULT_NAME: &'static str = "kafka-exactly-once";
    type Config = ExactlyOnceConfig;

    fn validate(config: &ExactlyOnceConfig, service: &ServiceOutline) -> Vec<Violation> {
        let ExactlyOnceConfig { consumer, producer } = config;
        let consumer = service.check_component("consumer", consumer);
        consumer.into_iter().chain(service.check_component("producer", producer)).collect()
    }

    fn dependencies(config: &ExactlyOnceConfig, service: &ServiceOutline) -> Dependencies {
        let both = Dependencies::of([config.consumer.as_str(), config.producer.as_str()]);
        let embedded = KafkaEmbeddedComponent::DEFAULT_NAME;
        if service.has_component(embedded) { both.and(embedded) } else { both }
    }

    async fn load(config: ExactlyOnceConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        let consumer = cx.find::<KafkaConsumerComponent>(&config.consumer).await?;
        let producer = cx.find::<KafkaTransactionalProducerComponent>(&config.producer).await?;
        // Not asked of whoever reads everything: such a reader is not made to wait for open transactions, so that after a
        // rebalance it would begin behind its predecessor.
        let isolation = consumer.property("isolation.level").unwrap_or_default();
        if isolation != "read_committed" {
            return Err(LoadError::message(format!(
                "`{}` has to read what is committed only (`isolation.level: read_committed`), found `{isolation}`",
                config.consumer
            )));
        }
        if consumer.commits_by_itself() {
            return Err(LoadError::message(format!(
                "`{}` must leave commits to the transactions of the pipeline (`commit_policy: manual`)",
                config.consumer
            )));
        }
        if consumer.is_concurrent() {
            return Err(LoadError::message(format!(
                "`{}` must work on one batch at a time, without `concurrency`: a transaction commits all messages before its end",
                config.consumer
            )));
        }
        let embedded = KafkaEmbeddedComponent::DEFAULT_NAME;
        if cx.find_optional::<KafkaEmbeddedComponent>(embedded).await?.is_some() {
            events::nothing_is_isolated(cx.name());
        }
        Ok(Self { consumer, producer: producer.producer() })
    }
}
