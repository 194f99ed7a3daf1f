//! Commits on their way: one request at a time, later ones joined meanwhile.
//!
//! With one request in flight a retry inside librdkafka can never put an older offset over a newer one, and a consumer that
//! commits each small batch sends no more requests than the coordinator answers. Those who wait for an answer are bounded:
//! a coordinator may keep them waiting for a minute.

use std::collections::BTreeMap;
use std::sync::Arc;

use mainspring_kafka_ffi::{KafkaCode, KafkaError, TopicPartition};
use tokio::time::Instant;

use crate::consumer::batch::{COMMITS_WAITING_MAX, Reply, answer_with};
use crate::consumer::error::CommitError;
use crate::consumer::ledger::{Admitted, Commit, Key};

#[derive(Debug, Default)]
pub(crate) struct Commits {
    waiting: Request,
    in_flight: Option<InFlight>,
    tags: usize,
}

#[derive(Debug, Default)]
struct Request {
    offsets: BTreeMap<Key, Commit>,
    waiters: Vec<Waiter>,
}

#[derive(Debug)]
struct InFlight {
    tag: usize,
    sent: Instant,
    request: Request,
}

/// Somebody who wants to know.
#[derive(Debug)]
struct Waiter {
    reply: Reply,
    partitions: Vec<Key>,
    refused: Vec<Key>,
}

/// What the coordinator said to one request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) sent: Instant,
    pub(crate) offsets: Vec<(Key, Commit, Result<(), CommitError>)>,
    waiters: Vec<Waiter>,
}

impl Commits {
    /// Adds what somebody wants committed. What needs no request, and what is one too many, is answered at once.
    pub(crate) fn add(&mut self, Admitted { commits, refused }: Admitted, reply: Reply) {
        let partitions: Vec<_> = commits.keys().cloned().collect();
        let waiter = Waiter { reply, partitions, refused };
        if commits.is_empty() {
            return waiter.answer(&[]);
        }
        if !self.waiting.has_room() {
            let limit = COMMITS_WAITING_MAX;
            return answer_with(waiter.reply, Err(CommitError::QueueFull { limit }));
        }
        for (key, commit) in commits {
            let waiting = self.waiting.offsets.entry(key).or_insert_with(|| commit.clone());
            if waiting.assignment != commit.assignment || waiting.next < commit.next {
                *waiting = commit;
            }
        }
        self.waiting.waiters.push(waiter);
    }

    /// The next request to send, with its tag; `None` while one is in flight.
    pub(crate) fn next(&mut self, now: Instant) -> Option<(Vec<TopicPartition>, usize)> {
        if self.in_flight.is_some() || self.waiting.is_empty() {
            return None;
        }
        let request = std::mem::take(&mut self.waiting);
        let offsets = request.offsets.iter().map(|((topic, partition), commit)| TopicPartition {
            leader_epoch: commit.leader_epoch,
            ..TopicPartition::new(Arc::clone(topic), *partition).with_offset(commit.next)
        });
        let offsets = offsets.collect();
        self.tags += 1;
        self.in_flight = Some(InFlight { tag: self.tags, sent: now, request });
        Some((offsets, self.tags))
    }

    /// Takes in the answer to the request called `tag`. Whoever waits for it is told by [`Answer::tell`], once it is noted.
    pub(crate) fn answered(
        &mut self,
        tag: usize,
        result: &Result<(), KafkaError>,
        partitions: &[TopicPartition],
    ) -> Option<Answer> {
        let InFlight { sent, request, .. } = self.in_flight.take_if(|in_flight| in_flight.tag == tag)?;
        let code_of = |(topic, partition): &Key| -> Option<KafkaCode> {
            let found =
                partitions.iter().find(|found| found.topic == *topic && found.partition == *partition);
            found?.error
        };
        let result_of = |key: &Key| match (code_of(key), result) {
            (Some(code), _) => Err(CommitError::failed(&key.0, key.1, code, code.description())),
            (None, Err(error)) => Err(CommitError::failed(&key.0, key.1, error.code, error.text.clone())),
            (None, Ok(())) => Ok(()),
        };
        let offsets = request.offsets.into_iter().map(|(key, commit)| {
            let result = result_of(&key);
            (key, commit, result)
        });
        let offsets: Vec<_> = offsets.collect();
        for (key, commit, _) in offsets.iter().filter(|(_, _, result)| result.is_ok()) {
            self.waiting.never_below(key, commit);
        }
        Some(Answer { sent, offsets, waiters: request.waiters })
    }

    /// Takes back what was not sent yet for a partition that is not ours any more.
    pub(crate) fn forget(&mut self, is_gone: impl Fn(&Key) -> bool) {
        self.waiting.offsets.retain(|key, _| !is_gone(key));
        for waiter in &mut self.waiting.waiters {
            let gone = waiter.partitions.extract_if(.., |key| is_gone(key));
            waiter.refused.extend(gone);
        }
        // Whoever has nothing left to wait for is answered now.
        for waiter in self.waiting.waiters.extract_if(.., |waiter| waiter.partitions.is_empty()) {
            waiter.answer(&[]);
        }
    }

    /// Whether an answer is outstanding for such a partition.
    pub(crate) fn concern(&self, wanted: impl Fn(&Key) -> bool) -> bool {
        let in_flight = self.in_flight.iter().flat_map(|in_flight| in_flight.request.offsets.keys());
        self.waiting.offsets.keys().chain(in_flight).any(wanted)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.is_none() && self.waiting.is_empty()
    }
}

impl Answer {
    pub(crate) fn tell(self) {
        self.waiters.into_iter().for_each(|waiter| waiter.answer(&self.offsets));
    }
}

impl Request {
    fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Whether one more may wait. Those who dropped their future do not count.
    fn has_room(&mut self) -> bool {
        if COMMITS_WAITING_MAX <= self.waiters.len() {
            self.waiters.retain(|waiter| !waiter.reply.is_closed());
        }
        self.waiters.len() < COMMITS_WAITING_MAX
    }

    /// Raises an offset that somebody with an older batch asked for to the one committed meanwhile: sent as it is, it would
    /// put the group back.
    fn never_below(&mut self, key: &Key, committed: &Commit) {
        if let Some(waiting) = self.offsets.get_mut(key)
            && waiting.assignment == committed.assignment
            && waiting.next < committed.next
        {
            *waiting = committed.clone();
        }
    }
}

impl Waiter {
    fn answer(self, offsets: &[(Key, Commit, Result<(), CommitError>)]) {
        let failed = offsets.iter().find_map(|(key, _, result)| {
            self.partitions.contains(key).then(|| result.as_ref().err().cloned()).flatten()
        });
        let revoked = self.refused.first().map(|(topic, partition)| CommitError::revoked(topic, *partition));
        answer_with(self.reply, failed.or(revoked).map_or(Ok(()), Err));
    }
}
