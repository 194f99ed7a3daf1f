//! Loading all components, keeping them until a stop, and stopping them: the story of one service.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use mainspring_engine::{Task, TaskError, TaskScope};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use crate::erased::{Loaded, Prepared};
use crate::error::LoadErrorKind;
use crate::graph::Direction;
use crate::registry::{Registry, Slot, SlotState};
use crate::{ComponentContext, LoadError, ManagerConfig, Phase, ServiceError, events};

/// Drives one service from its first load to its last stop.
pub(crate) struct Lifecycle {
    pub(crate) registry: Arc<Registry>,
    pub(crate) config: ManagerConfig,
    /// The steps of the stop.
    pub(crate) steps: TaskScope,
}

/// What a forced stop still gives each step, and a cancelled step to reach its next suspension point.
const LAST_GRACE: Duration = Duration::from_secs(1);

/// The hooks as reports and task names spell them.
const LOADED_HOOK: &str = "on_all_components_loaded";
const STOPPING_HOOK: &str = "on_all_components_are_stopping";

/// A component that failed, and why.
type Failure = (usize, LoadError);

impl Lifecycle {
    /// Loads everything, waits for the stop, stops everything; the steps of the stop that did not finish.
    pub(crate) async fn run(&self, prepared: Vec<Prepared>) -> Result<Vec<String>, ServiceError> {
        let service = &self.registry.service;
        let began = Instant::now();
        match self.start(prepared, began).await {
            Ok(true) => {
                events::ready(began.elapsed());
                service.enter(Phase::Running);
                service.stop_requested().cancelled().await;
            }
            Ok(false) => {}
            Err(error) => {
                self.unload().await;
                return Err(error);
            }
        }
        Ok(self.stop().await)
    }

    /// Whether the service is up; `false` when it was told to stop before it was.
    async fn start(&self, prepared: Vec<Prepared>, began: Instant) -> Result<bool, ServiceError> {
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
        if timeout(self.config.component_stop_timeout.into(), self.or_forced(hooks.end())).await.is_err() {
            events::hooks_not_finished(self.config.component_stop_timeout.into());
        }
        outcome
    }

    /// Runs one load as a task of its own.
    fn boot(&self, component: usize, prepared: Prepared) -> Task<Result<(), Failure>> {
        let registry = Arc::clone(&self.registry);
        let slot = &self.registry.slots[component];
        let load =
            async move { load(registry, component, prepared).await.map_err(|error| (component, error)) };
        slot.span.in_scope(|| self.registry.default_processor.spawn(format!("boot/{}", slot.name), load))
    }

