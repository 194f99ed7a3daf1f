//! A checked service, ready to run on the calling thread.

use std::sync::Arc;
use std::time::Duration;

use mainspring_config::{FakeSurroundings, Problems, Section, Surroundings};
use mainspring_engine::{Engine, TaskProcessorsCollector};
use mainspring_logging::Logging;
use mainspring_metrics::Registry as Metrics;
use tracing::dispatcher::{self, Dispatch};

use crate::connections::only_checks;
use crate::dynamic::DynamicConfig;
use crate::lifecycle::Lifecycle;
use crate::plan::Plan;
use crate::registry::{Parts, Registry};
use crate::{ComponentGraph, ComponentList, Phase, ServiceError, ServiceErrorKind, ServiceHandle, events};

/// How long runtimes get to join their threads once every component has stopped.
const ENGINE_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long writers of log records get to empty their queues.
const LOG_FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// What a service is given besides its configuration.
pub struct ServiceOptions {
    /// Environment variables and files that components may read. Default: none at all.
    pub surroundings: Arc<dyn Surroundings + Send + Sync>,
}

impl Default for ServiceOptions {
    fn default() -> Self {
        Self { surroundings: Arc::new(FakeSurroundings::default()) }
    }
}

impl std::fmt::Debug for ServiceOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServiceOptions")
    }
}

/// How a stop went.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StopReport {
    /// Why the service stopped.
    pub reason: String,
    /// What had not finished when its deadline came, one sentence each; empty after a clean stop.
    pub unfinished: Vec<String>,
}

/// A service whose configuration is known to be right.
///
/// ```
/// use mainspring_config::{FakeSurroundings, Source, VarsOptions};
/// use mainspring_core::{ComponentList, Service, ServiceOptions};
///
/// let yaml = "
/// components_manager:
///     task_processors: {main-task-processor: {worker_threads: 1}}
///     default_task_processor: main-task-processor
///     components:
///         logging: {loggers: {default: {file_path: '@null'}}}
/// ";
/// let source = Source::new("static_config.yaml", yaml);
/// let root = mainspring_config::load(&source, &VarsOptions::default(), &FakeSurroundings::default())?;
/// let service = Service::new(&ComponentList::minimal(), &root, ServiceOptions::default())?;
/// service.handle().stop("the example is over");
/// assert_eq!(service.run()?.reason, "the example is over");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Service {
    pub(crate) plan: Plan,
    options: ServiceOptions,
    handle: ServiceHandle,
}

impl Service {
    /// Checks the configuration of everything; starts nothing.
    ///
    /// # Errors
    /// Every problem that the configuration has; none when all there are have been reported by
    /// [`load_partly`](mainspring_config::load_partly).
    pub fn new(list: &ComponentList, root: &Section, options: ServiceOptions) -> Result<Self, Problems> {
        let plan = Plan::check(list, root)?;
        let dynamic_config = DynamicConfig::new(plan.variables.clone());
        let handle = ServiceHandle::new(Metrics::default(), Logging::new(), dynamic_config);
        Ok(Self { plan, options, handle })
    }

    /// A handle to the service, which works before, while and after it runs.
    #[must_use]
    pub fn handle(&self) -> ServiceHandle {
        self.handle.clone()
    }

    /// Who will look for whom, as far as that is known before anything loads.
    #[must_use]
    pub fn component_graph(&self) -> ComponentGraph {
        let components = self.plan.components.iter();
        let known = components.map(|(identity, _)| (identity.name.clone(), identity.dependencies.clone()));
        ComponentGraph { components: known.collect() }
    }

    /// Asks what components connect to whether it answers ([`Component::check_connection`](crate::Component)), all at the
    /// same time, and says what is wrong; empty when everything answers. Runs nothing but those components and what they
    /// depend on, logs nothing, and takes as long as the slowest of them. Must not be called from async code.
    #[must_use]
    pub fn check_connections(self) -> Problems {
        let Some((plan, checks)) = only_checks(self.plan) else { return Problems::new() };
        let service = Self { plan, options: self.options, handle: self.handle };
        let outcome = dispatcher::with_default(&Dispatch::none(), || service.run_logged());
        checks.problems(outcome.err().as_ref())
    }

