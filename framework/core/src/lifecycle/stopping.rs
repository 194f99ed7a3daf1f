//! The stop: every step a task of its own under a deadline, and all steps together under one.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mainspring_engine::{Task, TaskError, TaskScope, catch_panic};
use tokio::time::{Instant, timeout};

use super::{LAST_GRACE, Lifecycle, STOPPING_HOOK};
use crate::graph::Direction;
use crate::registry::{Slot, SlotState};
use crate::{Phase, events};

/// What went wrong, one sentence each.
#[derive(Default)]
struct Report(Mutex<Vec<String>>);

impl Report {
    fn push(&self, sentence: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(sentence);
    }

    fn into_sentences(self) -> Vec<String> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lifecycle {
    pub(super) async fn stop(&self) -> Vec<String> {
        let service = &self.registry.service;
        let began = Instant::now();
        events::stop_requested(service.stop_reason());
        if service.phase() == Phase::Running {
            service.enter(Phase::ShuttingDown);
            let grace = tokio::time::sleep(self.config.graceful_shutdown_interval.into());
            let _elapsed = self.or_cut_short(grace).await;
        }
        let unfinished = self.stop_components().await;
        events::stopped(began.elapsed());
        unfinished
    }

    /// Stops what was loaded and ends the tasks of what was not, within `shutdown_timeout`.
    pub(super) async fn stop_components(&self) -> Vec<String> {
        self.registry.service.enter(Phase::Stopping);
        let report = Report::default();
        self.run_steps_in_time(&report).await;
        // What does not end now blocks its thread; the engine names it.
        let _ended = timeout(LAST_GRACE, self.steps.end()).await.is_ok();
        report.into_sentences()
    }

    async fn run_steps_in_time(&self, report: &Report) {
        let limit: Duration = self.config.shutdown_timeout.into();
        let mut steps = pin!(self.run_steps(report));
        if timeout(limit, &mut steps).await.is_err() {
            events::shutdown_timed_out(limit);
            report.push(format!("`shutdown_timeout` ended the stop after {limit:?}"));
            self.cut.cancel();
            steps.await;
        }
    }

    async fn run_steps(&self, report: &Report) {
        let graph = self.registry.graph().clone();
        let announced: Vec<_> = self.announced().iter().copied().collect();
        let hook = |idx: usize| self.call_stopping_hook(&self.registry.slots[idx], report);
        graph.walk(&announced, Direction::DependantsFirst, hook).await;
        let stopping_last = self.stopping_last();
        let (last, others): (Vec<_>, Vec<_>) =
            self.all().into_iter().partition(|idx| stopping_last.contains(idx));
        for components in [others, last] {
            let stop = |idx: usize| self.stop_one(&self.registry.slots[idx], report);
            graph.walk(&components, Direction::DependantsFirst, stop).await;
        }
    }

    /// The components that stop after all others: those that want to, and whose dependencies all do.
    fn stopping_last(&self) -> BTreeSet<usize> {
        let wants_to = |idx: &usize| {
            let component = self.registry.slots[*idx].state.borrow().component().cloned();
            component.is_some_and(|component| catch_panic(|| component.stops_last()).unwrap_or(false))
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

    async fn call_stopping_hook(&self, slot: &Slot, report: &Report) {
        let Some(component) = slot.state.borrow().component().cloned() else { return };
        let hook = || {
            let hook = async move { component.on_all_components_are_stopping().await };
            self.spawn_step(slot, STOPPING_HOOK, hook).cancel_on_drop()
        };
        self.step(slot, STOPPING_HOOK, hook, report).await;
    }

    /// Ends a component and the tasks that it spawned, and lets go of it whatever became of its stop.
    async fn stop_one(&self, slot: &Slot, report: &Report) {
        let _given_up_on = CancelOnDrop(&slot.tasks);
        let began = Instant::now();
        let component = slot.state.borrow().component().cloned();
        let was_loaded = component.is_some();
        let mut stopping = None;
        let stop = || {
            let stopping = component.map(|component| {
                let stop = async move { component.stop().await };
                stopping.insert(self.spawn_step(slot, "stop", stop))
            });
            async move {
                let stopped = match stopping {
                    Some(stopping) => stopping.await,
                    None => Ok(()),
                };
                slot.tasks.end().await;
                stopped
            }
        };
        let nothing_to_do = !was_loaded && self.cut.is_cancelled();
        let stopped = nothing_to_do || self.step(slot, "stop", stop, report).await;
        if !stopped {
            // Its tasks must not wait for its drop, nor its drop run where its stop lets go of it.
            slot.tasks.cancel();
            if let Some(stopping) = stopping {
                let_go(stopping).await;
            }
        }
        let dropped = self.release(slot, report).await;
        if was_loaded && stopped && dropped {
            events::component_stopped(&slot.name, began.elapsed());
        }
    }

    /// Moves a component out of its slot and drops it on a thread that may block.
    ///
    /// Otherwise a component that keeps its context would live for ever: the context keeps the registry, the registry
    /// its slots, and the slot the component.
    async fn release(&self, slot: &Slot, report: &Report) -> bool {
        let mut released = None;
        slot.state.send_if_modified(|state| {
            let is_over = matches!(state, SlotState::Failed | SlotState::Stopped);
            if !is_over {
                released = Some(std::mem::replace(state, SlotState::Stopped));
            }
            !is_over
        });
        let Some(SlotState::Loaded(component)) = released else { return true };
        let processor = &self.registry.default_processor;
        let name = format!("drop/{}", slot.name);
        let dropped =
            slot.span.in_scope(|| self.steps.spawn_blocking_on(processor, name, move || drop(component)));
        if self.cut.is_cancelled() {
            // That it was not stopped has been said; it is dropped all the same.
            return true;
        }
        self.step(slot, "drop", || dropped, report).await
    }

    /// Runs one step under its deadline, unless no time is left to begin it; whether all went well.
    async fn step<F>(&self, slot: &Slot, step: &str, work: impl FnOnce() -> F, report: &Report) -> bool
    where
        F: Future<Output = Result<(), TaskError>>,
    {
        if self.cut.is_cancelled() {
            report.push(format!("`{}` had no time left for `{step}`", slot.name));
            return false;
        }
        let limit: Duration = self.config.component_stop_timeout.into();
        let problem = match timeout(limit, self.or_cut_short(work())).await {
            Ok(Some(Ok(()))) => return true,
            // The engine has logged it.
            Ok(Some(Err(TaskError::Panicked { .. }))) => format!("`{}` panicked in `{step}`", slot.name),
            Ok(None | Some(Err(_))) | Err(_) => {
                events::step_not_finished(&slot.name, step, limit);
                format!("`{}` did not finish `{step}`", slot.name)
            }
        };
        report.push(problem);
        false
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
}

/// Cancels a step that was given up on, and gives it the time to reach its next suspension point.
async fn let_go(step: Task<()>) {
    if step.is_finished() {
        return;
    }
    step.cancel();
    // One that blocks its thread goes on; the engine names it.
    let _ended = timeout(LAST_GRACE, step).await.is_ok();
}

/// Tells the tasks of a scope to end when nobody waits for that any more.
struct CancelOnDrop<'a>(&'a TaskScope);

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
