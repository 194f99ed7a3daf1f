//! Which partitions are ours and how far each has come: values only, nothing is sent from here.
//!
//! Two numbers guard against acting on what is no longer true. A partition gets a new *epoch* when it is assigned and when
//! its batch fails; a commit is admitted only with the epoch its messages were handed out under. It gets a new *assignment*
//! only when it is assigned; answers to commits that were sent count for as long as that lasts.

use std::collections::BTreeMap;
use std::sync::Arc;

use mainspring_kafka_ffi::{OFFSET_BEGINNING, TopicPartition};

use crate::consumer::lanes::Moved;
use crate::consumer::message::Message;

/// Topic and partition.
pub(crate) type Key = (Arc<str>, i32);

/// Where a batch ends in one of its partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BatchEnd {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    /// How many messages of the batch are from here.
    pub(crate) messages: usize,
    /// Under which they were handed out.
    pub(crate) epoch: u64,
    /// The offset after the last of them.
    pub(crate) next: i64,
    pub(crate) leader_epoch: Option<i32>,
}

impl BatchEnd {
    /// Whether it is in this partition.
    pub(crate) fn is_of(&self, topic: &str, partition: i32) -> bool {
        self.partition == partition && *self.topic == *topic
    }

    /// The end of the part of the batch that goes up to this message of its partition.
    pub(crate) fn up_to(&self, message: &Message) -> BatchEnd {
        let next = message.offset() + 1;
        BatchEnd { next, leader_epoch: message.leader_epoch(), messages: 0, ..self.clone() }
    }
}

/// An offset that may be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) next: i64,
    pub(crate) leader_epoch: Option<i32>,
    pub(crate) assignment: u64,
}

/// What became of the ends that somebody wants committed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Admitted {
    pub(crate) commits: BTreeMap<Key, Commit>,
    /// Those of partitions taken back since.
    pub(crate) refused: Vec<Key>,
}

/// How far one partition has come, for metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    /// The offset after the last message that a callback is done with, or the one reading began at.
    pub(crate) position: Option<i64>,
    pub(crate) committed: Option<i64>,
    /// Messages of it are collected, with a callback, or waiting to come again.
    pub(crate) is_pending: bool,
    /// Timestamp of the oldest of those in milliseconds, where it has one.
    pub(crate) oldest_ms: Option<i64>,
}

/// Messages in a row from one partition, as they are taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    /// The first of them.
    pub(crate) offset: i64,
    /// Its timestamp in milliseconds, where it has one.
    pub(crate) timestamp_ms: Option<i64>,
    /// The offset after the last of them.
    pub(crate) next: i64,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    partitions: BTreeMap<Arc<str>, BTreeMap<i32, Partition>>,
    epochs: u64,
}

#[derive(Debug)]
struct Partition {
    assignment: u64,
    epoch: u64,
    /// The first message seen since the assignment: where reading began.
    began: Option<i64>,
    processed: Option<(i64, Option<i32>)>,
    committed: Option<i64>,
    /// The first message taken and not processed yet, by its timestamp.
    pending: Option<Option<i64>>,
    /// The offset of the next message to be taken, where that is known.
    next: Option<i64>,
}

impl Ledger {
    /// Takes on partitions; one that is ours already begins anew.
    pub(crate) fn assign(&mut self, partitions: &[TopicPartition]) {
        for TopicPartition { topic, partition, .. } in partitions {
            let fresh = Partition::fresh(self.next_epoch());
            self.partitions.entry(Arc::clone(topic)).or_default().insert(*partition, fresh);
        }
    }

    /// Reads a partition that is ours at another place; what was handed out of it can be committed no more.
    pub(crate) fn begin_anew(&mut self, (topic, partition): &Key) {
        let fresh = Partition::fresh(self.next_epoch());
        if let Some(partition) = self.get_mut(topic, *partition) {
            *partition = fresh;
        }
    }

    /// Messages that were taken are not going to be handed out: the first of them is the next one again.
    pub(crate) fn rewind(&mut self, (topic, partition): &Key, next: i64) {
        if let Some(partition) = self.get_mut(topic, *partition) {
            partition.next = Some(next);
        }
    }

    /// Everything was taken, up to this offset.
    pub(crate) fn reached_end(&mut self, topic: &str, partition: i32, end: i64) {
        if let Some(partition) = self.get_mut(topic, partition) {
            partition.next = partition.next.max(Some(end));
        }
    }

