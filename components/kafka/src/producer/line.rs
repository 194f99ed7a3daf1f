//! The line of those who wait for space in librdkafka's queue.
//!
//! Served in order of arrival: freed space is told to the first in line, who tells the next one once it has taken its
//! share. Nobody holds anything while waiting, so a future that is kept without being polled costs its own place only.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Lets senders of a full queue wait in order.
#[derive(Debug, Default)]
pub(crate) struct Space {
    waiting: AtomicUsize,
    freed: Notify,
}

impl Space {
    /// Whether others wait, so that a newcomer has to line up behind them.
    pub(crate) fn is_contended(&self) -> bool {
        0 < self.waiting.load(Ordering::Relaxed)
    }

    /// Delivery reports were served, so there may be space; more reports are to come.
    pub(crate) fn freed(&self) {
        // Kept for the next one if nobody waits right now: at worst a try in vain.
        self.freed.notify_one();
    }

    /// Nothing is in flight any more. No report will follow, so everybody is told.
    pub(crate) fn emptied(&self) {
        self.freed.notify_waiters();
    }

    /// Calls `attempt`, in turn, until it returns something. Whoever arrives while the queue `is_empty` need not wait.
    pub(crate) async fn until<T>(
        &self,
        is_empty: impl Fn() -> bool,
        mut attempt: impl FnMut() -> Option<T>,
    ) -> T {
        let waiting = Waiting::begin(self);
        let mut is_our_turn = waiting.is_first;
        loop {
            // In line before looking, so that nothing is freed unnoticed in between.
            let mut freed = pin!(self.freed.notified());
            let _told_already = freed.as_mut().enable();
            if (is_our_turn || is_empty())
                && let Some(done) = attempt()
            {
                self.freed();
                return done;
            }
            freed.await;
            is_our_turn = true;
        }
    }
}

/// Counts one waiter for as long as it lives.
struct Waiting<'s> {
    space: &'s Space,
    is_first: bool,
}

impl<'s> Waiting<'s> {
    fn begin(space: &'s Space) -> Waiting<'s> {
        Waiting { space, is_first: space.waiting.fetch_add(1, Ordering::Relaxed) == 0 }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.space.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
