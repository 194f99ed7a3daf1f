//! Teardown off the caller's thread: librdkafka's destroy calls wait for threads, messages and brokers.
//!
//! Guarantees that dropping a handle never blocks and never runs C teardown on a librdkafka thread, where it would
//! deadlock. Whoever wants to know when it is done awaits [`Destroyed`].

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

/// What has to happen when the last owner lets go; may block.
pub(crate) trait Teardown: Send + 'static {
    fn teardown(self);
}

/// Owns a `T` and gives it to a thread of its own when dropped.
///
/// Should the system have no thread left, the value is dropped without its teardown: C memory leaks, nobody blocks.
pub(crate) struct Reaped<T: Teardown>(Option<T>);

impl<T: Teardown> Reaped<T> {
    pub(crate) fn new(value: T) -> Reaped<T> {
        Reaped(Some(value))
    }
}

impl<T: Teardown> Deref for Reaped<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("the value is taken in drop only")
    }
}

impl<T: Teardown> Drop for Reaped<T> {
    fn drop(&mut self) {
        let Some(value) = self.0.take() else { return };
        let reaper = thread::Builder::new().name("kafka-reaper".to_owned()).spawn(move || value.teardown());
        // Without a thread there is nothing better to do than the leak documented above.
        drop(reaper);
    }
}

/// Completes when a client is gone: its threads joined, its connections closed, its memory freed.
///
/// A client goes when nobody holds a part of it any more, so this waits for messages and topic handles still out.
/// Dropping it changes nothing about the teardown itself.
#[must_use = "teardown goes on by itself; await this to know when it is done"]
pub struct Destroyed(Arc<Latch>);

impl Destroyed {
    /// Waits on this thread; `false` when `timeout` passed first. Not for async code: await it there instead.
    pub fn wait(&self, timeout: Duration) -> bool {
        let state = self.0.lock();
        let waited = self.0.opened.wait_timeout_while(state, timeout, |state| !state.open);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.open
    }
}

impl Future for Destroyed {
    type Output = ();

    /// # Cancel safety
    /// Safe to drop and to poll again.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.open {
            return Poll::Ready(());
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl fmt::Debug for Destroyed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Destroyed").field("done", &self.0.lock().open).finish()
    }
}

/// Opens once, when the guard made with it is dropped.
#[derive(Default)]
pub(crate) struct Latch {
    state: Mutex<LatchState>,
    opened: Condvar,
}

#[derive(Default)]
struct LatchState {
    open: bool,
    waker: Option<Waker>,
}

impl Latch {
    fn lock(&self) -> MutexGuard<'_, LatchState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens its latch when dropped, so also when teardown could not run.
#[derive(Default)]
pub(crate) struct OpenOnDrop(Arc<Latch>);

impl OpenOnDrop {
    pub(crate) fn destroyed(&self) -> Destroyed {
        Destroyed(Arc::clone(&self.0))
    }
}

impl Drop for OpenOnDrop {
    fn drop(&mut self) {
        let waker = {
            let mut state = self.0.lock();
            state.open = true;
            state.waker.take()
        };
        self.0.opened.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
