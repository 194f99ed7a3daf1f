//! The owner of the runtimes: starts every task processor and ends them in bounded time.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tracing::Dispatch;

use crate::processor::Ending;
use crate::{TaskProcessor, panics};

/// Linux cuts thread names to this many bytes.
const THREAD_NAME_BYTES_MAX: usize = 15;

/// Threads that one task processor may add for blocking calls, beside its workers.
const BLOCKING_THREADS_MAX: usize = 64;

/// What one task processor is built from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskProcessorSpec {
    /// Name that configurations and metrics use, such as `main-task-processor`.
    pub name: String,
    /// Number of worker threads, at least 1.
    pub worker_threads: usize,
    /// Name of its threads as the operating system shows it; at most 15 bytes survive, and no zero byte.
    pub thread_name: String,
}

impl TaskProcessorSpec {
    /// A processor whose threads are called after it: `consumer-task-processor` runs on `consumer-worker`.
    pub fn new(name: impl Into<String>, worker_threads: usize) -> Self {
        let name = name.into();
        let thread_name = default_thread_name(&name);
        Self { name, worker_threads, thread_name }
    }

    /// The same with another thread name.
    #[must_use]
    pub fn with_thread_name(mut self, thread_name: impl Into<String>) -> Self {
        self.thread_name = thread_name.into();
        self
    }
}

/// Why the engine could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The operating system refused the threads or descriptors of a runtime.
    #[error("cannot start task processor `{name}`")]
    Runtime {
        /// The task processor.
        name: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A task processor that still had work when its time was up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// The task processor.
    pub task_processor: String,
    /// Names of its live tasks, each with how many of them there were.
    pub tasks: Vec<(String, usize)>,
}

/// All runtimes of one service.
///
/// Dropping an engine inside async code would block a worker, so owners call [`Engine::shutdown`] from the
/// thread that started it.
#[derive(Debug)]
pub struct Engine {
    /// Has no threads and a clock of its own: task processors whose threads are all blocked cannot stop it.
    driver: Runtime,
    runtimes: Vec<(TaskProcessor, Runtime)>,
}

impl Engine {
    /// Starts one runtime for each spec; every thread of them logs to `dispatch`.
    ///
    /// # Errors
    /// [`EngineError::Runtime`] when the system refuses threads; those already started are ended again.
    pub fn start(
        specs: impl IntoIterator<Item = TaskProcessorSpec>,
        dispatch: &Dispatch,
    ) -> Result<Self, EngineError> {
        panics::install_hook();
        let driver = Builder::new_current_thread().enable_time().build();
        let driver = driver
            .map_err(|source| EngineError::Runtime { name: "the service itself".to_owned(), source })?;
        let mut engine = Self { driver, runtimes: Vec::new() };
        for spec in specs {
            let runtime = runtime(&spec, dispatch)
                .map_err(|source| EngineError::Runtime { name: spec.name.clone(), source })?;
            let processor = TaskProcessor::new(spec, runtime.handle().clone());
            engine.runtimes.push((processor, runtime));
        }
        Ok(engine)
    }

    /// Handles to all processors.
    #[must_use]
    pub fn processors(&self) -> TaskProcessors {
        TaskProcessors(self.runtimes.iter().map(|(processor, _)| processor.clone()).collect())
    }

    /// Runs `future` on the calling thread, with a clock that goes on whatever the task processors do.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.driver.block_on(future)
    }

    /// Cancels what still runs and joins the threads, all within `timeout`.
    ///
    /// Returns the processors that had live tasks at the call, and blocking calls still running at the end of
    /// `timeout`, by name.
    #[must_use]
    pub fn shutdown(self, timeout: Duration) -> Vec<Unfinished> {
        let deadline = Instant::now() + timeout;
        let cancelled: Vec<_> =
            self.runtimes.iter().map(|(processor, _)| processor.live(Ending::Cancellable)).collect();
        let join = |((processor, runtime), mut tasks): ((TaskProcessor, Runtime), Vec<_>)| {
            runtime.shutdown_timeout(deadline.saturating_duration_since(Instant::now()));
            tasks.extend(processor.live(Ending::Blocking));
            Unfinished { task_processor: processor.name().to_owned(), tasks }
        };
        let unfinished = self.runtimes.into_iter().zip(cancelled).map(join);
        unfinished.filter(|unfinished| !unfinished.tasks.is_empty()).collect()
    }
}

/// Handles to the task processors of one service, by name.
#[derive(Debug, Clone)]
pub struct TaskProcessors(Arc<[TaskProcessor]>);

impl TaskProcessors {
    /// The processor called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&TaskProcessor> {
        self.0.iter().find(|processor| processor.name() == name)
    }

    /// All of them, in the order of their declaration.
    pub fn iter(&self) -> impl Iterator<Item = &TaskProcessor> {
        self.0.iter()
    }
}

fn runtime(spec: &TaskProcessorSpec, dispatch: &Dispatch) -> io::Result<Runtime> {
    let dispatch = dispatch.clone();
    let build = || {
        Builder::new_multi_thread()
            .worker_threads(spec.worker_threads)
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .thread_name(truncated(&spec.thread_name))
            .on_thread_start(move || panics::enter_thread(&dispatch))
            .on_thread_stop(panics::leave_thread)
            .enable_all()
            .build()
    };
    // tokio panics when the system refuses a thread.
    let built = std::panic::catch_unwind(AssertUnwindSafe(build));
    built.unwrap_or_else(|payload| Err(io::Error::other(panics::message(&*payload))))
}

fn default_thread_name(processor: &str) -> String {
    let stem = processor.strip_suffix("-task-processor").unwrap_or(processor);
    let name = format!("{stem}-worker");
    if name.len() <= THREAD_NAME_BYTES_MAX { name } else { truncated(stem) }
}

fn truncated(name: &str) -> String {
    let mut kept = String::new();
    for character in name.chars().filter(|character| *character != '\0') {
        if kept.len() + character.len_utf8() > THREAD_NAME_BYTES_MAX {
            break;
        }
        kept.push(character);
    }
    kept
}
