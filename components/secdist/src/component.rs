//! The components: one reads secrets, one holds them.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use mainspring_config::{Surroundings, Violation};
use mainspring_core::{Component, ComponentContext, ConfigMode, Dependencies, LoadError, ServiceOutline};
use mainspring_engine::TaskProcessor;
use serde::de::DeserializeOwned;

use crate::events::ReloadEvents;
use crate::{ProviderConfig, SecdistConfig, SecdistError, Secrets};

/// Reads secrets from a file and an environment variable, for [`SecdistComponent`].
pub struct DefaultSecdistProvider {
    config: ProviderConfig,
    processor: TaskProcessor,
    surroundings: Arc<dyn Surroundings + Send + Sync>,
}

impl DefaultSecdistProvider {
    /// Reads the secrets as they are now, on a thread that may block.
    async fn read(&self) -> Result<Secrets, SecdistError> {
        let config = self.config.clone();
        let surroundings = Arc::clone(&self.surroundings);
        let read = move || Secrets::read(&config, &*surroundings);
        self.processor.spawn_blocking("secdist-read", read).await.map_err(SecdistError::Interrupted)?
    }
}

impl Component for DefaultSecdistProvider {
    const DEFAULT_NAME: &'static str = "default-secdist-provider";
    const CONFIG_MODE: ConfigMode = ConfigMode::NotRequired;
    type Config = ProviderConfig;

    fn validate(config: &ProviderConfig, service: &ServiceOutline) -> Vec<Violation> {
        let processor = config.blocking_task_processor.as_deref();
        processor
            .and_then(|name| service.check_task_processor("blocking-task-processor", name))
            .into_iter()
            .collect()
    }

    fn dependencies(_: &ProviderConfig, _: &ServiceOutline) -> Dependencies {
        Dependencies::none()
    }

    async fn load(config: ProviderConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        let processor = match &config.blocking_task_processor {
            Some(name) => cx.task_processor(name)?,
            None => cx.default_task_processor().clone(),
        };
        Ok(Self { config, processor, surroundings: cx.surroundings() })
    }
}

impl std::fmt::Debug for DefaultSecdistProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DefaultSecdistProvider").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Holds the secrets of the service and hands them out by key.
#[derive(Debug)]
pub struct SecdistComponent {
    current: Arc<ArcSwap<Secrets>>,
    /// Its metrics live as long as the component.
    _events: Arc<ReloadEvents>,
}

impl SecdistComponent {
    /// The secret at the end of a path of keys, such as `["kafka_settings", "kafka-producer"]`, as last read.
    ///
    /// # Errors
    /// When a key of the path is missing, or when the value is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, SecdistError> {
        self.current.load().get(path)
    }

    /// All secrets as last read; they do not change under the caller.
    #[must_use]
    pub fn secrets(&self) -> Arc<Secrets> {
        self.current.load_full()
    }
}

impl Component for SecdistComponent {
    const DEFAULT_NAME: &'static str = "secdist";
    const CONFIG_MODE: ConfigMode = ConfigMode::NotRequired;
    type Config = SecdistConfig;

    fn validate(config: &SecdistConfig, service: &ServiceOutline) -> Vec<Violation> {
        service.check_component("provider", &config.provider).into_iter().collect()
    }

    fn dependencies(config: &SecdistConfig, _: &ServiceOutline) -> Dependencies {
        Dependencies::of([&config.provider])
    }

    async fn load(config: SecdistConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        let provider = cx.find::<DefaultSecdistProvider>(&config.provider).await?;
        let events = ReloadEvents::new(cx.metrics(), cx.name());
        let current = Arc::new(ArcSwap::from_pointee(provider.read().await?));
        events.loaded();
        let events = Arc::new(events);
        if !config.update_period.is_zero() {
            // The task ends with the component, so its handle is not kept.
            let update = update(*config.update_period, provider, Arc::clone(&current), Arc::clone(&events));
            drop(cx.spawn("secdist-update", update));
        }
        Ok(Self { current, _events: events })
    }
}

/// Reads again and again, until its task is cancelled.
async fn update(
    period: Duration,
    provider: Arc<DefaultSecdistProvider>,
    current: Arc<ArcSwap<Secrets>>,
    events: Arc<ReloadEvents>,
) {
    loop {
        tokio::time::sleep(period).await;
        match provider.read().await {
            Ok(secrets) => {
                current.store(Arc::new(secrets));
                events.reloaded();
            }
            Err(error) => events.reload_failed(error),
        }
    }
}
