//! Messages between the client and the callbacks that work at the same time: who may go next, and how far each partition
//! has come. Values only: nothing waits, locks or calls from here.
//!
//! | `mode` | a lane is | its batches |
//! |---|---|---|
//! | `partition` | a partition | one at a time, in order |
//! | `key` | a key of a partition | one at a time, in order; messages without a key: any number at a time |
//! | `unordered` | a partition | any number at a time |
//!
//! Partitions take turns, and so do the lanes of a partition: none waits for what another one has more of. A batch that
//! failed keeps its lane, and comes again as it was; the others go on. In a steady state nothing is allocated.

mod partition;
mod tracker;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use crate::consumer::lanes::partition::Partition;
#[cfg(test)]
pub(crate) use crate::consumer::lanes::tracker::Tracker;
pub(crate) use crate::consumer::lanes::tracker::{Mark, Reached};
use crate::consumer::ledger::{BatchEnd, Key};
use crate::consumer::message::Message;

/// A message that comes.
#[derive(Debug)]
pub(crate) struct Incoming<M> {
    pub(crate) message: M,
    /// Of its key, where keys count and it has one. Two keys with one hash keep their order to each other as well.
    pub(crate) key_hash: Option<u64>,
    /// Of key and payload.
    pub(crate) size: usize,
}

/// Messages of one lane, as they are handed to a callback and come again when that fails.
#[derive(Debug)]
pub(crate) struct LaneBatch<M> {
    pub(crate) messages: Vec<M>,
    pub(crate) key: Key,
    pub(crate) epoch: u64,
    partition: usize,
    lane: u32,
    numbers: Vec<u64>,
    size: usize,
    /// What it takes of the budget.
    bytes: usize,
}

/// A batch as a consumer has it.
pub(crate) type Lot = LaneBatch<Message>;

/// What bounds a batch, and what is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) batch_max: usize,
    /// Of keys and payloads; a first message is taken whatever its size.
    pub(crate) batch_bytes_max: usize,
    /// Messages between the first undone one of a partition and its newest.
    pub(crate) pending_max: usize,
    /// Bytes of all partitions together, shared out evenly.
    pub(crate) bytes_max: usize,
    /// What a message takes of them besides its key and payload.
    pub(crate) overhead: usize,
}

/// What the client should do so that limits are kept.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(crate) pause: Vec<Key>,
    pub(crate) resume: Vec<Key>,
}

/// How far a partition has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) key: Key,
    pub(crate) epoch: u64,
    pub(crate) reached: Reached,
    /// The first undone message, by its time.
    pub(crate) oldest: Option<Option<i64>>,
}

#[derive(Debug)]
pub(crate) struct Lanes<M> {
    pub(crate) limits: Limits,
    keeps_order: bool,
    partitions: Vec<Option<Partition<M>>>,
    index: BTreeMap<Arc<str>, BTreeMap<i32, usize>>,
    /// Partitions that have something ready.
    turns: VecDeque<usize>,
    /// Failed batches, by when they come again.
    failed: BTreeMap<(Instant, u64), Arc<LaneBatch<M>>>,
    n_failures: u64,
    /// Failed batches whose time has come.
    retries: VecDeque<Arc<LaneBatch<M>>>,
    /// The same, of partitions that hand out nothing for now.
    held_back: Vec<Arc<LaneBatch<M>>>,
    /// The batch taken last was one of those: then it is the others' turn.
    took_retry: bool,
    bytes: usize,
    /// How many partitions are ours.
    n_open: usize,
}

impl<M> Lanes<M> {
    /// With `keeps_order`, messages without a key hash keep the order of their partition.
    pub(crate) fn new(keeps_order: bool, limits: Limits) -> Lanes<M> {
        Lanes {
            limits,
            keeps_order,
            partitions: Vec::new(),
            index: BTreeMap::new(),
            turns: VecDeque::new(),
            failed: BTreeMap::new(),
            n_failures: 0,
            retries: VecDeque::new(),
            held_back: Vec::new(),
            took_retry: false,
            bytes: 0,
            n_open: 0,
        }
    }

