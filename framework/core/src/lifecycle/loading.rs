//! The start: loads and the hooks after them, each a task of its own.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use mainspring_engine::TaskScope;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use super::{LOADED_HOOK, Lifecycle};
use crate::component::quoted_list;
use crate::erased::Prepared;
use crate::error::LoadErrorKind;
use crate::graph::Direction;
use crate::registry::{Registry, Slot, SlotState};
use crate::{ComponentContext, LoadError, ServiceErrorKind, events};

/// How a component's load, or its hook, ended.
type Outcome = (usize, Result<(), LoadError>);

impl Lifecycle {
    /// Whether the service is up; `false` when it was told to stop before it was.
    pub(super) async fn start(
        &self,
        prepared: Vec<Prepared>,
        began: Instant,
    ) -> Result<bool, ServiceErrorKind> {
        events::loading(prepared.len());
        let mut boots: FuturesUnordered<_> =
            prepared.into_iter().enumerate().map(|(idx, prepared)| self.boot(idx, prepared)).collect();
        let outcome = self.watch(&mut boots, began).await;
        if !matches!(outcome, Ok(true)) {
            self.registry.cancelled.cancel();
            self.await_cancelled(&mut boots).await;
            return outcome;
        }
        let hooks = TaskScope::new();
        let outcome = tokio::select! {
            biased;
            result = self.announce_loaded(&hooks, began) => result.map(|()| true),
            () = self.registry.service.stop_requested().cancelled() => Ok(false),
        };
        // Hooks that a failure or a stop has overtaken end before anything is stopped.
        if timeout(self.config.component_stop_timeout.into(), self.or_cut_short(hooks.end())).await.is_err() {
            events::hooks_not_finished(self.config.component_stop_timeout.into());
        }
        outcome
    }

    /// Runs one load as a task of its own.
    fn boot(&self, component: usize, prepared: Prepared) -> impl Future<Output = Outcome> + use<> {
        let load = load(Arc::clone(&self.registry), component, prepared);
        let slot = &self.registry.slots[component];
        let boot =
            slot.span.in_scope(|| self.registry.default_processor.spawn(format!("boot/{}", slot.name), load));
        async move { (component, boot.await.map_err(LoadError::from).flatten()) }
    }

    /// Waits for all loads, the first failure, the limit or a stop; names the slow ones meanwhile.
    async fn watch(
        &self,
        boots: &mut FuturesUnordered<impl Future<Output = Outcome>>,
        began: Instant,
    ) -> Result<bool, ServiceErrorKind> {
        let limit: Duration = self.config.load_timeout.into();
        let all_loaded = async {
            while let Some((component, outcome)) = boots.next().await {
                outcome.map_err(|error| self.failure(component, &error))?;
            }
            Ok(true)
        };
        tokio::select! {
            biased;
            outcome = all_loaded => outcome,
            () = self.registry.service.stop_requested().cancelled() => Ok(false),
            () = tokio::time::sleep_until(began + limit) => {
                Err(ServiceErrorKind::LoadTimeout { waiting: self.still_loading(), limit })
            }
            never = self.at_intervals(began, || self.name_loading(began)) => match never {},
        }
    }

    /// Calls `report` every `load_report_interval`, for ever.
    async fn at_intervals(&self, began: Instant, report: impl Fn()) -> Infallible {
        let period: Duration = self.config.load_report_interval.into();
        let mut ticks = interval_at(began + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            report();
        }
    }

    fn loading(&self) -> impl Iterator<Item = (usize, &Slot)> {
        let slots = self.registry.slots.iter().enumerate();
        slots.filter(|(_, slot)| matches!(*slot.state.borrow(), SlotState::Loading))
    }

    fn name_loading(&self, began: Instant) {
        for (idx, slot) in self.loading() {
            events::component_still_loading(&slot.name, &self.registry.waits_for(idx), began.elapsed());
        }
    }

    fn still_loading(&self) -> Vec<String> {
        self.loading()
            .map(|(idx, slot)| {
                let waits_for = self.registry.waits_for(idx);
                if waits_for.is_empty() {
                    format!("`{}` is still loading", slot.name)
                } else {
                    format!("`{}` still waits for {}", slot.name, quoted_list(&waits_for))
                }
            })
            .collect()
    }

    fn failure(&self, component: usize, error: &LoadError) -> ServiceErrorKind {
        if let LoadErrorKind::Cycle { chain } = error.kind() {
            return ServiceErrorKind::Cycle { chain: chain.clone() };
        }
        ServiceErrorKind::Component {
            component: self.registry.slots[component].name.to_string(),
            reason: error.to_string(),
            chain: self.registry.chain_to(component),
        }
    }

