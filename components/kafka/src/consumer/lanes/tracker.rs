//! How far one partition has come when its messages are done with out of order.
//!
//! Only what has nothing undone before it may ever be committed. Messages count in the order in which they came, not by
//! their offsets: compaction and transactions leave gaps between those. One flag per message that came, from the first
//! undone one on, is all there is: it costs a push and a pop per message, and [`Tracker::n_open`] bounds it.

use std::collections::VecDeque;

/// What is known of a message when it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) offset: i64,
    /// Milliseconds since the Unix epoch, where it has a time.
    pub(crate) timestamp_ms: Option<i64>,
    pub(crate) leader_epoch: Option<i32>,
}

/// Up to where everything is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reached {
    /// The offset after the last message of the prefix.
    pub(crate) next: i64,
    pub(crate) leader_epoch: Option<i32>,
}

#[derive(Debug)]
struct Open {
    mark: Mark,
    is_done: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Tracker {
    open: VecDeque<Open>,
    /// How many messages are out of `open`: the number of its first one.
    first: u64,
    reached: Option<Reached>,
}

impl Tracker {
    /// A message came; returns its number, for [`Tracker::done`].
    pub(crate) fn came(&mut self, mark: Mark) -> u64 {
        self.open.push_back(Open { mark, is_done: false });
        self.first + self.open.len() as u64 - 1
    }

    /// A message is done with; saying it twice changes nothing. `true` when the prefix has grown.
    pub(crate) fn done(&mut self, number: u64) -> bool {
        let found = number.checked_sub(self.first).and_then(|idx| usize::try_from(idx).ok());
        let Some(open) = found.and_then(|idx| self.open.get_mut(idx)) else { return false };
        open.is_done = true;
        let mut has_grown = false;
        while let Some(Open { mark, .. }) = self.open.pop_front_if(|first| first.is_done) {
            self.first += 1;
            self.reached = Some(Reached { next: mark.offset + 1, leader_epoch: mark.leader_epoch });
            has_grown = true;
        }
        has_grown
    }

    pub(crate) fn is_done(&self, number: u64) -> bool {
        let Some(idx) = number.checked_sub(self.first) else { return true };
        let open = usize::try_from(idx).ok().and_then(|idx| self.open.get(idx));
        open.is_some_and(|open| open.is_done)
    }

    /// Up to where everything is done; `None` before the first message is.
    pub(crate) fn reached(&self) -> Option<Reached> {
        self.reached
    }

    /// How many messages lie between the prefix and the newest one.
    pub(crate) fn n_open(&self) -> usize {
        self.open.len()
    }

    /// The first undone message, by its time; `None` when everything is done.
    pub(crate) fn oldest(&self) -> Option<Option<i64>> {
        self.open.front().map(|open| open.mark.timestamp_ms)
    }
}