    /// A partition is ours from now on.
    pub(crate) fn open(&mut self, key: Key, epoch: u64) {
        drop(self.remove(&key));
        let idx = self.partitions.iter().position(Option::is_none).unwrap_or(self.partitions.len());
        self.index.entry(Arc::clone(&key.0)).or_default().insert(key.1, idx);
        let partition = Partition::new(key, epoch, self.keeps_order);
        self.n_open += 1;
        match self.partitions.get_mut(idx) {
            Some(place) => *place = Some(partition),
            None => self.partitions.push(Some(partition)),
        }
    }

    /// A partition will not be ours much longer: nothing more of it is handed out. What waits is given back, to be dropped.
    pub(crate) fn close(&mut self, key: &Key) -> Vec<M> {
        let Some(idx) = self.find(&key.0, key.1) else { return Vec::new() };
        let Some(partition) = self.partitions[idx].as_mut() else { return Vec::new() };
        let bytes_before = partition.bytes;
        let waiting = partition.close();
        self.bytes -= bytes_before - partition.bytes;
        partition.has_turn = false;
        self.turns.retain(|turn| *turn != idx);
        let epoch = partition.epoch;
        let is_its = |batch: &Arc<LaneBatch<M>>| batch.epoch == epoch;
        let retried = self.failed.extract_if(.., |_, batch| is_its(batch)).map(|(_, batch)| batch);
        let mut given_up: Vec<_> = retried.collect();
        let (ours, others) = std::mem::take(&mut self.retries).into_iter().partition(is_its);
        self.retries = others;
        given_up.extend(ours);
        given_up.extend(self.held_back.extract_if(.., |batch| is_its(batch)));
        if let Some(partition) = self.partitions[idx].as_mut() {
            for batch in &given_up {
                partition.n_out -= 1;
                partition.bytes -= batch.bytes;
                self.bytes -= batch.bytes;
            }
        }
        waiting
    }

    /// A partition is not ours any more. What is with callbacks does not count any more.
    pub(crate) fn remove(&mut self, key: &Key) -> Vec<M> {
        let waiting = self.close(key);
        if let Some(of_topic) = self.index.get_mut(&key.0) {
            if let Some(idx) = of_topic.remove(&key.1)
                && let Some(partition) = self.partitions[idx].take()
            {
                self.bytes -= partition.bytes;
                self.n_open -= 1;
            }
            if of_topic.is_empty() {
                self.index.remove(&key.0);
            }
        }
        waiting
    }

    /// Where [`Lanes::push`] puts messages of this partition; `None` when nothing of it may be handed out.
    pub(crate) fn find_open(&self, topic: &str, partition: i32) -> Option<usize> {
        let idx = self.find(topic, partition)?;
        self.partitions[idx].as_ref().filter(|partition| !partition.is_closed).map(|_| idx)
    }

    fn find(&self, topic: &str, partition: i32) -> Option<usize> {
        self.index.get(topic)?.get(&partition).copied()
    }

    /// Adds a message to a partition found by [`Lanes::find_open`].
    pub(crate) fn push(&mut self, idx: usize, mark: Mark, incoming: Incoming<M>) {
        let Some(partition) = self.partitions[idx].as_mut() else { return };
        let bytes = incoming.size + self.limits.overhead;
        self.bytes += bytes;
        partition.push(mark, incoming, bytes);
        self.give_turn(idx);
    }

    fn give_turn(&mut self, idx: usize) {
        if let Some(partition) = self.partitions[idx].as_mut()
            && partition.is_ready()
            && !partition.is_held
            && !std::mem::replace(&mut partition.has_turn, true)
        {
            self.turns.push_back(idx);
        }
    }

