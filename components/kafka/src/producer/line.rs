//! The line of records that wait for space in librdkafka's queue.
//!
//! The records stand in line, not the futures of their senders: when delivery reports have made room, the event loop hands
//! over as many as fit, in order of arrival. So records sent by one task keep their order whatever is polled first, and a
//! future that is kept without being polled holds up nobody. Dropping the future takes its record out of the line, which
//! bounds the line by the futures alive.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Holds `W`s in order of arrival.
#[derive(Debug)]
pub(crate) struct Line<W> {
    /// How many wait, to be seen without locking.
    len: AtomicUsize,
    waiting: Mutex<Waiting<W>>,
}

#[derive(Debug)]
struct Waiting<W> {
    /// With their numbers, which ascend.
    waiters: VecDeque<(Place, W)>,
    arrivals: u64,
}

/// A place in line; [`Line::leave`] gives it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(u64);

impl<W> Default for Line<W> {
    fn default() -> Self {
        let waiting = Waiting { waiters: VecDeque::new(), arrivals: 0 };
        Self { len: AtomicUsize::new(0), waiting: Mutex::new(waiting) }
    }
}

impl<W> Line<W> {
    /// Whether nobody waits; a newcomer has to line up otherwise.
    pub(crate) fn is_empty(&self) -> bool {
        self.len.load(Ordering::Relaxed) == 0
    }

    /// Takes the last place. Whoever joins calls [`Line::advance`] next: the space that was missing may be there by now, and
    /// then nobody else would look.
    pub(crate) fn join(&self, what: W) -> Place {
        let mut waiting = self.lock();
        let place = Place(waiting.arrivals);
        waiting.arrivals += 1;
        waiting.waiters.push_back((place, what));
        self.note(&waiting);
        place
    }

    /// Gives up a place; `None` when its turn has come already.
    pub(crate) fn leave(&self, place: Place) -> Option<W> {
        let mut waiting = self.lock();
        let idx = waiting.waiters.binary_search_by_key(&place, |(place, _)| *place).ok()?;
        let (_, what) = waiting.waiters.remove(idx)?;
        self.note(&waiting);
        Some(what)
    }

    /// Hands over, in order, until `attempt` finds no space and gives back what is left. One caller at a time.
    pub(crate) fn advance(&self, mut attempt: impl FnMut(W) -> Option<W>) {
        if self.is_empty() {
            return;
        }
        let mut waiting = self.lock();
        while let Some((place, what)) = waiting.waiters.pop_front() {
            if let Some(rest) = attempt(what) {
                waiting.waiters.push_front((place, rest));
                break;
            }
        }
        self.note(&waiting);
    }

    fn note(&self, waiting: &Waiting<W>) {
        self.len.store(waiting.waiters.len(), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<W>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
