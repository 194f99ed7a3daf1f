//! The handle of one spawned task.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::task::{JoinError, JoinHandle};

use crate::panics;

/// Why a task has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// The task panicked, be it while it was cancelled; the panic has been logged and counted where it happened.
    #[error("task panicked: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// The task was cancelled, by [`Task::cancel`] or because its task processor shut down.
    #[error("task was cancelled")]
    Cancelled,
}

/// A running task; awaiting it gives its result.
///
/// Dropping the handle does not stop the task: it stays named and counted, and its task processor joins it.
///
/// # Cancel safety
/// Awaiting by reference (`&mut task`) may be given up and taken up again without losing the result.
#[derive(Debug)]
#[must_use = "await the task, or say `drop` to leave it to its task processor"]
pub struct Task<T> {
    pub(crate) join: JoinHandle<Result<T, TaskError>>,
}

impl<T> Task<T> {
    /// Asks the task to end at its next suspension point; a blocking call that has begun runs on.
    pub fn cancel(&self) {
        self.join.abort();
    }

    /// The same task, cancelled when nobody waits for it any more.
    pub fn cancel_on_drop(self) -> CancelOnDrop<T> {
        CancelOnDrop(self)
    }

    /// Whether the task has ended, for whatever reason.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.join.is_finished()
    }
}

/// A task that is cancelled, as by [`Task::cancel`], when this is dropped; awaiting it gives its result.
///
/// # Cancel safety
/// Dropping it is what cancels the task.
#[derive(Debug)]
#[must_use = "the task is cancelled when this is dropped"]
pub struct CancelOnDrop<T>(Task<T>);

impl<T> Future for CancelOnDrop<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<T> Drop for CancelOnDrop<T> {
    fn drop(&mut self) {
        // Without effect on a task that has ended.
        self.0.cancel();
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let joined = ready!(Pin::new(&mut self.join).poll(cx));
        Poll::Ready(joined.unwrap_or_else(|error| Err(unsupervised(error))))
    }
}

/// Why the runtime gave up a task: cancelled, or with the panic of its `Drop` that the supervisor has reported.
fn unsupervised(error: JoinError) -> TaskError {
    match error.try_into_panic() {
        Ok(payload) => TaskError::Panicked { message: panics::message(payload.as_ref()) },
        Err(_cancelled) => TaskError::Cancelled,
    }
}