    /// The next batch, if any, and how many of its first messages were done before it failed; `spare` is one that is done
    /// with, to be used again.
    pub(crate) fn take(
        &mut self,
        spare: &mut Option<Arc<LaneBatch<M>>>,
    ) -> Option<(Arc<LaneBatch<M>>, usize)> {
        let is_their_turn = !std::mem::replace(&mut self.took_retry, false) || self.turns.is_empty();
        if is_their_turn && let Some(again) = self.retries.pop_front() {
            self.took_retry = true;
            let skip = self.n_done(&again);
            return Some((again, skip));
        }
        let idx = self.turns.pop_front()?;
        let partition = self.partitions[idx].as_mut()?;
        partition.has_turn = false;
        let mut batch = spare.take().unwrap_or_else(|| Arc::new(LaneBatch::new(partition.key.clone())));
        if Arc::get_mut(&mut batch).is_none() {
            // Somebody still holds it.
            batch = Arc::new(LaneBatch::new(partition.key.clone()));
        }
        let filled = Arc::get_mut(&mut batch).expect("made or checked above");
        filled.clear();
        if !Arc::ptr_eq(&filled.key.0, &partition.key.0) || filled.key.1 != partition.key.1 {
            filled.key = partition.key.clone();
        }
        filled.epoch = partition.epoch;
        filled.partition = idx;
        let is_filled = partition.take(filled, self.limits);
        self.give_turn(idx);
        is_filled.then_some((batch, 0))
    }

    /// A callback is done with a batch; `true` when [`Lanes::flow`] has something to say about its partition, or when it was
    /// the last one out of a partition that is being taken back.
    pub(crate) fn finish(&mut self, batch: &LaneBatch<M>) -> bool {
        let share = self.share();
        let limits = self.limits;
        let Some(partition) = self.partition_of(batch) else { return false };
        partition.finish(batch);
        let is_news = partition.is_relieved(limits.pending_max, share) || partition.is_empty_at_last();
        self.bytes -= batch.bytes;
        self.give_turn(batch.partition);
        is_news
    }

    /// The first `n_done` messages of a batch count as done whatever becomes of its callback. `false` when its partition was
    /// taken back.
    pub(crate) fn done(&mut self, batch: &LaneBatch<M>, n_done: usize) -> bool {
        self.partition_of(batch).map(|partition| partition.done(&batch.numbers[..n_done])).is_some()
    }

    /// A callback failed: its batch comes again at `due`, unless its partition was taken back, or it was done before it failed.
    pub(crate) fn fail(&mut self, batch: Arc<LaneBatch<M>>, due: Instant) {
        let Some(partition) = self.partition_of(&batch) else { return };
        if partition.n_done(&batch) == batch.messages.len() {
            self.finish(&batch);
            return;
        }
        if partition.is_closed {
            partition.n_out -= 1;
            partition.bytes -= batch.bytes;
            self.bytes -= batch.bytes;
            return;
        }
        self.n_failures += 1;
        self.failed.insert((due, self.n_failures), batch);
    }

    fn partition_of(&mut self, batch: &LaneBatch<M>) -> Option<&mut Partition<M>> {
        let partition = self.partitions.get_mut(batch.partition)?.as_mut()?;
        (partition.epoch == batch.epoch).then_some(partition)
    }

    /// How many first messages of a batch are done.
    fn n_done(&mut self, batch: &LaneBatch<M>) -> usize {
        self.partition_of(batch).map_or(0, |partition| partition.n_done(batch))
    }

    /// How many messages of a batch come again if it fails.
    pub(crate) fn n_undone(&mut self, batch: &LaneBatch<M>) -> usize {
        batch.messages.len() - self.n_done(batch)
    }

    /// Hands out nothing of a partition until it is released.
    pub(crate) fn hold(&mut self, key: &Key) {
        let Some(idx) = self.find(&key.0, key.1) else { return };
        let Some(partition) = self.partitions[idx].as_mut() else { return };
        (partition.is_held, partition.has_turn) = (true, false);
        let epoch = partition.epoch;
        self.turns.retain(|turn| *turn != idx);
        let (held, others) =
            std::mem::take(&mut self.retries).into_iter().partition(|batch| batch.epoch == epoch);
        self.retries = others;
        self.held_back.extend(held);
    }

    /// Undoes [`Lanes::hold`].
    pub(crate) fn release(&mut self, key: &Key) {
        let Some(idx) = self.find(&key.0, key.1) else { return };
        let Some(partition) = self.partitions[idx].as_mut() else { return };
        partition.is_held = false;
        let epoch = partition.epoch;
        self.retries.extend(self.held_back.extract_if(.., |batch| batch.epoch == epoch));
        self.give_turn(idx);
    }