    /// The offset of the next message to be taken, where that is known.
    pub(crate) fn next_of(&self, (topic, partition): &Key) -> Option<i64> {
        self.get(topic, *partition)?.next
    }

    /// Where a partition of ours has come to.
    pub(crate) fn position(&self, topic: &str, partition: i32) -> Option<i64> {
        self.get(topic, partition)?.position()
    }

    /// Gives up partitions.
    pub(crate) fn revoke<'a>(&mut self, partitions: impl IntoIterator<Item = &'a TopicPartition>) {
        for TopicPartition { topic, partition, .. } in partitions {
            if let Some(of_topic) = self.partitions.get_mut(topic) {
                of_topic.remove(partition);
                if of_topic.is_empty() {
                    self.partitions.remove(topic);
                }
            }
        }
    }

    /// Gives up everything.
    pub(crate) fn clear(&mut self) {
        self.partitions.clear();
    }

    pub(crate) fn owns(&self, topic: &str, partition: i32) -> bool {
        self.get(topic, partition).is_some()
    }

    /// Notes some messages in a row; `false` when the partition is not ours.
    pub(crate) fn taken(&mut self, topic: &str, partition: i32, taken: Taken) -> bool {
        let Some(partition) = self.get_mut(topic, partition) else { return false };
        partition.began.get_or_insert(taken.offset);
        partition.pending.get_or_insert(taken.timestamp_ms);
        partition.next = Some(taken.next);
        true
    }

    /// The end of a batch in one partition; `None` when that is not ours.
    pub(crate) fn end(
        &self,
        topic: &str,
        partition: i32,
        next: i64,
        leader_epoch: Option<i32>,
    ) -> Option<BatchEnd> {
        let (topic, of_topic) = self.partitions.get_key_value(topic)?;
        let epoch = of_topic.get(&partition)?.epoch;
        Some(BatchEnd { topic: Arc::clone(topic), partition, messages: 0, epoch, next, leader_epoch })
    }

    /// A callback is done with a batch.
    pub(crate) fn processed(&mut self, ends: &[BatchEnd]) {
        for end in ends {
            if let Some(partition) = self.get_mut(&end.topic, end.partition)
                && partition.epoch == end.epoch
            {
                partition.processed = Some((end.next, end.leader_epoch));
                // A batch takes everything that was taken before it.
                partition.pending = None;
            }
        }
    }

    /// A callback is done with a part of its batch.
    pub(crate) fn processed_in_part(&mut self, ends: &[BatchEnd]) {
        for end in ends {
            if let Some(partition) = self.get_mut(&end.topic, end.partition)
                && partition.epoch == end.epoch
            {
                partition.processed = Some((end.next, end.leader_epoch));
            }
        }
    }

    /// Everything of a partition is processed up to some offset.
    pub(crate) fn reached(&mut self, Moved { key, epoch, reached, oldest }: &Moved) {
        if let Some(partition) = self.get_mut(&key.0, key.1)
            && partition.epoch == *epoch
        {
            partition.processed = Some((reached.next, reached.leader_epoch));
            partition.pending = *oldest;
        }
    }

    /// A batch failed: none of it can be committed any more. Returns its partitions as they are now, for
    /// [`Ledger::rollback`].
    pub(crate) fn failed(&mut self, ends: &[BatchEnd]) -> Vec<BatchEnd> {
        let mut failed = Vec::new();
        for end in ends {
            let epoch = self.next_epoch();
            if let Some(partition) = self.get_mut(&end.topic, end.partition)
                && partition.epoch == end.epoch
            {
                partition.epoch = epoch;
                failed.push(BatchEnd { epoch, ..end.clone() });
            }
        }
        failed
    }

    /// Where to read again after [`Ledger::failed`]: from the last commit, or from where reading began; with
    /// `keeps_processed` behind what was processed, for that is going to be committed. Partitions taken back meanwhile are
    /// left out.
    pub(crate) fn rollback(&mut self, failed: &[BatchEnd], keeps_processed: bool) -> Vec<TopicPartition> {
        let mut positions = Vec::new();
        for end in failed {
            if let Some(partition) = self.get_mut(&end.topic, end.partition)
                && partition.epoch == end.epoch
            {
                let processed = partition.processed.filter(|_| keeps_processed).map(|(next, _)| next);
                let back_to =
                    partition.committed.max(processed).or(partition.began).unwrap_or(OFFSET_BEGINNING);
                partition.processed = partition.processed.filter(|(next, _)| *next <= back_to);
                if end.next <= back_to {
                    // It was committed before it failed, so nothing of it comes again.
                    partition.pending = None;
                }
                partition.next = Some(back_to).filter(|offset| 0 <= *offset);
                positions
                    .push(TopicPartition::new(Arc::clone(&end.topic), end.partition).with_offset(back_to));
            }
        }
        positions
    }

    /// Sorts out what may be committed of a batch. Offsets that are committed already need no commit.
    pub(crate) fn admit(&self, ends: &[BatchEnd]) -> Admitted {
        let mut admitted = Admitted::default();
        for end in ends {
            let key = (Arc::clone(&end.topic), end.partition);
            match self.get(&end.topic, end.partition) {
                Some(partition) if partition.epoch == end.epoch => {
                    admitted.add(key, partition, (end.next, end.leader_epoch));
                }
                Some(_) | None => admitted.refused.push(key),
            }
        }
        admitted
    }

    /// What may be committed of one partition because callbacks are done with it.
    pub(crate) fn admit_reached(&self, key: &Key, epoch: u64) -> Admitted {
        let mut admitted = Admitted::default();
        match self.get(&key.0, key.1) {
            Some(partition) if partition.epoch == epoch => {
                if let Some(processed) = partition.processed {
                    admitted.add(key.clone(), partition, processed);
                }
            }
            Some(_) | None => admitted.refused.push(key.clone()),
        }
        admitted
    }

    /// The epoch under which messages of a partition of ours are handed out.
    pub(crate) fn epoch(&self, topic: &str, partition: i32) -> Option<u64> {
        self.get(topic, partition).map(|partition| partition.epoch)
    }

    /// What may be committed of the wanted partitions because callbacks are done with it.
    pub(crate) fn admit_processed(&self, is_wanted: impl Fn(&str, i32) -> bool) -> Admitted {
        let mut admitted = Admitted::default();
        for (topic, of_topic) in &self.partitions {
            for (id, partition) in of_topic {
                if let Some(processed) = partition.processed.filter(|_| is_wanted(topic, *id)) {
                    admitted.add((Arc::clone(topic), *id), partition, processed);
                }
            }
        }
        admitted
    }

    /// Whether the partition is assigned as it was when this commit was admitted.
    pub(crate) fn holds(&self, key: &Key, commit: &Commit) -> bool {
        self.get(&key.0, key.1).is_some_and(|partition| partition.assignment == commit.assignment)
    }

    /// The coordinator took a commit.
    pub(crate) fn committed(&mut self, key: &Key, commit: &Commit) {
        if let Some(partition) = self.get_mut(&key.0, key.1)
            && partition.assignment == commit.assignment
        {
            partition.committed = partition.committed.max(Some(commit.next));
        }
    }

    pub(crate) fn progress(&self) -> Vec<Progress> {
        let of_topic = |(topic, of_topic): (&Arc<str>, &BTreeMap<i32, Partition>)| {
            let progress = of_topic.iter().map(|(id, partition)| Progress {
                topic: Arc::clone(topic),
                partition: *id,
                position: partition.position(),
                committed: partition.committed,
                is_pending: partition.pending.is_some(),
                oldest_ms: partition.pending.flatten(),
            });
            progress.collect::<Vec<_>>()
        };
        self.partitions.iter().flat_map(of_topic).collect()
    }

    /// How many partitions are assigned, by topic.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&str, usize)> {
        self.partitions.iter().map(|(topic, of_topic)| (&**topic, of_topic.len()))
    }

    fn get(&self, topic: &str, partition: i32) -> Option<&Partition> {
        self.partitions.get(topic)?.get(&partition)
    }

    fn get_mut(&mut self, topic: &str, partition: i32) -> Option<&mut Partition> {
        self.partitions.get_mut(topic)?.get_mut(&partition)
    }

    fn next_epoch(&mut self) -> u64 {
        self.epochs += 1;
        self.epochs
    }
}

impl Partition {
    fn fresh(epoch: u64) -> Partition {
        Partition {
            assignment: epoch,
            epoch,
            began: None,
            processed: None,
            committed: None,
            pending: None,
            next: None,
        }
    }

    fn position(&self) -> Option<i64> {
        self.processed.map(|(next, _)| next).max(self.committed).or(self.began)
    }
}

impl Admitted {
    fn add(&mut self, key: Key, partition: &Partition, (next, leader_epoch): (i64, Option<i32>)) {
        if partition.committed < Some(next) {
            self.commits.insert(key, Commit { next, leader_epoch, assignment: partition.assignment });
        }
    }
}