    /// Runs the service on this thread until it is told to stop. Must not be called from async code.
    ///
    /// # Errors
    /// When it could not start. Whatever was loaded has been unloaded again.
    pub fn run(self) -> Result<StopReport, ServiceError> {
        let logging = self.handle.logging().clone();
        let dispatch = logging.dispatch();
        let outcome = dispatcher::with_default(&dispatch, || self.run_logged());
        if outcome.is_err() {
            logging.configure_fallback();
        }
        logging.shutdown(LOG_FLUSH_TIMEOUT);
        outcome
    }

    fn run_logged(self) -> Result<StopReport, ServiceError> {
        let Self { mut plan, options, handle } = self;
        let _ends_stopped = EndsStopped(handle.clone());
        for warning in &plan.warnings {
            events::config_questionable(warning);
        }
        for (path, place) in &plan.fallbacks {
            events::fallback_used(path, place.as_deref());
        }
        let engine =
            Engine::start(plan.task_processors(), &handle.logging().dispatch()).map_err(|error| {
                let kind = ServiceErrorKind::from(error);
                events::start_failed(None, &kind);
                ServiceError::from(kind)
            })?;
        let outcome = Self::drive(&engine, &mut plan, options, &handle);
        let still_ran = engine.shutdown(ENGINE_SHUTDOWN_TIMEOUT).into_iter().map(|processor| {
            let tasks: Vec<_> =
                processor.tasks.iter().map(|(name, count)| format!("{name} x{count}")).collect();
            format!("`{}` still ran {}", processor.task_processor, tasks.join(", "))
        });
        match outcome {
            Ok(mut unfinished) => {
                unfinished.extend(still_ran);
                Ok(StopReport { reason: handle.stop_reason().to_owned(), unfinished })
            }
            Err(error) => Err(error.with_unfinished(still_ran)),
        }
    }

    /// Everything between the start of the engine and its end; what did not finish.
    fn drive(
        engine: &Engine,
        plan: &mut Plan,
        options: ServiceOptions,
        handle: &ServiceHandle,
    ) -> Result<Vec<String>, ServiceError> {
        let default = plan.manager.default_task_processor.clone();
        let (components, prepared): (Vec<_>, Vec<_>) =
            std::mem::take(&mut plan.components).into_iter().unzip();
        let processors = engine.processors();
        let registry = Arc::new(Registry::new(Parts {
            components,
            declared: std::mem::take(&mut plan.declared),
            disabled: std::mem::take(&mut plan.disabled),
            default_processor: processors
                .get(&default)
                .cloned()
                .expect("the default task processor is declared: checked in `Plan::check`"),
            processors: processors.clone(),
            metrics: handle.metrics().clone(),
            logging: handle.logging().clone(),
            surroundings: options.surroundings,
            service: handle.clone(),
            component_stop_timeout: plan.manager.component_stop_timeout.get(),
        }));
        handle.attach(&registry);
        let _engine_metrics = handle.metrics().register(Arc::new(TaskProcessorsCollector::new(processors)));
        let _service_metrics =
            handle.metrics().register(Arc::new(crate::statistics::ServiceCollector::new(handle.clone())));
        let lifecycle = Lifecycle::new(registry, plan.manager.clone());
        engine.block_on(lifecycle.run(prepared))
    }
}

/// Whoever waits for the end of a service learns of it, whichever way it came.
struct EndsStopped(ServiceHandle);

impl Drop for EndsStopped {
    fn drop(&mut self) {
        self.0.enter(Phase::Stopped);
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("phase", &self.handle.phase()).finish_non_exhaustive()
    }
}
