//! The components: one reads secrets, one holds them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mainspring_config::{Surroundings, Violation};
use mainspring_core::{
    Component, ComponentContext, ConfigMode, Dependencies, LoadError, ReloadRequests, ServiceOutline,
};
use mainspring_engine::TaskProcessor;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::events::{self, ReloadEvents};
use crate::{ProviderConfig, SecdistConfig, SecdistError, SecretChanges, Secrets};

/// Reads secrets from a file and an environment variable, for [`SecdistComponent`].
pub struct DefaultSecdistProvider {
    config: ProviderConfig,
    processor: TaskProcessor,
    surroundings: Arc<dyn Surroundings + Send + Sync>,
    /// Others could read the file when it was looked at last.
    exposed: AtomicBool,
}

impl DefaultSecdistProvider {
    /// Reads the secrets as they are now, on a thread that may block.
    async fn read(&self) -> Result<Secrets, SecdistError> {
        let config = self.config.clone();
        let surroundings = Arc::clone(&self.surroundings);
        let read = move || {
            let exposure = Secrets::exposure(&config, &*surroundings);
            Secrets::read(&config, &*surroundings).map(|secrets| (secrets, exposure))
        };
        let reading = self.processor.spawn_blocking("secdist-read", read);
        let (secrets, exposure) = reading.await.map_err(SecdistError::Interrupted)??;
        self.note(exposure);
        Ok(secrets)
    }

    /// Complains of a file that others can read, once until it is mended.
    fn note(&self, exposure: Option<u32>) {
        let was_exposed = self.exposed.swap(exposure.is_some(), Ordering::Relaxed);
        if let Some(mode) = exposure
            && !was_exposed
        {
            events::exposed(&self.config.config, mode);
        }
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
        Ok(Self { config, processor, surroundings: cx.surroundings(), exposed: AtomicBool::new(false) })
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
    current: watch::Sender<Arc<Secrets>>,
    /// How often they were read again.
    readings: watch::Sender<u64>,
    /// Its metrics live as long as the component.
    _events: Arc<ReloadEvents>,
}

impl SecdistComponent {
    /// The secret at the end of a path of keys, such as `["kafka_settings", "kafka-producer"]`, as last read.
    ///
    /// # Errors
    /// When a key of the path is missing, or when the value is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, SecdistError> {
        self.secrets().get(path)
    }

    /// All secrets as last read; they do not change under the caller.
    #[must_use]
    pub fn secrets(&self) -> Arc<Secrets> {
        Arc::clone(&self.current.borrow())
    }

    /// Tells of changes of what is at the end of a path, counted from what is there now.
    ///
    /// Without `update-period` the secrets are read again on SIGHUP only.
    pub fn subscribe(&self, path: &[&str]) -> SecretChanges {
        SecretChanges::new(path, self.current.subscribe(), self.readings.subscribe())
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
        let events = Arc::new(ReloadEvents::new(cx.metrics(), cx.name()));
        // A request that comes while the first reading is under way is not lost.
        let reload_requests = cx.service().reload_requests();
        let current = watch::Sender::new(Arc::new(provider.read().await?));
        events.loaded();
        let period = (!config.update_period.is_zero()).then_some(*config.update_period);
        let readings = watch::Sender::new(0);
        let update = Update {
            provider,
            current: current.clone(),
            readings: readings.clone(),
            events: Arc::clone(&events),
        };
        let update = update.run(period, reload_requests);
        // The task ends with the component, so its handle is not kept.
        drop(cx.spawn("secdist-update", update));
        Ok(Self { current, readings, _events: events })
    }
}

/// What reads again.
struct Update {
    provider: Arc<DefaultSecdistProvider>,
    current: watch::Sender<Arc<Secrets>>,
    readings: watch::Sender<u64>,
    events: Arc<ReloadEvents>,
}

impl Update {
    /// Reads again and again, until its task is cancelled.
    async fn run(self, period: Option<Duration>, mut reload_requests: ReloadRequests) {
        loop {
            tokio::select! {
                () = after(period) => {}
                () = reload_requests.next() => {}
            }
            self.read().await;
            self.readings.send_modify(|readings| *readings += 1);
        }
    }

    async fn read(&self) {
        match self.provider.read().await {
            Ok(read) => {
                // Whoever waits is woken by a difference only.
                self.current.send_if_modified(|secrets| {
                    let is_new = !secrets.agree(&read);
                    if is_new {
                        *secrets = Arc::new(read);
                    }
                    is_new
                });
                self.events.reloaded();
            }
            Err(error) => self.events.reload_failed(error),
        }
    }
}

/// Never without a period.
async fn after(period: Option<Duration>) {
    match period {
        Some(period) => tokio::time::sleep(period).await,
        None => std::future::pending().await,
    }
}
