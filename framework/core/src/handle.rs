//! A service as others see it: its phase, its health, and the ways to stop it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use mainspring_engine::catch_panic;
use mainspring_logging::Logging;
use mainspring_metrics::Registry as Metrics;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::dynamic::DynamicConfig;
use crate::erased::Loaded;
use crate::registry::{Registry, Slot, SlotState};
use crate::{Component, ComponentGraph, Health, events};

/// Where a service is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Phase {
    /// Components are loading.
    Starting,
    /// Everything is loaded and works.
    Running,
    /// It was told to stop and still works, so that load balancers can turn away.
    ShuttingDown,
    /// Components are stopping.
    Stopping,
    /// Nothing runs any more, or the start has failed.
    Stopped,
}

impl Phase {
    /// `starting`, `running`, `shutting_down`, `stopping` or `stopped`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::ShuttingDown => "shutting_down",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }
}

/// One component as probes and metrics see it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ComponentStatus {
    /// Its name.
    pub name: String,
    /// `loading`, `failed`, `loaded` or `stopped`.
    pub state: &'static str,
    /// What it says of itself; `None` unless it is loaded.
    pub health: Option<Health>,
    /// How long its load took; `None` until it is loaded.
    pub load_duration: Option<Duration>,
}

/// A running service, as a cheap handle; it outlives the service without keeping it alive.
#[derive(Debug, Clone)]
pub struct ServiceHandle {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    phase: watch::Sender<Phase>,
    stop: CancellationToken,
    stop_reason: OnceLock<String>,
    force: CancellationToken,
    /// How many requests there were.
    reload_requests: watch::Sender<u64>,
    started: Instant,
    started_at: SystemTime,
    been_ready: AtomicBool,
    stopping_since: OnceLock<Instant>,
    registry: OnceLock<WeakRegistry>,
    metrics: Metrics,
    logging: Logging,
    dynamic_config: DynamicConfig,
}

impl ServiceHandle {
    pub(crate) fn new(metrics: Metrics, logging: Logging, dynamic_config: DynamicConfig) -> Self {
        let inner = Inner {
            phase: watch::Sender::new(Phase::Starting),
            stop: CancellationToken::new(),
            stop_reason: OnceLock::new(),
            force: CancellationToken::new(),
            reload_requests: watch::Sender::new(0),
            started: Instant::now(),
            started_at: SystemTime::now(),
            been_ready: AtomicBool::new(false),
            stopping_since: OnceLock::new(),
            registry: OnceLock::new(),
            metrics,
            logging,
            dynamic_config,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Where the service is in its life.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.inner.phase.borrow()
    }

    /// Waits until the service has reached `phase` or one after it, and says which.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn reached(&self, phase: Phase) -> Phase {
        let mut phases = self.inner.phase.subscribe();
        // The sender lives in `self`, so the channel cannot close here.
        phases.wait_for(|now| *now >= phase).await.map_or(Phase::Stopped, |phase| *phase)
    }

    /// Tells the service to stop, as SIGTERM does; the first reason is the one that is reported.
    pub fn stop(&self, reason: impl Into<String>) {
        let _first_wins = self.inner.stop_reason.set(reason.into());
        self.inner.stop.cancel();
    }

    /// Makes a stop that is under way give up waiting: each step that is not done within a second is cut short.
    pub fn force_stop(&self) {
        self.stop("forced");
        self.inner.force.cancel();
    }

    /// Asks every component that reads files while it runs to read them again now, as SIGHUP does.
    pub fn request_reload(&self) {
        self.inner.reload_requests.send_modify(|n_requests| *n_requests += 1);
    }

    /// Tells of such requests, from here on.
    pub fn reload_requests(&self) -> ReloadRequests {
        ReloadRequests { n_requests: self.inner.reload_requests.subscribe() }
    }

