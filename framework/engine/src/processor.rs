//! The handle through which everything is spawned, and the supervision of what was.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span, error};

use crate::stats::{TaskCounts, TaskStats};
use crate::{Task, TaskError, TaskProcessorSpec, panics};

/// A named runtime, as a cheap handle.
///
/// ```
/// # use mainspring_engine::{Engine, TaskProcessorSpec};
/// let engine = Engine::start([TaskProcessorSpec::new("main-task-processor", 1)], &tracing::Dispatch::none())?;
/// let main = engine.processors().get("main-task-processor").cloned().expect("it was declared");
/// let task = main.spawn("sum", async { 1 + 1 });
/// assert_eq!(engine.block_on("main-task-processor", task), Some(Ok(2)));
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
    live: Mutex<BTreeMap<(Ending, Cow<'static, str>), usize>>,
}

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
    /// A panic is caught, logged once with its location and counted; the handle then yields
    /// [`TaskError::Panicked`].
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
        let supervised = self.begin(Ending::Blocking, task_name.into());
        let span = Span::current();
        let call = move || {
            supervised.started();
            let outcome = span.in_scope(|| std::panic::catch_unwind(AssertUnwindSafe(|| Ok(call()))));
            supervised.ended(outcome)
        };
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
        let live = self.inner.live.lock().unwrap_or_else(PoisonError::into_inner);
        let chosen = live.iter().filter(|((of, _), _)| *of == ending);
        chosen.map(|((_, name), count)| (name.to_string(), *count)).collect()
    }

    /// Runs `future` until `ending` fires. `tasks` lets go of it only after it is counted.
    pub(crate) fn spawn_in<F>(
        &self,
        tasks: &TaskTracker,
        task_name: Cow<'static, str>,
        ending: CancellationToken,
        future: F,
    ) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let until = async move { ending.run_until_cancelled_owned(future).await.ok_or(TaskError::Cancelled) };
        let supervised = self.supervise(task_name, until);
        Task { join: self.inner.handle.spawn(tasks.track_future(supervised)) }
    }

    fn supervise<F, T>(
        &self,
        task_name: Cow<'static, str>,
        future: F,
    ) -> impl Future<Output = Result<T, TaskError>> + Send + 'static + use<F, T>
    where
        F: Future<Output = Result<T, TaskError>> + Send + 'static,
        T: Send + 'static,
    {
        let supervised = self.begin(Ending::Cancellable, task_name);
        let future = async move {
            supervised.started();
            let outcome = AssertUnwindSafe(future).catch_unwind().await;
            supervised.ended(outcome)
        };
        future.instrument(Span::current())
    }

    fn begin(&self, ending: Ending, task_name: Cow<'static, str>) -> Supervised {
        self.inner.stats.created.inc();
        let key = (ending, task_name);
        let mut live = self.inner.live.lock().unwrap_or_else(PoisonError::into_inner);
        *live.entry(key.clone()).or_default() += 1;
        drop(live);
        Supervised { processor: self.clone(), key, spawned: Instant::now(), ended: false }
    }
}

/// Follows one task from spawning to its end, whichever way it ends.
struct Supervised {
    processor: TaskProcessor,
    key: (Ending, Cow<'static, str>),
    spawned: Instant,
    ended: bool,
}

impl Supervised {
    fn started(&self) {
        self.processor.stats().queue_wait.observe(self.spawned.elapsed().as_secs_f64());
    }

    fn ended<T>(mut self, outcome: std::thread::Result<Result<T, TaskError>>) -> Result<T, TaskError> {
        let stats = self.processor.stats();
        match outcome {
            Ok(Ok(value)) => {
                self.ended = true;
                stats.finished.inc();
                Ok(value)
            }
            Ok(Err(cancelled)) => Err(cancelled),
            Err(payload) => {
                self.ended = true;
                stats.panicked.inc();
                let (message, location) = panics::take(payload.as_ref());
                error!(
                    task = %self.key.1,
                    task_processor = self.processor.name(),
                    location,
                    panic = message,
                    "Task panicked"
                );
                Err(TaskError::Panicked { message })
            }
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        if !self.ended {
            self.processor.stats().cancelled.inc();
        }
        let mut live = self.processor.inner.live.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = live.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                live.remove(&self.key);
            }
        }
    }
}
