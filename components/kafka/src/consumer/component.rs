//! The consumer as a component.

use std::sync::Arc;

use mainspring_config::Violation;
use mainspring_core::dynamic::{self, AnyVariable, Subscription};
use mainspring_core::{Component, ComponentContext, Dependencies, Health, LoadError, ServiceOutline};
use mainspring_kafka_ffi::{ClientConfig, Consumer};
use mainspring_metrics::{Collector, Registration};

use crate::client::{Change, ClientState, Connection, ConnectionChanges, Role, check, log_options};
use crate::consumer::config::ConsumerConfig;
use crate::consumer::error::ConsumerError;
use crate::consumer::metrics::Metrics;
use crate::consumer::run::Access;
use crate::consumer::scope::{ConsumerScope, Control};
use crate::consumer::status::Status;
use crate::consumer::tuning::{self, KAFKA_CONSUMER, Tuning};

/// Consumes topics as a member of a group and hands messages in batches to a callback.
///
/// Nothing is consumed before [`ConsumerScope::start`].
///
/// ```
/// use std::convert::Infallible;
///
/// use mainspring_core::{Component, ComponentContext, LoadError, NoConfig};
/// use mainspring_kafka::{Batch, ConsumerScope, KafkaConsumerComponent};
///
/// struct Orders {
///     consumer: ConsumerScope,
/// }
///
/// impl Component for Orders {
///     const DEFAULT_NAME: &'static str = "orders";
///     type Config = NoConfig;
///
///     async fn load(_: NoConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
///         let consumer = cx.find_default::<KafkaConsumerComponent>().await?.consumer()?;
///         Ok(Self { consumer })
///     }
///
///     async fn on_all_components_loaded(&self) -> Result<(), LoadError> {
///         Ok(self.consumer.start(process)?)
///     }
///
///     async fn stop(&self) {
///         self.consumer.stop().await;
///     }
/// }
///
/// async fn process(batch: Batch) -> Result<(), Infallible> {
///     for message in &batch {
///         tracing::info!(offset = message.offset(), "An order");
///     }
///     drop(batch.commit());
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct KafkaConsumerComponent {
    control: Arc<Control>,
    _metrics: Registration,
    _tuning: Subscription,
}

impl KafkaConsumerComponent {
    /// Whether offsets are committed without anybody saying so.
    pub(crate) fn commits_by_itself(&self) -> bool {
        self.control.settings.commit_policy.is_automatic()
    }

    /// Whether it works on several batches at once.
    pub(crate) fn is_concurrent(&self) -> bool {
        self.control.settings.concurrency.is_some()
    }

    /// A property as librdkafka is told.
    pub(crate) fn property(&self, name: &str) -> Option<String> {
        self.control.settings.client.get(name)
    }

    /// The right to consume; one exists at a time.
    ///
    /// # Errors
    /// [`ConsumerError::InUse`] while another scope exists.
    pub fn consumer(&self) -> Result<ConsumerScope, ConsumerError> {
        self.control.scope()
    }
}

impl Component for KafkaConsumerComponent {
    const DEFAULT_NAME: &'static str = "kafka-consumer";
    type Config = ConsumerConfig;

    fn dynamic_variables() -> Vec<&'static dyn AnyVariable> {
        vec![&KAFKA_CONSUMER]
    }

    fn validate(config: &ConsumerConfig, service: &ServiceOutline) -> Vec<Violation> {
        config.violations(service)
    }

    fn dependencies(_: &ConsumerConfig, service: &ServiceOutline) -> Dependencies {
        let connection = Connection::dependencies(service);
        if service.has_component(dynamic::COMPONENT) {
            connection.and(dynamic::COMPONENT)
        } else {
            connection
        }
    }

    fn built_with() -> Option<String> {
        Some(crate::client::built_with())
    }

    async fn load(config: ConsumerConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        let (connection, changes) = Connection::find(&config.common, Role::Consumer, cx).await?;
        let configured = config.clone();
        let processor = cx.task_processor(&config.task_processor)?;
        let callback_processor = cx.task_processor(&config.callback_task_processor)?;
        let client = ClientState::new(cx.name(), Role::Consumer, &config.common);
        let settings = config.into_settings(cx.name(), &connection, &*cx.surroundings())?;
        log_options(cx.name(), &settings.options);
        // librdkafka checks the properties against each other only when a client is made of them.
        drop(Consumer::new(settings.client.clone())?);
        // A consumer that is to be paused must not begin before it knows.
        let dynamic_config = cx.loaded_dynamic_config().await?;
        let (subscription, tuning) =
            tuning::follow(&dynamic_config, cx.name(), Tuning::configured(&settings));
        let metrics = Metrics::new(cx.metrics(), &settings);
        let status = Arc::new(Status::new(client, metrics));
        let collector: Arc<dyn Collector> = Arc::<Status>::clone(&status);
        let registration = cx.metrics().register(collector);
        let control = Control::new(cx.clone(), settings, tuning, status, (processor, callback_processor));
        let control = Arc::new(control);
        if let Some(changes) = changes {
            // It ends with the component, so its handle is not kept.
            let follow = follow(changes, configured, Arc::clone(&control));
            drop(cx.spawn_on(&control.processor, "kafka-consumer-connection", follow));
        }
        Ok(Self { control, _metrics: registration, _tuning: subscription })
    }

    const CHECKS_CONNECTION: bool = true;

    async fn check_connection(
        config: ConsumerConfig,
        cx: &ComponentContext,
    ) -> Result<Vec<Violation>, LoadError> {
        let (connection, _changes) = Connection::find(&config.common, Role::Consumer, cx).await?;
        let topics = config.topics.clone();
        let settings = config.into_settings(cx.name(), &connection, &*cx.surroundings())?;
        let client = Consumer::new(settings.client)?;
        let ask = move || check::consumer(&client, connection.brokers(), &topics);
        Ok(cx.spawn_blocking("kafka-check", ask).await?)
    }

    async fn stop(&self) {
        self.control.shut_down().await;
    }

    fn health(&self) -> Health {
        self.control.status.health()
    }
}

/// Passes on what is new to connect with, to the client there is and to those to come.
async fn follow(mut changes: ConnectionChanges, config: ConsumerConfig, control: Arc<Control>) {
    let state = &control.status.client;
    loop {
        match changes.next(state).await {
            Change::Credentials(credentials) => {
                control.access.send_modify(|access| access.credentials = Some(credentials));
                if control.access.receiver_count() == 0 {
                    // Nobody consumes, so nobody else reports it; the next run begins with them.
                    state.on_credentials(Ok(()));
                }
            }
            Change::Connection(connection) => match client_config(&config, &connection, &control.cx) {
                Ok(client) => {
                    control.access.send_modify(|access| {
                        let generation = access.generation + 1;
                        *access = Access { client, credentials: None, generation };
                    });
                    if control.access.receiver_count() == 0 {
                        state.on_replaced();
                    }
                }
                Err(error) => state.on_connection_unusable(&error),
            },
        }
    }
}

/// What a client is made of, once one could be made of it.
fn client_config(
    config: &ConsumerConfig,
    connection: &Connection,
    cx: &ComponentContext,
) -> Result<ClientConfig, LoadError> {
    let settings = config.clone().into_settings(cx.name(), connection, &*cx.surroundings())?;
    drop(Consumer::new(settings.client.clone())?);
    Ok(settings.client)
}
