//! The components of one running service: their states, the graph between them, and looking one up.

use std::any::{TypeId, type_name};
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mainspring_config::Surroundings;
use mainspring_engine::{TaskProcessor, TaskProcessors, TaskScope};
use mainspring_logging::Logging;
use mainspring_metrics::Registry as Metrics;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{Span, info_span};

use crate::erased::Loaded;
use crate::error::LoadErrorKind;
use crate::graph::Graph;
use crate::{Component, ComponentGraph, Dependencies, LoadError, ServiceHandle, events};

/// What all contexts of one service share.
pub(crate) struct Registry {
    pub(crate) slots: Vec<Slot>,
    pub(crate) graph: Mutex<Graph>,
    pub(crate) cancelled: CancellationToken,
    pub(crate) processors: TaskProcessors,
    pub(crate) default_processor: TaskProcessor,
    pub(crate) metrics: Metrics,
    pub(crate) logging: Logging,
    pub(crate) surroundings: Arc<dyn Surroundings + Send + Sync>,
    pub(crate) service: ServiceHandle,
    pub(crate) component_stop_timeout: Duration,
    index: HashMap<String, usize>,
    declared: BTreeSet<String>,
    disabled: BTreeSet<String>,
    /// Pairs of requester and requested that are waiting right now.
    waiting: Mutex<BTreeSet<(usize, usize)>>,
}

/// One component and all that belongs to it.
pub(crate) struct Slot {
    pub(crate) name: Arc<str>,
    pub(crate) span: Span,
    pub(crate) state: watch::Sender<SlotState>,
    /// The tasks it spawned through its context.
    pub(crate) tasks: TaskScope,
    pub(crate) load_duration: Mutex<Option<Duration>>,
    /// Its last [`Component::health`](crate::Component::health) panicked.
    pub(crate) health_panicked: AtomicBool,
    type_id: TypeId,
    type_name: &'static str,
    declared: Dependencies,
}

/// Where a component is in its life.
#[derive(Clone)]
pub(crate) enum SlotState {
    Loading,
    Failed,
    Loaded(Arc<dyn Loaded>),
    Stopped,
}

impl SlotState {
    pub(crate) fn component(&self) -> Option<&Arc<dyn Loaded>> {
        match self {
            Self::Loaded(component) => Some(component),
            Self::Loading | Self::Failed | Self::Stopped => None,
        }
    }
}

/// What is known of a component before it loads.
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) type_id: TypeId,
    pub(crate) type_name: &'static str,
    pub(crate) dependencies: Dependencies,
}

/// The parts of a registry that come from outside.
pub(crate) struct Parts {
    pub(crate) components: Vec<Identity>,
    pub(crate) declared: BTreeSet<String>,
    pub(crate) disabled: BTreeSet<String>,
    pub(crate) processors: TaskProcessors,
    pub(crate) default_processor: TaskProcessor,
    pub(crate) metrics: Metrics,
    pub(crate) logging: Logging,
    pub(crate) surroundings: Arc<dyn Surroundings + Send + Sync>,
    pub(crate) service: ServiceHandle,
    pub(crate) component_stop_timeout: Duration,
}

impl Registry {
    pub(crate) fn new(parts: Parts) -> Self {
        let names = parts.components.iter().map(|component| component.name.clone());
        let index = names.enumerate().map(|(idx, name)| (name, idx)).collect();
        Self {
            graph: Mutex::new(Graph::new(parts.components.len())),
            slots: parts.components.into_iter().map(Slot::new).collect(),
            cancelled: CancellationToken::new(),
            processors: parts.processors,
            default_processor: parts.default_processor,
            metrics: parts.metrics,
            logging: parts.logging,
            surroundings: parts.surroundings,
            service: parts.service,
            component_stop_timeout: parts.component_stop_timeout,
            index,
            declared: parts.declared,
            disabled: parts.disabled,
            waiting: Mutex::default(),
        }
    }

    /// The component called `name`, once it is loaded; records that `requester` depends on it.
    pub(crate) async fn find<T: Component>(&self, requester: usize, name: &str) -> Result<Arc<T>, LoadError> {
        if !matches!(*self.slots[requester].state.borrow(), SlotState::Loading) {
            return Err(LoadError::new(LoadErrorKind::NotLoading { name: name.to_owned() }));
        }
        let requested = self.index.get(name).copied().ok_or_else(|| self.not_registered(name))?;
        self.check_type::<T>(requested)?;
        let declared = &self.slots[requester].declared;
        if declared.is_complete && !declared.names.contains(name) {
            events::dependency_not_declared(&self.slots[requester].name, name);
        }
        let loaded = self.loaded(requester, requested).await?;
        Ok(loaded.into_any().downcast().expect("its type was checked before the wait"))
    }

