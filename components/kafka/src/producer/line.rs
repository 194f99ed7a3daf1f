//! The line of records that wait for space in librdkafka's queue.
//!
//! The records stand in line, not the futures of their senders: when delivery reports have made room, the event loop hands
//! over as many as fit, in order of arrival. So records sent by one task keep their order whatever is polled first, and a
//! future that is kept without being polled holds up nobody. Dropping the future takes its record out of the line, which
//! bounds the line by the futures alive.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// What became of an attempt to hand something over.
#[derive(Debug)]
pub(crate) enum Attempt<W, A> {
    /// It left the line, with this answer for whoever waits.
    Done(A),
    /// There was no space; it stays where it was.
    Full(W),
}

/// Holds `W`s in order of arrival, and answers each with an `A`.
#[derive(Debug)]
pub(crate) struct Line<W, A> {
    /// How many wait, to be seen without locking.
    len: AtomicUsize,
    waiting: Mutex<Waiting<W, A>>,
}

#[derive(Debug)]
struct Waiting<W, A> {
    /// Their numbers ascend.
    waiters: VecDeque<Waiter<W, A>>,
    arrivals: u64,
}

#[derive(Debug)]
struct Waiter<W, A> {
    number: u64,
    what: W,
    answer: oneshot::Sender<A>,
}

/// A place in line; [`Line::leave`] gives it up.
#[derive(Debug)]
pub(crate) struct Place<A> {
    number: u64,
    pub(crate) answer: oneshot::Receiver<A>,
}

impl<W, A> Default for Line<W, A> {
    fn default() -> Self {
        let waiting = Waiting { waiters: VecDeque::new(), arrivals: 0 };
        Self { len: AtomicUsize::new(0), waiting: Mutex::new(waiting) }
    }
}

impl<W, A> Line<W, A> {
    /// Whether nobody waits; a newcomer has to line up otherwise.
    pub(crate) fn is_empty(&self) -> bool {
        self.len.load(Ordering::Relaxed) == 0
    }

    /// Takes the last place. Whoever joins calls [`Line::advance`] next: the space that was missing may be there by now, and
    /// then nobody else would look.
    pub(crate) fn join(&self, what: W) -> Place<A> {
        let (sender, answer) = oneshot::channel();
        let mut waiting = self.lock();
        let number = waiting.arrivals;
        waiting.arrivals += 1;
        waiting.waiters.push_back(Waiter { number, what, answer: sender });
        self.note(&waiting);
        Place { number, answer }
    }

    /// Gives up a place; `None` when its turn has come already, and the answer is there.
    pub(crate) fn leave(&self, place: &Place<A>) -> Option<W> {
        let mut waiting = self.lock();
        let idx = waiting.waiters.binary_search_by_key(&place.number, |waiter| waiter.number).ok()?;
        let waiter = waiting.waiters.remove(idx)?;
        self.note(&waiting);
        Some(waiter.what)
    }

    /// Hands over, in order, until `attempt` finds no space. One caller at a time.
    pub(crate) fn advance(&self, mut attempt: impl FnMut(W) -> Attempt<W, A>) {
        if self.is_empty() {
            return;
        }
        let mut waiting = self.lock();
        while let Some(Waiter { number, what, answer }) = waiting.waiters.pop_front() {
            match attempt(what) {
                // Whoever waited may have gone a moment ago.
                Attempt::Done(done) => drop(answer.send(done)),
                Attempt::Full(what) => {
                    waiting.waiters.push_front(Waiter { number, what, answer });
                    break;
                }
            }
        }
        self.note(&waiting);
    }

    fn note(&self, waiting: &Waiting<W, A>) {
        self.len.store(waiting.waiters.len(), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<W, A>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
