//! The handle through which everything is spawned.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::instrument::Instrumented;
use tracing::{Instrument, Span};

use crate::scope::{Member, Members};
use crate::stats::{TaskCounts, TaskStats};
use crate::supervised::{Supervised, TaskRecord};
use crate::{Task, TaskError, TaskProcessorSpec};

/// A named runtime, as a cheap handle.
///
/// ```
/// # use mainspring_engine::{Engine, TaskProcessorSpec};
/// let engine = Engine::start([TaskProcessorSpec::new("main-task-processor", 1)], &tracing::Dispatch::none())?;
/// let main = engine.processors().get("main-task-processor").cloned().expect("it was declared");
/// let task = main.spawn("sum", async { 1 + 1 });
/// assert_eq!(engine.block_on(task), Ok(2));
/// assert_eq!(engine.shutdown(std::time::Duration::from_secs(1)), []);
/// # Ok::<(), mainspring_engine::EngineError>(())
/// ```
#[derive(Debug, Clone)]
pub struct TaskProcessor {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    spec: TaskProcessorSpec,
    handle: Handle,
    stats: TaskStats,
    live: Mutex<LiveTasks>,
}

/// How many there are of each name.
pub(crate) type LiveTasks = BTreeMap<(Ending, Cow<'static, str>), usize>;

/// How a task can be made to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ending {
    /// At its next suspension point.
    Cancellable,
    /// Only by itself: it blocks a thread.
    Blocking,
}

impl TaskProcessor {
    pub(crate) fn new(spec: TaskProcessorSpec, handle: Handle) -> Self {
        Self { inner: Arc::new(Inner { spec, handle, stats: TaskStats::default(), live: Mutex::default() }) }
    }

    /// The name it was declared under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.spec.name
    }

    /// Number of its worker threads.
    #[must_use]
    pub fn worker_threads(&self) -> usize {
        self.inner.spec.worker_threads
    }

    /// Runs `future` here under `task_name`, in the caller's current tracing span.
    ///
    /// A panic, also one while the task is cancelled, is caught, logged once with its location and counted; the handle
    /// then yields [`TaskError::Panicked`].
    pub fn spawn<F>(&self, task_name: impl Into<Cow<'static, str>>, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let supervised = self.supervise(task_name.into(), future.map(Ok));
        Task { join: self.inner.handle.spawn(supervised) }
    }

    /// Runs `call`, which may block, on a thread kept for that; otherwise as [`TaskProcessor::spawn`].
    pub fn spawn_blocking<F, T>(&self, task_name: impl Into<Cow<'static, str>>, call: F) -> Task<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let call = self.supervise_call(task_name.into(), || Ok(call()));
        Task { join: self.inner.handle.spawn_blocking(call) }
    }

    /// How many tasks were created, finished, cancelled and panicked so far.
    #[must_use]
    pub fn counts(&self) -> TaskCounts {
        self.inner.stats.counts()
    }

    /// The runtime's own figures.
    pub(crate) fn runtime_metrics(&self) -> tokio::runtime::RuntimeMetrics {
        self.inner.handle.metrics()
    }

    pub(crate) fn stats(&self) -> &TaskStats {
        &self.inner.stats
    }

    /// Its live tasks by name, with how many there are of each.
    pub(crate) fn live(&self, ending: Ending) -> Vec<(String, usize)> {
        let live = self.live_tasks();
        let chosen = live.iter().filter(|((of, _), _)| *of == ending);
        chosen.map(|((_, name), count)| (name.to_string(), *count)).collect()
    }

    pub(crate) fn live_tasks(&self) -> MutexGuard<'_, LiveTasks> {
        self.inner.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `future` until `members` end. `tasks` lets go of it only after it is counted.
    pub(crate) fn spawn_in<F>(
        &self,
        tasks: &TaskTracker,
        members: &Members,
        task_name: Cow<'static, str>,
        future: F,
    ) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let member = members.enter();
        let number = member.as_ref().map(Member::number);
        let as_member = async move {
            let _for_as_long_as_it_runs = member.ok_or(TaskError::Cancelled)?;
            Ok(future.await)
        };
        let supervised = self.supervise(task_name, as_member);
        let join = self.inner.handle.spawn(tasks.track_future(supervised));
        if let Some(number) = number {
            members.spawned(number, join.abort_handle());
        }
        Task { join }
    }

    /// Runs `call` unless `ending` has fired before it begins. `tasks` lets go of it only after it is counted.
    pub(crate) fn spawn_blocking_in<F, T>(
        &self,
        tasks: &TaskTracker,
        task_name: Cow<'static, str>,
        ending: CancellationToken,
        call: F,
    ) -> Task<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let unless_ending =
            move || if ending.is_cancelled() { Err(TaskError::Cancelled) } else { Ok(call()) };
        let call = self.supervise_call(task_name, unless_ending);
        let token = tasks.token();
        let tracked = move || {
            let _tracked = token;
            call()
        };
        Task { join: self.inner.handle.spawn_blocking(tracked) }
    }

    fn supervise<F, T>(&self, task_name: Cow<'static, str>, future: F) -> Instrumented<Supervised<F>>
    where
        F: Future<Output = Result<T, TaskError>>,
    {
        let record = TaskRecord::begin(self, Ending::Cancellable, task_name);
        Supervised::new(record, future).instrument(Span::current())
    }

    fn supervise_call<F, T>(
        &self,
        task_name: Cow<'static, str>,
        call: F,
    ) -> impl FnOnce() -> Result<T, TaskError> + use<F, T>
    where
        F: FnOnce() -> Result<T, TaskError>,
    {
        let record = TaskRecord::begin(self, Ending::Blocking, task_name);
        let span = Span::current();
        move || {
            span.in_scope(|| {
                record.started();
                let outcome = record.run(call);
                record.ended(outcome)
            })
        }
    }
}