    /// Gives cancelled loads the time to unwind.
    async fn await_cancelled(&self, boots: &mut FuturesUnordered<impl Future<Output = Outcome>>) {
        let limit: Duration = self.config.component_stop_timeout.into();
        let all = async { while boots.next().await.is_some() {} };
        if timeout(limit, self.or_cut_short(all)).await.is_err() {
            for (_, slot) in self.loading() {
                events::step_not_finished(&slot.name, "cancelled load", limit);
            }
        }
    }

    /// Runs the hooks as tasks of `hooks`, until all have returned or one has failed; names the slow ones meanwhile.
    async fn announce_loaded(&self, hooks: &TaskScope, began: Instant) -> Result<(), ServiceErrorKind> {
        let failed = CancellationToken::new();
        let failure = OnceLock::<(usize, LoadError)>::new();
        let announcing = Mutex::new(BTreeSet::new());
        let announcing = || announcing.lock().unwrap_or_else(PoisonError::into_inner);
        let visit = |idx: usize| {
            let slot = &self.registry.slots[idx];
            let (failed, failure, announcing) = (&failed, &failure, &announcing);
            async move {
                let component = slot.state.borrow().component().cloned();
                let Some(component) = component.filter(|_| !failed.is_cancelled()) else { return };
                announcing().insert(idx);
                self.announced().insert(idx);
                let hook = async move { component.on_all_components_loaded().await };
                let name = format!("{LOADED_HOOK}/{}", slot.name);
                let task =
                    slot.span.in_scope(|| hooks.spawn_on(&self.registry.default_processor, name, hook));
                let outcome = task.await.map_err(LoadError::from).flatten();
                announcing().remove(&idx);
                if let Err(error) = outcome {
                    // The first one is reported.
                    let _later = failure.set((idx, error)).is_err();
                    failed.cancel();
                }
            }
        };
        let name = |idx: &usize| &self.registry.slots[*idx].name;
        let name_slow = || {
            for idx in announcing().iter() {
                events::hook_still_running(name(idx), LOADED_HOOK, began.elapsed());
            }
        };
        let graph = self.registry.graph().clone();
        let limit: Duration = self.config.load_timeout.into();
        let all = self.all();
        tokio::select! {
            biased;
            () = graph.walk(&all, Direction::DependenciesFirst, visit) => {}
            () = failed.cancelled() => {}
            () = tokio::time::sleep_until(began + limit) => {
                let sentence = |idx| format!("`{}` is still in `{LOADED_HOOK}`", name(idx));
                return Err(ServiceErrorKind::LoadTimeout {
                    waiting: announcing().iter().map(sentence).collect(),
                    limit,
                });
            }
            never = self.at_intervals(began, name_slow) => match never {},
        }
        match failure.into_inner() {
            None => Ok(()),
            Some((component, error)) => {
                Err(self.failure(component, &LoadError::message(format!("{LOADED_HOOK}: {error}"))))
            }
        }
    }
}

/// One load, with its outcome written into the slot whatever happens.
async fn load(registry: Arc<Registry>, component: usize, prepared: Prepared) -> Result<(), LoadError> {
    let slot = &registry.slots[component];
    let mut publish = Publish { slot, state: SlotState::Failed };
    let began = Instant::now();
    let cx = ComponentContext::new(Arc::clone(&registry), component);
    let loaded = registry.cancelled.run_until_cancelled(prepared.load(cx)).await;
    match loaded {
        Some(Ok(component)) => {
            let took = began.elapsed();
            *slot.load_duration.lock().unwrap_or_else(PoisonError::into_inner) = Some(took);
            events::component_loaded(&slot.name, took);
            publish.state = SlotState::Loaded(component);
            Ok(())
        }
        Some(Err(error)) => Err(error),
        None => {
            events::component_load_cancelled(&slot.name);
            Err(LoadError::new(LoadErrorKind::Cancelled))
        }
    }
}

/// Publishes a slot's state when a load ends, be it by a panic.
struct Publish<'a> {
    slot: &'a Slot,
    state: SlotState,
}

impl Drop for Publish<'_> {
    fn drop(&mut self) {
        let mut outcome = std::mem::replace(&mut self.state, SlotState::Failed);
        self.slot.state.send_if_modified(|state| {
            // A slot that was stopped meanwhile takes no component in: nobody would ever let go of it. It is dropped
            // after this, when the slot is not locked any more.
            let is_awaited = matches!(state, SlotState::Loading);
            if is_awaited {
                std::mem::swap(state, &mut outcome);
            }
            is_awaited
        });
    }
}
