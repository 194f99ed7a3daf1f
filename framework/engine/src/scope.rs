//! Tasks that end together.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;
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
    members: Members,
}

/// The tasks of a scope that can be cancelled. A task that waited for the end by itself would look for it, under a lock shared by
/// all, whenever it is polled.
#[derive(Debug, Clone, Default)]
pub(crate) struct Members(Arc<Mutex<MemberList>>);

#[derive(Debug, Default)]
struct MemberList {
    ended: bool,
    next: u64,
    /// `None` between the choice of a number and the spawning.
    handles: BTreeMap<u64, Option<AbortHandle>>,
}

/// A task's membership, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Member {
    members: Members,
    number: u64,
}

impl Members {
    /// Makes room for a task that is about to be spawned; `None` when the scope has ended.
    pub(crate) fn enter(&self) -> Option<Member> {
        let mut list = self.list();
        if list.ended {
            return None;
        }
        let number = list.next;
        list.next += 1;
        list.handles.insert(number, None);
        Some(Member { members: self.clone(), number })
    }

    /// Takes note of how a task is cancelled, or cancels it when the scope has ended meanwhile.
    pub(crate) fn spawned(&self, number: u64, handle: AbortHandle) {
        let mut list = self.list();
        if list.ended {
            drop(list);
            handle.abort();
        } else if let Some(place) = list.handles.get_mut(&number) {
            *place = Some(handle);
        }
    }

    fn end(&self) {
        let mut list = self.list();
        list.ended = true;
        let handles = std::mem::take(&mut list.handles);
        drop(list);
        handles.into_values().flatten().for_each(|handle| handle.abort());
    }

    fn list(&self) -> MutexGuard<'_, MemberList> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.members.list().handles.remove(&self.number);
    }
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
        processor.spawn_in(&self.tasks, &self.members, task_name.into(), future)
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
        self.members.end();
    }

    /// Cancels all tasks and waits until they are gone, counted and all.
    ///
    /// # Cancel safety
    /// May be dropped at any time; the tasks stay cancelled.
    pub async fn end(&self) {
        self.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