    /// Whether a partition is at a limit.
    pub(crate) fn is_paused(&self, key: &Key) -> bool {
        let found = self.find(&key.0, key.1).and_then(|idx| self.partitions[idx].as_ref());
        found.is_some_and(|partition| partition.is_paused)
    }

    /// When the next failed batch comes again.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.failed.first_key_value().map(|((due, _), _)| *due)
    }

    /// Failed batches whose time has come may be taken again.
    pub(crate) fn retry(&mut self, now: Instant) {
        while let Some(first) = self.failed.first_entry()
            && first.key().0 <= now
        {
            let batch = first.remove();
            let is_held = self.partition_of(&batch).is_some_and(|partition| partition.is_held);
            if is_held { self.held_back.push(batch) } else { self.retries.push_back(batch) }
        }
    }

    /// How many batches could be taken now.
    pub(crate) fn n_ready(&self) -> usize {
        let of_turns = self.turns.iter().filter_map(|idx| self.partitions[*idx].as_ref());
        self.retries.len() + of_turns.map(Partition::n_ready).sum::<usize>()
    }

    /// The partitions that are ours.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        self.partitions.iter().flatten().map(|partition| partition.key.clone())
    }

    /// How many messages wait for nothing but a callback.
    pub(crate) fn n_ready_messages(&self) -> usize {
        let of_turns = self.turns.iter().filter_map(|idx| self.partitions[*idx].as_ref());
        of_turns.map(|partition| partition.n_ready_messages).sum()
    }

    /// How many failed batches wait to come again.
    pub(crate) fn n_failed(&self) -> usize {
        self.failed.len()
    }

    /// Bytes of all messages that wait or are with callbacks.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether batches of such a partition, of those that are closed, are with callbacks.
    pub(crate) fn is_out(&self, is_meant: impl Fn(&Key) -> bool) -> bool {
        self.partitions.iter().flatten().any(|partition| 0 < partition.n_out && is_meant(&partition.key))
    }

    /// Partitions that have come further since the last call.
    pub(crate) fn drain_moved(&mut self, mut tell: impl FnMut(Moved)) {
        for partition in self.partitions.iter_mut().flatten() {
            if std::mem::take(&mut partition.has_moved)
                && let Some(reached) = partition.tracker.reached()
            {
                let oldest = partition.tracker.oldest();
                tell(Moved { key: partition.key.clone(), epoch: partition.epoch, reached, oldest });
            }
        }
    }

    /// Which partitions have come to their limits, and which are far enough below them again. A partition has its even
    /// share of the bytes, so that a slow one never takes what the others need.
    pub(crate) fn flow(&mut self) -> Flow {
        let (share, pending_max) = (self.share(), self.limits.pending_max);
        let mut flow = Flow::default();
        for partition in self.partitions.iter_mut().flatten() {
            if partition.is_at_limit(pending_max, share) {
                partition.is_paused = true;
                flow.pause.push(partition.key.clone());
            } else if partition.is_relieved(pending_max, share) {
                partition.is_paused = false;
                flow.resume.push(partition.key.clone());
            }
        }
        flow
    }

    fn share(&self) -> usize {
        self.limits.bytes_max / self.n_open.max(1)
    }
}

impl Lot {
    /// Where it ends.
    pub(crate) fn end(&self) -> BatchEnd {
        let last = self.messages.last();
        BatchEnd {
            topic: Arc::clone(&self.key.0),
            partition: self.key.1,
            messages: self.messages.len(),
            epoch: self.epoch,
            next: last.map_or(0, |last| last.offset() + 1),
            leader_epoch: last.and_then(Message::leader_epoch),
        }
    }
}

impl<M> LaneBatch<M> {
    fn new(key: Key) -> LaneBatch<M> {
        let (messages, numbers) = (Vec::new(), Vec::new());
        LaneBatch { messages, key, epoch: 0, partition: 0, lane: 0, numbers, size: 0, bytes: 0 }
    }

    /// Lets go of its messages, but not of their room.
    pub(crate) fn clear(&mut self) {
        self.messages.clear();
        self.numbers.clear();
        (self.size, self.bytes) = (0, 0);
    }
}

#[cfg(test)]
mod tests;
