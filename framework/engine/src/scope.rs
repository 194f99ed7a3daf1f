//! Tasks that end together.

use std::borrow::Cow;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{Task, TaskProcessor};

/// A set of tasks, on whatever task processors, that one owner ends.
///
/// Cheap to clone; clones share the set. Dropping it ends nothing.
#[derive(Debug, Clone, Default)]
pub struct TaskScope {
    tasks: TaskTracker,
    ending: CancellationToken,
}

impl TaskScope {
    /// A scope without tasks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `future` on `processor` as a task of this scope; otherwise as [`TaskProcessor::spawn`].
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
        processor.spawn_in(&self.tasks, task_name.into(), self.ending.clone(), future)
    }

    /// Runs `call`, which may block, as a task of this scope; otherwise as [`TaskProcessor::spawn_blocking`].
    ///
    /// Nothing can end a call from outside: [`TaskScope::end`] waits for it, and a long one should look at
    /// [`TaskScope::ending`] now and then. One that has not begun when the scope ends does not begin.
    pub fn spawn_blocking_on<F, T>(
        &self,
        processor: &TaskProcessor,
        task_name: impl Into<Cow<'static, str>>,
        call: F,
    ) -> Task<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        processor.spawn_blocking_in(&self.tasks, task_name.into(), self.ending.clone(), call)
    }

    /// Fires when the tasks have to end. Cancelling it ends none of them.
    #[must_use]
    pub fn ending(&self) -> CancellationToken {
        self.ending.child_token()
    }

    /// Tells all tasks to end, without waiting for them.
    pub fn cancel(&self) {
        self.ending.cancel();
    }

    /// Cancels all tasks and waits until they are gone, counted and all.
    ///
    /// # Cancel safety
    /// May be dropped at any time; the tasks stay cancelled.
    pub async fn end(&self) {
        self.ending.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
