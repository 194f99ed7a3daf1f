//! The producer as a component: from its section of the configuration to a handle, and to a bounded stop.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mainspring_config::Violation;
use mainspring_core::{Component, ComponentContext, Dependencies, Health, LoadError, ServiceOutline};
use mainspring_engine::{Task, TaskProcessor};
use mainspring_kafka_ffi as ffi;
use mainspring_metrics::{Collector, Registration};
use tokio::time::timeout;

use crate::client::{Change, ClientState, Connection, ConnectionChanges, Role, check, log_options};
use crate::producer::clients::{Live, Renewal};
use crate::producer::config::ProducerConfig;
use crate::producer::events;
use crate::producer::handle::{Inner, PURGE_TIMEOUT, Producer};
use crate::producer::metrics::Metrics;
use crate::transactions::is_fenced;

/// Gives out [`Producer`]s over one librdkafka client.
///
/// Brokers come from secdist, key `kafka_settings.<component>`, or from
/// [`KafkaEmbeddedComponent`](crate::KafkaEmbeddedComponent) if the service has it. They need not be reachable at start.
/// It stops after those that depend on it: it sends at once what still waits for a batch, and waits for records in flight, at
/// most twice `delivery_timeout` and within `component_stop_timeout`.
pub struct KafkaProducerComponent {
    producer: Producer,
    serving: Mutex<Option<Task<()>>>,
    drain_timeout: Duration,
    processor: TaskProcessor,
    _registration: Registration,
}

impl KafkaProducerComponent {
    /// A handle that sends.
    #[must_use]
    pub fn producer(&self) -> Producer {
        self.producer.clone()
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.producer.inner
    }

    /// Makes librdkafka send at once what still waits for others to share a batch with.
    fn flush(&self) -> Task<()> {
        let live = self.producer.inner.live();
        let limit = self.drain_timeout;
        self.processor.spawn_blocking("kafka-producer-flush", move || {
            if let Some(live) = live {
                live.flush_blocking(limit);
            }
        })
    }
}

impl Component for KafkaProducerComponent {
    const DEFAULT_NAME: &'static str = "kafka-producer";
    type Config = ProducerConfig;

    fn validate(config: &ProducerConfig, service: &ServiceOutline) -> Vec<Violation> {
        config.violations(service)
    }

    fn dependencies(_: &ProducerConfig, service: &ServiceOutline) -> Dependencies {
        Connection::dependencies(service)
    }

    fn built_with() -> Option<String> {
        Some(crate::client::built_with())
    }

    async fn load(config: ProducerConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        let processor = cx.task_processor(&config.task_processor)?;
        let (connection, changes) = Connection::find(&config.common, Role::Producer, cx).await?;
        log_options(cx.name(), &config.describe(&connection));
        let recipe = Arc::new(Recipe { config: config.clone(), connection: Mutex::new(connection.clone()) });
        let client = recipe.make()?;
        let protocol = config.common.security_protocol.as_str();
        events::started(cx.name(), connection.brokers(), protocol, &client.client_name());

        let live = Arc::new(Live::new(client));
        let inner = Inner::new(
            Arc::clone(&live),
            ClientState::new(cx.name(), Role::Producer, &config.common),
            Metrics::new(cx.metrics(), cx.name()),
            *config.delivery_timeout,
            config.common.operation_log_level,
        );
        let create = Arc::clone(&recipe);
        let is_final = match config.transactions {
            // It would shut the other one out in turn.
            Some(_) => |error: &ffi::KafkaError| is_fenced(error.code),
            None => |_: &ffi::KafkaError| false,
        };
        let create = Arc::new(move || create.make());
        let renewal = Renewal { processor: processor.clone(), create, is_final };
        let inner = Arc::new(inner.renewing(renewal));
        let collector: Arc<dyn Collector> = Arc::<Inner>::clone(&inner);
        let registration = cx.metrics().register(collector);
        let serving = cx.spawn_on(&processor, "kafka-producer-events", Arc::clone(&inner).serve(live));
        if let Some(changes) = changes {
            // It ends with the component, so its handle is not kept.
            let follow = follow(changes, recipe, Arc::clone(&inner), processor.clone());
            drop(cx.spawn_on(&processor, "kafka-producer-connection", follow));
        }
        Ok(Self {
            producer: Producer { inner },
            serving: Mutex::new(Some(serving)),
            drain_timeout: drain_timeout(*config.delivery_timeout, cx.component_stop_timeout()),
            processor,
            _registration: registration,
        })
    }

    const CHECKS_CONNECTION: bool = true;

    async fn check_connection(
        config: ProducerConfig,
        cx: &ComponentContext,
    ) -> Result<Vec<Violation>, LoadError> {
        let (connection, _changes) = Connection::find(&config.common, Role::Producer, cx).await?;
        let client = ffi::Producer::new(config.client_config(&connection)?)?;
        let ask = move || check::producer(&client, connection.brokers());
        Ok(cx.spawn_blocking("kafka-check", ask).await?)
    }

    async fn stop(&self) {
        let inner = &self.producer.inner;
        let flushing = self.flush();
        inner.close(self.drain_timeout).await;
        // It has ended with the last report, or ends with the same limit, unless no thread was free for it to begin.
        flushing.cancel();
        let _ended = timeout(PURGE_TIMEOUT, flushing).await.is_ok();
        let serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(serving) = serving {
            serving.cancel();
            // It holds the client; only cancellation ends it, so its result says nothing.
            let _cancelled = serving.await;
        }
        inner.end().await;
    }

    fn health(&self) -> Health {
        self.producer.inner.health()
    }
}

/// What clients are made of.
struct Recipe {
    config: ProducerConfig,
    connection: Mutex<Connection>,
}

impl Recipe {
    /// Makes a client, which starts threads and reads files.
    fn make(&self) -> Result<ffi::Producer, LoadError> {
        let connection = self.connection().clone();
        Ok(ffi::Producer::new(self.config.client_config(&connection)?)?)
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives the client what is new to connect with, or has another one take over, for ever.
async fn follow(
    mut changes: ConnectionChanges,
    recipe: Arc<Recipe>,
    inner: Arc<Inner>,
    processor: TaskProcessor,
) {
    loop {
        match changes.next(inner.state()).await {
            Change::Credentials(credentials) => inner.set_credentials(credentials),
            Change::Connection(connection) => {
                let trial =
                    Recipe { config: recipe.config.clone(), connection: Mutex::new(connection.clone()) };
                let made =
                    processor.spawn_blocking("kafka-producer-trial", move || trial.make().map(drop)).await;
                match made {
                    Ok(Ok(())) => {
                        *recipe.connection() = connection;
                        inner.renew_client();
                    }
                    Ok(Err(error)) => inner.state().on_connection_unusable(&error),
                    // Cut short: the service is stopping.
                    Err(_) => {}
                }
            }
        }
    }
}

/// How long records in flight are waited for: twice `delivery_timeout`, as in userver, but no longer than leaves time to
/// purge the rest, to say what was lost and to end the client.
fn drain_timeout(delivery_timeout: Duration, stop_timeout: Duration) -> Duration {
    let room = stop_timeout.saturating_sub(2 * PURGE_TIMEOUT).max(stop_timeout / 2);
    room.min(2 * delivery_timeout)
}

impl Drop for KafkaProducerComponent {
    /// After a stop cut short, or without one, handles that others keep must not keep the client.
    fn drop(&mut self) {
        self.producer.inner.abandon();
    }
}

impl std::fmt::Debug for KafkaProducerComponent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaProducerComponent").field("producer", &self.producer).finish_non_exhaustive()
    }
}
