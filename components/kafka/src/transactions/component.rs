//! The producer of transactions as a component.

use std::sync::Arc;
use std::time::Duration;

use mainspring_config::Violation;
use mainspring_core::{Component, ComponentContext, Dependencies, Health, LoadError, ServiceOutline};

use crate::producer::KafkaProducerComponent;
use crate::transactions::config::TransactionalProducerConfig;
use crate::transactions::events::Reporter;
use crate::transactions::metrics::Metrics;
use crate::transactions::producer::{Shared, TransactionalProducer};

/// Gives out [`TransactionalProducer`]s over one librdkafka client, which sends in transactions only.
///
/// Brokers come from secdist or [`KafkaEmbeddedComponent`](crate::KafkaEmbeddedComponent), as for
/// [`KafkaProducerComponent`]; those of the latter take part in transactions, but isolate nothing. They need not be reachable
/// at start: until they are, transactions wait to begin.
pub struct KafkaTransactionalProducerComponent {
    producer: KafkaProducerComponent,
    shared: Arc<Shared>,
    stop_timeout: Duration,
}

impl KafkaTransactionalProducerComponent {
    /// A handle that begins transactions.
    #[must_use]
    pub fn producer(&self) -> TransactionalProducer {
        TransactionalProducer { shared: Arc::clone(&self.shared) }
    }
}

impl Component for KafkaTransactionalProducerComponent {
    const DEFAULT_NAME: &'static str = "kafka-transactional-producer";
    type Config = TransactionalProducerConfig;

    fn validate(config: &TransactionalProducerConfig, service: &ServiceOutline) -> Vec<Violation> {
        config.violations(service)
    }

    fn dependencies(config: &TransactionalProducerConfig, service: &ServiceOutline) -> Dependencies {
        KafkaProducerComponent::dependencies(&config.producer, service)
    }

    fn built_with() -> Option<String> {
        KafkaProducerComponent::built_with()
    }

    async fn load(config: TransactionalProducerConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        let id = config.transactional_id(&*cx.surroundings())?;
        let processor = cx.task_processor(&config.producer.task_processor)?;
        let reporter = Reporter {
            component: cx.name().to_owned(),
            operation_level: config.producer.common.operation_log_level,
            metrics: Metrics::new(cx.metrics(), cx.name()),
        };
        let timeout = *config.transaction_timeout;
        let producer = KafkaProducerComponent::load(config.to_producer(id.clone()), cx).await?;
        let inner = Arc::clone(producer.inner());
        let shared = Shared::new((id.into(), timeout), inner, cx.clone(), processor, reporter);
        let shared = Arc::new(shared);
        // It ends with the component, so its handle is not kept.
        drop(cx.spawn_on(&shared.processor, "kafka-transactions-init", Arc::clone(&shared).init_early()));
        let stop_timeout = timeout.min(cx.component_stop_timeout() / 2);
        Ok(Self { producer, shared, stop_timeout })
    }

    const CHECKS_CONNECTION: bool = true;

    async fn check_connection(
        config: TransactionalProducerConfig,
        cx: &ComponentContext,
    ) -> Result<Vec<Violation>, LoadError> {
        // Without the id: asking for it would shut out an instance that runs.
        KafkaProducerComponent::check_connection(config.producer, cx).await
    }

    async fn stop(&self) {
        self.shared.close(self.stop_timeout).await;
        self.producer.stop().await;
    }

    fn health(&self) -> Health {
        self.shared.health()
    }
}

impl std::fmt::Debug for KafkaTransactionalProducerComponent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaTransactionalProducerComponent")
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}
