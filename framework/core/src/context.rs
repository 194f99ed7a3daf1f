//! What a component sees of the service while it loads, and keeps afterwards.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use mainspring_config::Surroundings;
use mainspring_engine::{Task, TaskProcessor};
use mainspring_logging::Logging;
use mainspring_metrics::Registry as Metrics;
use tokio_util::sync::CancellationToken;

use crate::dynamic::{self, DynamicConfig};
use crate::error::LoadErrorKind;
use crate::registry::{Registry, Slot};
use crate::{Component, LoadError, ServiceHandle, events};

/// How often a component that waits for the first values of the dynamic configuration says so.
const DYNAMIC_CONFIG_WARNING_INTERVAL: Duration = Duration::from_secs(5);

/// A component's door to its service; cheap to clone and to keep.
#[derive(Clone)]
pub struct ComponentContext {
    registry: Arc<Registry>,
    component: usize,
}

impl ComponentContext {
    pub(crate) fn new(registry: Arc<Registry>, component: usize) -> Self {
        Self { registry, component }
    }

    /// The name under which this component is declared.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.slot().name
    }

    /// Whether the configuration has a section for this component, be it an empty one; always true unless its
    /// [`Component::CONFIG_MODE`] says that the section may be missing.
    #[must_use]
    pub fn is_declared(&self) -> bool {
        self.registry.is_declared(self.name())
    }

    /// The component called `name`, once it is loaded. Allowed only while this component loads.
    ///
    /// # Errors
    /// When there is none of that name, when it is no `T`, when it depends on this component, or when the load
    /// was cancelled meanwhile.
    ///
    /// # Cancel safety
    /// May be dropped at any time; the dependency stays recorded.
    pub async fn find<T: Component>(&self, name: &str) -> Result<Arc<T>, LoadError> {
        self.registry.find(self.component, name).await
    }

    /// The component registered under the default name of its type; otherwise as [`ComponentContext::find`].
    ///
    /// # Errors
    /// As for [`ComponentContext::find`].
    pub async fn find_default<T: Component>(&self) -> Result<Arc<T>, LoadError> {
        self.find(T::DEFAULT_NAME).await
    }

    /// As [`ComponentContext::find`], but `None` when the service has no component of that name.
    ///
    /// # Errors
    /// As for [`ComponentContext::find`], but for the missing component.
    pub async fn find_optional<T: Component>(&self, name: &str) -> Result<Option<Arc<T>>, LoadError> {
        if self.registry.contains(name) { self.find(name).await.map(Some) } else { Ok(None) }
    }

    /// The task processor called `name`.
    ///
    /// # Errors
    /// When it is not declared.
    pub fn task_processor(&self, name: &str) -> Result<TaskProcessor, LoadError> {
        self.registry.processors.get(name).cloned().ok_or_else(|| {
            let declared =
                self.registry.processors.iter().map(|processor| processor.name().to_owned()).collect();
            LoadError::new(LoadErrorKind::UnknownTaskProcessor { name: name.to_owned(), declared })
        })
    }

    /// The task processor that `default_task_processor` names.
    #[must_use]
    pub fn default_task_processor(&self) -> &TaskProcessor {
        &self.registry.default_processor
    }

    /// Runs `future` on the default task processor as a task of this component.
    ///
    /// The task carries the component's name in its log lines. After [`Component::stop`] it is cancelled, and the
    /// stop of those that this component depends on waits for its end.
    pub fn spawn<F>(&self, task_name: impl Into<Cow<'static, str>>, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_on(self.default_task_processor(), task_name, future)
    }

    /// As [`ComponentContext::spawn`], on the given task processor.
    pub fn spawn_on<F>(
        &self,
        processor: &TaskProcessor,
        task_name: impl Into<Cow<'static, str>>,
        future: F,
    ) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let slot = self.slot();
        // Spawned in its span, so that the line of a panic names the component too.
        slot.span.in_scope(|| slot.tasks.spawn_on(processor, task_name, future))
    }

    /// Runs `call`, which may block, on a thread that the default task processor keeps for that, as a task of this
    /// component.
    ///
    /// Otherwise as [`ComponentContext::spawn`]; but nothing can end a call from outside, so a long one should look at
    /// [`ComponentContext::cancellation`] now and then. The stop waits for it, for `component_stop_timeout` at most.
    pub fn spawn_blocking<F, T>(&self, task_name: impl Into<Cow<'static, str>>, call: F) -> Task<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let slot = self.slot();
        slot.span.in_scope(|| slot.tasks.spawn_blocking_on(self.default_task_processor(), task_name, call))
    }

    /// Fires when this component's tasks have to end, which is after its [`Component::stop`] has returned. Cancelling
    /// it oneself ends nothing.
    #[must_use]
    pub fn cancellation(&self) -> CancellationToken {
        self.slot().tasks.ending()
    }

    /// The metrics of this service.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.registry.metrics
    }

    /// The loggers of this service.
    #[must_use]
    pub fn logging(&self) -> &Logging {
        &self.registry.logging
    }

    /// The dynamic configuration as it is now; while components load, perhaps with the compiled-in values only.
    #[must_use]
    pub fn dynamic_config(&self) -> &DynamicConfig {
        self.registry.service.dynamic_config()
    }

    /// The dynamic configuration once the first values from outside are there, for components that must not begin with
    /// the compiled-in ones. Allowed only while this component loads. A service without the component
    /// [`dynamic-config`](dynamic::COMPONENT) waits for nothing.
    ///
    /// # Errors
    /// When the load was cancelled meanwhile.
    ///
    /// # Cancel safety
    /// May be dropped at any time; the dependency stays recorded.
    pub async fn loaded_dynamic_config(&self) -> Result<DynamicConfig, LoadError> {
        self.registry.wait_for(self.component, dynamic::COMPONENT).await?;
        let config = self.dynamic_config().clone();
        let released = async {
            while tokio::time::timeout(DYNAMIC_CONFIG_WARNING_INTERVAL, config.released()).await.is_err() {
                events::dynamic_config_awaited(self.name());
            }
        };
        tokio::select! {
            () = released => {}
            cancelled = self.registry.load_cancelled() => return Err(cancelled),
        }
        Ok(config)
    }

    /// Environment variables and files, as the service was given them.
    #[must_use]
    pub fn surroundings(&self) -> Arc<dyn Surroundings + Send + Sync> {
        Arc::clone(&self.registry.surroundings)
    }

    /// How long each step of this component's stop may take before it is cut short.
    #[must_use]
    pub fn component_stop_timeout(&self) -> Duration {
        self.registry.component_stop_timeout
    }

    /// The service itself: its phase, its health, and the way to stop it.
    #[must_use]
    pub fn service(&self) -> &ServiceHandle {
        &self.registry.service
    }

    fn slot(&self) -> &Slot {
        &self.registry.slots[self.component]
    }
}

impl std::fmt::Debug for ComponentContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ComponentContext").field("name", &self.name()).finish_non_exhaustive()
    }
}
