//! The component `dynamic-config`: holds the layers of values and hands them to the variables.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use mainspring_config::{Section, Source, Surroundings, Violation};
use mainspring_core::dynamic::{self, DynamicConfig};
use mainspring_core::{
    Component, ComponentContext, ConfigMode, Dependencies, LoadError, ReloadRequests, ServiceOutline,
};
use mainspring_engine::TaskProcessor;
use tokio::sync::Mutex;

use crate::events::{self, StoreEvents};
use crate::update::{Values, layer};
use crate::{DynamicConfigError, StoreConfig, Update, cache};

/// What the log calls values that came by [`DynamicConfigComponent::apply`].
const UPDATE: &str = "update";

/// Brings the values of the dynamic configuration from the service's own files, and from whoever has
/// [updates](DynamicConfigComponent::apply).
pub struct DynamicConfigComponent {
    store: Arc<Store>,
}

impl DynamicConfigComponent {
    /// Takes an update, tells all subscribers of what it changes, and keeps it in the cache. The first one lets those go on
    /// who waited for it.
    ///
    /// # Errors
    /// When updates are not enabled, or when any value is not what its variable allows; all stay as they were then.
    /// Either is counted and logged.
    ///
    /// # Cancel safety
    /// Dropped early, the update has been taken or not, but the cache may be that of an earlier one.
    pub async fn apply(&self, update: Update) -> Result<(), DynamicConfigError> {
        self.store.apply(update).await
    }

    /// Notes that there was no update to be had, for whoever looks for them.
    pub fn update_failed(&self, error: impl Into<LoadError>) {
        self.store.events.reload_failed(UPDATE, error.into().to_string());
    }

    /// Lets those go on who wait for a first update that will not come.
    pub(crate) fn go_on_without(&self) {
        self.store.dynamic.release();
    }

    /// Whether the values of an update, be it one of an earlier run, are in use.
    pub async fn has_update(&self) -> bool {
        self.store.layers.lock().await.has_update
    }
}

impl Component for DynamicConfigComponent {
    const DEFAULT_NAME: &'static str = dynamic::COMPONENT;
    const CONFIG_MODE: ConfigMode = ConfigMode::NotRequired;
    type Config = StoreConfig;

    fn validate(config: &StoreConfig, service: &ServiceOutline) -> Vec<Violation> {
        config.violations(service)
    }

    fn dependencies(_: &StoreConfig, _: &ServiceOutline) -> Dependencies {
        Dependencies::none()
    }

    async fn load(config: StoreConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        // Before the files are read, so that none changes unseen.
        let reload_requests = cx.service().reload_requests();
        let store = Arc::new(Store::new(config, cx)?);
        store.begin().await?;
        if store.config.defaults_path.is_some() {
            // The task ends with the component, so its handle is not kept.
            drop(cx.spawn("dynamic-config-reload", reload(Arc::clone(&store), reload_requests)));
        }
        Ok(Self { store })
    }
}

impl fmt::Debug for DynamicConfigComponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamicConfigComponent").field("config", &self.store.config).finish_non_exhaustive()
    }
}

/// Reads the file of defaults whenever told to, until its task is cancelled.
async fn reload(store: Arc<Store>, mut requests: ReloadRequests) {
    loop {
        requests.next().await;
        store.reload_defaults().await;
    }
}

struct Store {
    config: StoreConfig,
    dynamic: DynamicConfig,
    processor: TaskProcessor,
    surroundings: Arc<dyn Surroundings + Send + Sync>,
    events: StoreEvents,
    /// Held while a change is made, the writing of the cache included, so that the last one is what stays.
    layers: Mutex<Layers>,
}

/// Where values come from, the later ones over the earlier ones.
struct Layers {
    defaults: Section,
    updates: Values,
    has_update: bool,
}

impl Store {
    fn new(config: StoreConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        let processor = match &config.fs_task_processor {
            Some(name) => cx.task_processor(name)?,
            None => cx.default_task_processor().clone(),
        };
        let layers = Layers { defaults: Section::empty(""), updates: Values::new(), has_update: false };
        Ok(Self {
            config,
            dynamic: cx.dynamic_config().clone(),
            processor,
            surroundings: cx.surroundings(),
            events: StoreEvents::new(cx.metrics(), cx.name()),
            layers: Mutex::new(layers),
        })
    }

