//! The component `consumer-handler`: logs, counts and commits what arrives.

use std::convert::Infallible;
use std::sync::Arc;

use mainspring::kafka::{Batch, ConsumerScope, KafkaConsumerComponent};
use mainspring::metrics::{Family, MetricsScope};
use mainspring::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;
use tracing::info;

static CONSUMED: Family =
    Family::counter("kafka_service_consumed_messages", "Messages that the consumer handler has processed.");

/// Consumes from start-up until the service stops.
#[derive(Debug)]
pub struct ConsumerHandler {
    scope: ConsumerScope,
    metrics: Arc<MetricsScope>,
}

/// Section `consumer-handler`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsumerHandlerConfig {
    /// Name of the Kafka consumer component whose messages it handles.
    consumer: String,
}

impl Component for ConsumerHandler {
    const DEFAULT_NAME: &'static str = "consumer-handler";
    type Config = ConsumerHandlerConfig;

    fn validate(config: &ConsumerHandlerConfig, service: &ServiceOutline) -> Vec<Violation> {
        service.check_component("consumer", &config.consumer).into_iter().collect()
    }

    fn dependencies(config: &ConsumerHandlerConfig, _: &ServiceOutline) -> Dependencies {
        Dependencies::of([&config.consumer])
    }

    async fn load(config: ConsumerHandlerConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        let scope = cx.find::<KafkaConsumerComponent>(&config.consumer).await?.consumer()?;
        let metrics = Arc::new(MetricsScope::new(cx.metrics(), cx.name()));
        Ok(Self { scope, metrics })
    }

    async fn on_all_components_loaded(&self) -> Result<(), LoadError> {
        let metrics = Arc::clone(&self.metrics);
        Ok(self.scope.start(move |batch| handle(batch, Arc::clone(&metrics)))?)
    }

    async fn stop(&self) {
        self.scope.stop().await;
    }
}

async fn handle(batch: Batch, metrics: Arc<MetricsScope>) -> Result<(), Infallible> {
    for message in batch.iter() {
        info!(
            topic = message.topic(),
            partition = message.partition(),
            offset = message.offset(),
            "Message consumed"
        );
        metrics.counter(&CONSUMED, &[("topic", message.topic())]).inc();
    }
    batch.commit();
    Ok(())
}
