//! The queue of those who wait for space in librdkafka's queue.
//!
//! First come, first served: a fair lock is the turnstile, and whoever holds it tries again each time that delivery
//! reports have freed space. Dropping a waiting future passes its turn on.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Mutex, Notify};

/// Lets senders of a full queue wait in order.
#[derive(Debug, Default)]
pub(crate) struct Space {
    turn: Mutex<()>,
    waiting: AtomicUsize,
    freed: Notify,
}

impl Space {
    /// Whether others wait, so that a newcomer has to line up behind them.
    pub(crate) fn is_contended(&self) -> bool {
        0 < self.waiting.load(Ordering::Relaxed)
    }

    /// Delivery reports were served, so there may be space.
    pub(crate) fn freed(&self) {
        // Kept for the next one if nobody waits right now: at worst a try in vain.
        self.freed.notify_one();
    }

    /// Calls `attempt`, in turn, until it returns something.
    pub(crate) async fn until<T>(&self, mut attempt: impl FnMut() -> Option<T>) -> T {
        let _waiting = Waiting::begin(self);
        let _turn = self.turn.lock().await;
        loop {
            if let Some(done) = attempt() {
                return done;
            }
            self.freed.notified().await;
        }
    }
}

/// Counts one waiter for as long as it lives.
struct Waiting<'s>(&'s Space);

impl<'s> Waiting<'s> {
    fn begin(space: &'s Space) -> Waiting<'s> {
        space.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(space)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