    /// Waits until the component called `name` is loaded, whatever its type, if there is one; records that `requester`
    /// depends on it.
    pub(crate) async fn wait_for(&self, requester: usize, name: &str) -> Result<(), LoadError> {
        let Some(requested) = self.index.get(name).copied() else { return Ok(()) };
        if requested != requester {
            self.loaded(requester, requested).await?;
        }
        Ok(())
    }

    async fn loaded(&self, requester: usize, requested: usize) -> Result<Arc<dyn Loaded>, LoadError> {
        self.graph().add(requester, requested).map_err(|cycle| {
            let chain = cycle.into_iter().map(|idx| self.slots[idx].name.to_string()).collect();
            LoadError::new(LoadErrorKind::Cycle { chain })
        })?;
        let _waiting = Waiting::new(self, requester, requested);
        let mut state = self.slots[requested].state.subscribe();
        let loaded = tokio::select! {
            biased;
            // Not woken by a failure: the failed component itself is to be reported first, and then cancels all.
            state = state.wait_for(|state| matches!(state, SlotState::Loaded(_))) => {
                state.ok().and_then(|state| state.component().cloned())
            }
            () = self.cancelled.cancelled() => None,
        };
        loaded.ok_or_else(|| LoadError::new(LoadErrorKind::Cancelled))
    }

    /// The end of the load of all components, if something ends it early.
    pub(crate) async fn load_cancelled(&self) -> LoadError {
        self.cancelled.cancelled().await;
        LoadError::new(LoadErrorKind::Cancelled)
    }

    fn check_type<T: Component>(&self, requested: usize) -> Result<(), LoadError> {
        let slot = &self.slots[requested];
        let expected = TypeId::of::<T>();
        if slot.type_id == expected {
            return Ok(());
        }
        let of_type = self.slots.iter().filter(|slot| slot.type_id == expected);
        Err(LoadError::new(LoadErrorKind::WrongType {
            name: slot.name.to_string(),
            expected: type_name::<T>(),
            actual: slot.type_name,
            of_expected_type: of_type.map(|slot| slot.name.to_string()).collect(),
        }))
    }

    /// Whether a lookup of `name` can succeed.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.index.contains_key(name)
    }

    /// Whether the configuration has a section of that name.
    pub(crate) fn is_declared(&self, name: &str) -> bool {
        self.declared.contains(name)
    }

    pub(crate) fn slot(&self, name: &str) -> Option<&Slot> {
        self.index.get(name).map(|idx| &self.slots[*idx])
    }

    /// Who waits for `component`, outermost first, ending with the component itself.
    pub(crate) fn chain_to(&self, component: usize) -> Vec<String> {
        let waiting = self.waiting();
        let mut chain = vec![component];
        let mut last = component;
        while let Some((requester, _)) = waiting.iter().find(|(_, requested)| *requested == last) {
            chain.push(*requester);
            last = *requester;
        }
        chain.iter().rev().map(|idx| self.slots[*idx].name.to_string()).collect()
    }

    /// What `component` waits for right now.
    pub(crate) fn waits_for(&self, component: usize) -> Vec<String> {
        let waiting = self.waiting();
        let requested = waiting.iter().filter(|(requester, _)| *requester == component);
        requested.map(|(_, requested)| self.slots[*requested].name.to_string()).collect()
    }

    /// Who has looked for whom so far.
    pub(crate) fn found(&self) -> ComponentGraph {
        let graph = self.graph().clone();
        let name = |idx: usize| self.slots[idx].name.to_string();
        let found = |idx| (name(idx), Dependencies::of(graph.dependencies(idx).map(name)));
        ComponentGraph { components: (0..self.slots.len()).map(found).collect() }
    }

    pub(crate) fn graph(&self) -> MutexGuard<'_, Graph> {
        self.graph.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeSet<(usize, usize)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn not_registered(&self, name: &str) -> LoadError {
        LoadError::new(LoadErrorKind::NotRegistered {
            name: name.to_owned(),
            disabled: self.disabled.contains(name),
            registered: self.slots.iter().map(|slot| slot.name.to_string()).collect(),
        })
    }
}

impl Slot {
    fn new(component: Identity) -> Self {
        Self {
            span: info_span!("component", component = component.name),
            name: component.name.into(),
            state: watch::Sender::new(SlotState::Loading),
            tasks: TaskScope::new(),
            load_duration: Mutex::default(),
            health_panicked: AtomicBool::new(false),
            type_id: component.type_id,
            type_name: component.type_name,
            declared: component.dependencies,
        }
    }
}

/// Marks, while it lives, that one component waits for another.
struct Waiting<'a> {
    registry: &'a Registry,
    pair: (usize, usize),
}

impl<'a> Waiting<'a> {
    fn new(registry: &'a Registry, requester: usize, requested: usize) -> Self {
        let pair = (requester, requested);
        registry.waiting().insert(pair);
        Self { registry, pair }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.registry.waiting().remove(&self.pair);
    }
}