    /// Waits for all loads, the first failure, the limit or a stop; names the slow ones meanwhile.
    async fn watch(
        &self,
        boots: &mut FuturesUnordered<Task<Result<(), Failure>>>,
        began: Instant,
    ) -> Result<bool, ServiceError> {
        let limit: Duration = self.config.load_timeout.into();
        let period: Duration = self.config.load_report_interval.into();
        let mut report = interval_at(began + period, period);
        report.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                boot = boots.next() => match boot {
                    None => return Ok(true),
                    Some(Ok(Ok(()))) => {}
                    Some(Ok(Err((component, error)))) => return Err(self.failure(component, &error)),
                    Some(Err(error)) => return Err(self.lost_boot(&error)),
                },
                () = self.registry.service.stop_requested().cancelled() => return Ok(false),
                () = tokio::time::sleep_until(began + limit) => {
                    return Err(ServiceError::LoadTimeout { waiting: self.still_loading(), limit });
                }
                _ = report.tick() => {
                    for (idx, slot) in self.registry.slots.iter().enumerate() {
                        if matches!(*slot.state.borrow(), SlotState::Loading) {
                            events::component_still_loading(
                                &slot.name, &self.registry.waits_for(idx), began.elapsed());
                        }
                    }
                }
            }
        }
    }

    fn still_loading(&self) -> Vec<String> {
        let slots = self.registry.slots.iter().enumerate();
        slots
            .filter(|(_, slot)| matches!(*slot.state.borrow(), SlotState::Loading))
            .map(|(idx, slot)| {
                let waits_for = self.registry.waits_for(idx);
                if waits_for.is_empty() {
                    format!("`{}` is still loading", slot.name)
                } else {
                    format!("`{}` still waits for {}", slot.name, crate::component::quoted_list(&waits_for))
                }
            })
            .collect()
    }

    fn failure(&self, component: usize, error: &LoadError) -> ServiceError {
        if let LoadErrorKind::Cycle { chain } = error.kind() {
            return ServiceError::Cycle { chain: chain.clone() };
        }
        let slot = &self.registry.slots[component];
        let reason = error.to_string();
        events::component_failed(&slot.name, &reason);
        ServiceError::Component {
            component: slot.name.to_string(),
            reason,
            chain: self.registry.chain_to(component),
        }
    }

    /// A boot task that ended without a result: it panicked, which [`load`] has marked in its slot.
    fn lost_boot(&self, error: &TaskError) -> ServiceError {
        let slots = self.registry.slots.iter().enumerate();
        let failed =
            slots.filter(|(_, slot)| matches!(*slot.state.borrow(), SlotState::Failed)).map(|(idx, _)| idx);
        let component = failed.min().unwrap_or_default();
        self.failure(component, &LoadError::message(error.to_string()))
    }

    /// Gives cancelled loads the time to unwind.
    async fn await_cancelled(&self, boots: &mut FuturesUnordered<Task<Result<(), Failure>>>) {
        let limit: Duration = self.config.component_stop_timeout.into();
        let all = async { while boots.next().await.is_some() {} };
        if timeout(limit, self.or_forced(all)).await.is_err() {
            for slot in
                self.registry.slots.iter().filter(|slot| matches!(*slot.state.borrow(), SlotState::Loading))
            {
                events::step_not_finished(&slot.name, "cancelled load", limit);
            }
        }
    }

    /// Runs the hooks as tasks of `hooks`, until all have returned or one has failed.
    async fn announce_loaded(&self, hooks: &TaskScope, began: Instant) -> Result<(), ServiceError> {
        let failed = CancellationToken::new();
        let failure = OnceLock::<Failure>::new();
        let announcing = Mutex::new(BTreeSet::new());
        let announcing = || announcing.lock().unwrap_or_else(PoisonError::into_inner);
        let visit = |idx: usize| {
            let slot = &self.registry.slots[idx];
            let (failed, failure, announcing) = (&failed, &failure, &announcing);
            async move {
                let component = slot.state.borrow().component().cloned();
                let Some(component) = component.filter(|_| !failed.is_cancelled()) else { return };
                announcing().insert(idx);
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
        let graph = self.registry.graph().clone();
        let limit: Duration = self.config.load_timeout.into();
        let all = self.all();
        tokio::select! {
            biased;
            () = graph.walk(&all, Direction::DependenciesFirst, visit) => {}
            () = failed.cancelled() => {}
            () = tokio::time::sleep_until(began + limit) => {
                let name = |idx: &usize| format!("`{}` is still in `{LOADED_HOOK}`", self.registry.slots[*idx].name);
                return Err(ServiceError::LoadTimeout { waiting: announcing().iter().map(name).collect(), limit });
            }
        }
        match failure.into_inner() {
            None => Ok(()),
            Some((component, error)) => {
                Err(self.failure(component, &LoadError::message(format!("{LOADED_HOOK}: {error}"))))
            }
        }
    }

    /// Stops what was loaded before the start failed, and ends the tasks of what was not.
    async fn unload(&self) {
        self.registry.service.enter(Phase::Stopping);
        self.in_reverse("stop", &self.all(), |slot, component| async move {
            if component.is_some() {
                events::component_unloading(&slot.name);
            }
            self.stop_one(slot, component).await
        })
        .await;
    }

    async fn stop(&self) -> Vec<String> {
        let service = &self.registry.service;
        let began = Instant::now();
        events::stop_requested(service.stop_reason());
        if service.phase() == Phase::Running {
            service.enter(Phase::ShuttingDown);
            let _elapsed =
                self.or_forced(tokio::time::sleep(self.config.graceful_shutdown_interval.into())).await;
        }
        service.enter(Phase::Stopping);
        let stopping_last = self.stopping_last();
        let mut unfinished = self
            .in_reverse(STOPPING_HOOK, &self.all(), |slot, component| async move {
                let Some(component) = component else { return Ok(()) };
                let hook = async move { component.on_all_components_are_stopping().await };
                self.spawn_step(slot, STOPPING_HOOK, hook).cancel_on_drop().await
            })
            .await;
        let (last, others): (Vec<_>, Vec<_>) =
            self.all().into_iter().partition(|idx| stopping_last.contains(idx));
        for components in [others, last] {
            let stop = |slot, component| self.stop_logged(slot, component);
            unfinished.extend(self.in_reverse("stop", &components, stop).await);
        }
        // What does not end now blocks its thread; the engine names it.
        let _ended = timeout(LAST_GRACE, self.steps.end()).await.is_ok();
        events::stopped(began.elapsed());
        unfinished
    }

    /// The components that stop after all others: those that want to, and whose dependencies all do.
    fn stopping_last(&self) -> BTreeSet<usize> {
        let wants_to = |idx: &usize| {
            let component = self.registry.slots[*idx].state.borrow().component().cloned();
            component.is_some_and(|component| component.stops_last())
        };
        let graph = self.registry.graph().clone();
        let mut last: BTreeSet<usize> = self.all().into_iter().filter(wants_to).collect();
        loop {
            let mut kept = last.clone();
            kept.retain(|idx| graph.dependencies(*idx).all(|dependency| last.contains(&dependency)));
            if kept.len() == last.len() {
                return last;
            }
            last = kept;
        }
    }

    /// Runs one step of a stop for the chosen components, loaded or not, dependants first, each under the deadline.
    /// What went wrong, one sentence each.
    async fn in_reverse<'a, F: Future<Output = Result<(), TaskError>>>(
        &'a self,
        step: &'static str,
        components: &[usize],
        visit: impl Fn(&'a Slot, Option<Arc<dyn Loaded>>) -> F,
    ) -> Vec<String> {
        let limit: Duration = self.config.component_stop_timeout.into();
        let unfinished = Mutex::new(Vec::new());
        let graph = self.registry.graph().clone();
        let bounded = |idx: usize| {
            let slot = &self.registry.slots[idx];
            let component = slot.state.borrow().component().cloned();
            let work = visit(slot, component);
            let unfinished = &unfinished;
            async move {
                let problem = match timeout(limit, self.or_forced(work)).await {
                    Ok(Some(Ok(()))) => return,
                    // The engine has logged it.
                    Ok(Some(Err(TaskError::Panicked { .. }))) => {
                        format!("`{}` panicked in `{step}`", slot.name)
                    }
                    Ok(None | Some(Err(_))) | Err(_) => {
                        events::step_not_finished(&slot.name, step, limit);
                        format!("`{}` did not finish `{step}`", slot.name)
                    }
                };
                unfinished.lock().unwrap_or_else(PoisonError::into_inner).push(problem);
            }
        };
        graph.walk(components, Direction::DependantsFirst, bounded).await;
        unfinished.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a component and the tasks that it spawned, and lets go of it. Given up on, it cancels the tasks still.
    async fn stop_one(&self, slot: &Slot, component: Option<Arc<dyn Loaded>>) -> Result<(), TaskError> {
        let _cancels_tasks = slot.tasks.ending().drop_guard();
        let Some(component) = component else {
            slot.tasks.end().await;
            return Ok(());
        };
        let stopped =
            self.spawn_step(slot, "stop", async move { component.stop().await }).cancel_on_drop().await;
        slot.tasks.end().await;
        slot.state.send_replace(SlotState::Stopped);
        stopped
    }

    async fn stop_logged(&self, slot: &Slot, component: Option<Arc<dyn Loaded>>) -> Result<(), TaskError> {
        let began = Instant::now();
        let loaded = component.is_some();
        self.stop_one(slot, component).await?;
        if loaded {
            events::component_stopped(&slot.name, began.elapsed());
        }
        Ok(())
    }

    /// Runs a step as a task, so that neither its panic nor a blocking call of it holds up the others.
    fn spawn_step(
        &self,
        slot: &Slot,
        step: &str,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Task<()> {
        let name = format!("{step}/{}", slot.name);
        slot.span.in_scope(|| self.steps.spawn_on(&self.registry.default_processor, name, work))
    }

    /// The output of `future`, or `None` when the stop is forced and it is not ready soon.
    async fn or_forced<F: Future>(&self, future: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            output = future => Some(output),
            () = async {
                self.registry.service.force_requested().cancelled().await;
                tokio::time::sleep(LAST_GRACE).await;
            } => None,
        }
    }

    fn all(&self) -> Vec<usize> {
        (0..self.registry.slots.len()).collect()
    }
}

/// One load, with its outcome written into the slot whatever happens.
async fn load(registry: Arc<Registry>, component: usize, prepared: Prepared) -> Result<(), LoadError> {
    let slot = &registry.slots[component];
    let mut outcome = Outcome { slot, state: SlotState::Failed };
    let began = Instant::now();
    let cx = ComponentContext::new(Arc::clone(&registry), component);
    let loaded = registry.cancelled.run_until_cancelled(prepared(cx)).await;
    match loaded {
        Some(Ok(component)) => {
            let took = began.elapsed();
            *slot.load_duration.lock().unwrap_or_else(PoisonError::into_inner) = Some(took);
            events::component_loaded(&slot.name, took);
            outcome.state = SlotState::Loaded(component);
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
struct Outcome<'a> {
    slot: &'a Slot,
    state: SlotState,
}

impl Drop for Outcome<'_> {
    fn drop(&mut self) {
        self.slot.state.send_replace(self.state.clone());
    }
}