    /// Whether it serves: running, and no component is [`Health::Fatal`].
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.phase() == Phase::Running && !self.has_fatal_component()
    }

    /// Whether it has been [`Phase::Running`] at any time; unlike the phase, this tells a stop of a service that was up
    /// from one that came before it was.
    #[must_use]
    pub fn has_been_ready(&self) -> bool {
        self.inner.been_ready.load(Ordering::Acquire)
    }

    /// Whether any loaded component is [`Health::Fatal`].
    #[must_use]
    pub fn has_fatal_component(&self) -> bool {
        self.components().iter().any(|status| status.health.as_ref().is_some_and(Health::is_fatal))
    }

    /// All components, sorted by name; empty before they begin to load and after they have stopped.
    #[must_use]
    pub fn components(&self) -> Vec<ComponentStatus> {
        self.registry().map(|registry| registry.slots.iter().map(status).collect()).unwrap_or_default()
    }

    /// Who has really looked for whom; empty before components begin to load and after they have stopped.
    #[must_use]
    pub fn component_graph(&self) -> ComponentGraph {
        self.registry().map_or_else(|| ComponentGraph { components: Vec::new() }, |registry| registry.found())
    }

    /// The loaded component called `name`, for tests and for code that is no component.
    #[must_use]
    pub fn component<T: Component>(&self, name: &str) -> Option<Arc<T>> {
        let registry = self.registry()?;
        let component = registry.slot(name)?.state.borrow().component().cloned()?;
        component.into_any().downcast().ok()
    }

    /// When it was created.
    #[must_use]
    pub fn started_at(&self) -> SystemTime {
        self.inner.started_at
    }

    /// How long ago it was created.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.inner.started.elapsed()
    }

    /// Its metrics.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Its loggers.
    #[must_use]
    pub fn logging(&self) -> &Logging {
        &self.inner.logging
    }

    /// Its dynamic configuration.
    #[must_use]
    pub fn dynamic_config(&self) -> &DynamicConfig {
        &self.inner.dynamic_config
    }

    /// How long its stop has taken so far; nothing before it stops.
    pub(crate) fn stopping_for(&self) -> Duration {
        self.inner.stopping_since.get().map_or(Duration::ZERO, Instant::elapsed)
    }

    pub(crate) fn enter(&self, phase: Phase) {
        match phase {
            Phase::Starting => {}
            Phase::Running => self.inner.been_ready.store(true, Ordering::Release),
            Phase::ShuttingDown | Phase::Stopping | Phase::Stopped => {
                self.inner.stopping_since.get_or_init(Instant::now);
            }
        }
        self.inner.phase.send_replace(phase);
    }

    pub(crate) fn attach(&self, registry: &Arc<Registry>) {
        let _once = self.inner.registry.set(WeakRegistry(Arc::downgrade(registry)));
    }

    pub(crate) fn stop_requested(&self) -> &CancellationToken {
        &self.inner.stop
    }

    pub(crate) fn force_requested(&self) -> &CancellationToken {
        &self.inner.force
    }

    pub(crate) fn stop_reason(&self) -> &str {
        self.inner.stop_reason.get().map_or("none", String::as_str)
    }

    fn registry(&self) -> Option<Arc<Registry>> {
        self.inner.registry.get()?.0.upgrade()
    }
}

/// Requests to read files again, see [`ServiceHandle::request_reload`].
#[derive(Debug)]
#[must_use = "it tells nothing unless it is asked"]
pub struct ReloadRequests {
    n_requests: watch::Receiver<u64>,
}

impl ReloadRequests {
    /// Waits for the next request; several that came since the last call are one. Waits for ever once the service is gone.
    ///
    /// # Cancel safety
    /// May be dropped at any time; the request is told by the next call.
    pub async fn next(&mut self) {
        if self.n_requests.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

struct WeakRegistry(Weak<Registry>);

impl std::fmt::Debug for WeakRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WeakRegistry")
    }
}

fn status(slot: &Slot) -> ComponentStatus {
    let state = slot.state.borrow().clone();
    ComponentStatus {
        name: slot.name.to_string(),
        state: match state {
            SlotState::Loading => "loading",
            SlotState::Failed => "failed",
            SlotState::Loaded(_) => "loaded",
            SlotState::Stopped => "stopped",
        },
        health: state.component().map(|component| health(slot, &**component)),
        load_duration: *slot.load_duration.lock().unwrap_or_else(PoisonError::into_inner),
    }
}

/// What the component says of itself. A panic says enough; it is logged once until the component answers again.
fn health(slot: &Slot, component: &dyn Loaded) -> Health {
    let health = catch_panic(|| component.health());
    let panicked_before = slot.health_panicked.swap(health.is_err(), Ordering::Relaxed);
    health.unwrap_or_else(|panic| {
        if !panicked_before {
            slot.span.in_scope(|| events::health_panicked(&slot.name, &panic));
        }
        Health::fatal("health panicked")
    })
}