    /// The values to start with.
    async fn begin(&self) -> Result<(), DynamicConfigError> {
        let mut layers = self.layers.lock().await;
        layers.defaults = self.read_defaults().await?;
        if self.config.updates_enabled {
            if let Some(cached) = self.read_cache(&layers.defaults).await {
                layers.updates = cached;
                layers.has_update = true;
            } else {
                self.dynamic.hold();
            }
        }
        let changed = self.dynamic.store(&[&layers.defaults, &layer("cache", &layers.updates)?])?;
        self.events.succeeded_now();
        if !changed.is_empty() {
            tracing::debug!(variables = changed.join(", "), "Variables that differ from their defaults");
        }
        Ok(())
    }

    async fn read_defaults(&self) -> Result<Section, DynamicConfigError> {
        let Some(path) = self.config.defaults_path.clone() else {
            return Ok(layer("defaults", &self.config.defaults)?);
        };
        let surroundings = Arc::clone(&self.surroundings);
        let read = move || match surroundings.read_file(&path) {
            Ok(text) => Ok(mainspring_config::parse(&Source::new(path, text))?),
            Err(source) => Err(DynamicConfigError::Unreadable { path, source }),
        };
        let defaults = self.blocking("dynamic-config-read", read).await??;
        self.dynamic.variables().check(&defaults).into_result()?;
        Ok(defaults)
    }

    /// The values of an earlier run, if they are there and still what the variables allow.
    async fn read_cache(&self, defaults: &Section) -> Option<Values> {
        let path = self.config.fs_cache_path.clone();
        if path.is_empty() {
            return None;
        }
        let read = self.blocking("dynamic-config-cache", move || cache::read(&path)).await;
        let path = &self.config.fs_cache_path;
        let cached = match read {
            Ok(Ok(cached)) => cached?,
            Ok(Err(error)) => {
                events::cache_unusable(path, error);
                return None;
            }
            Err(error) => {
                events::interrupted(error);
                return None;
            }
        };
        let usable = layer(path, &cached).and_then(|cached| self.dynamic.store(&[defaults, &cached]));
        if let Err(problems) = usable {
            events::cache_unusable(path, DynamicConfigError::from(problems));
            return None;
        }
        events::cache_used(path, cached.len());
        Some(cached)
    }

    async fn reload_defaults(&self) {
        let mut layers = self.layers.lock().await;
        let path = self.config.defaults_path.as_deref().unwrap_or_default();
        let stored = async {
            let defaults = self.read_defaults().await?;
            let changed = self.dynamic.store(&[&defaults, &layer(UPDATE, &layers.updates)?])?;
            Ok::<_, DynamicConfigError>((defaults, changed))
        };
        match stored.await {
            Ok((defaults, changed)) => {
                layers.defaults = defaults;
                self.events.reloaded(path, &changed);
            }
            Err(error) => self.events.reload_failed(path, LoadError::from(error).to_string()),
        }
    }

    async fn apply(&self, update: Update) -> Result<(), DynamicConfigError> {
        let mut layers = self.layers.lock().await;
        let changed = match self.take(&mut layers, update) {
            Ok(changed) => changed,
            Err(error) => {
                self.events.reload_failed(UPDATE, error.to_string());
                return Err(error);
            }
        };
        self.events.reloaded(UPDATE, &changed);
        let is_first = !std::mem::replace(&mut layers.has_update, true);
        self.dynamic.release();
        if is_first || !changed.is_empty() {
            self.write_cache(layers.updates.clone()).await;
        }
        Ok(())
    }

    fn take(&self, layers: &mut Layers, update: Update) -> Result<Vec<&'static str>, DynamicConfigError> {
        if !self.config.updates_enabled {
            return Err(DynamicConfigError::UpdatesDisabled);
        }
        let known: BTreeSet<_> = self.dynamic.variables().names().collect();
        let updates = update.apply_to(&layers.updates, &known);
        let changed = self.dynamic.store(&[&layers.defaults, &layer(UPDATE, &updates)?])?;
        layers.updates = updates;
        Ok(changed)
    }

    async fn write_cache(&self, values: Values) {
        let path = self.config.fs_cache_path.clone();
        if path.is_empty() {
            return;
        }
        let written = self.blocking("dynamic-config-cache", move || cache::write(&path, &values)).await;
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => events::cache_not_written(&self.config.fs_cache_path, error),
            Err(error) => events::interrupted(error),
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        name: &'static str,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, DynamicConfigError> {
        self.processor.spawn_blocking(name, call).await.map_err(DynamicConfigError::Interrupted)
    }
}
