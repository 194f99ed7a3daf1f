//! Commits on their way: one request at a time, later ones joined meanwhile.
//!
//! With one request in flight a retry can never put an older offset over a newer one, and a consumer that commits each small
//! batch sends no more requests than the coordinator answers. What fails for a while only, such as during a rebalance, is
//! asked for again: librdkafka leaves that to whoever commits. Those who wait for an answer are bounded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mainspring_kafka_ffi::{KafkaCode, KafkaError, TopicPartition};
use tokio::time::Instant;

use crate::consumer::batch::{COMMITS_WAITING_MAX, Reply, answer_with};
use crate::consumer::error::CommitError;
use crate::consumer::ledger::{Admitted, Commit, Key};

/// How long a commit is tried for, as long as its partition stays ours.
const TRY_TIME_MAX: Duration = Duration::from_secs(60);

/// Wait before a commit that failed is tried again.
const RETRY_DELAY: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(crate) struct Commits {
    wanted: BTreeMap<Key, Wanted>,
    waiters: Vec<Waiter>,
    in_flight: Option<InFlight>,
    tags: usize,
    /// Nothing is sent before: the last request failed for a while.
    pause_until: Option<Instant>,
    /// So many of the next requests are for one partition each.
    one_by_one: usize,
}

/// An offset to commit, and since when it is tried.
#[derive(Debug, Clone)]
struct Wanted {
    commit: Commit,
    since: Instant,
}

#[derive(Debug)]
struct InFlight {
    tag: usize,
    sent: Instant,
    offsets: BTreeMap<Key, Wanted>,
}

/// Somebody who wants to know.
#[derive(Debug)]
struct Waiter {
    reply: Reply,
    /// Still to be answered, each by a commit of this offset or a later one.
    offsets: Vec<(Key, i64)>,
    refused: Vec<Key>,
    failed: Option<CommitError>,
}

/// What the coordinator said to one request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) sent: Instant,
    pub(crate) offsets: Vec<(Key, Commit, Outcome)>,
    answered: Vec<Waiter>,
}

/// What became of one offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Committed,
    /// It is tried again.
    Delayed(CommitError),
    Failed(CommitError),
}

impl Commits {
    /// Adds what somebody wants committed. What needs no request, and what is one too many, is answered at once.
    pub(crate) fn add(&mut self, Admitted { commits, refused }: Admitted, reply: Reply, now: Instant) {
        let offsets: Vec<_> = commits.iter().map(|(key, commit)| (key.clone(), commit.next)).collect();
        let waiter = Waiter { reply, offsets, refused, failed: None };
        if commits.is_empty() {
            return waiter.answer();
        }
        if !self.has_room() {
            let limit = COMMITS_WAITING_MAX;
            return answer_with(waiter.reply, Err(CommitError::QueueFull { limit }));
        }
        for (key, commit) in commits {
            self.want(key, Wanted { commit, since: now });
        }
        self.waiters.push(waiter);
    }

    /// Adds what nobody waits for.
    pub(crate) fn add_unasked(&mut self, Admitted { commits, .. }: Admitted, now: Instant) {
        for (key, commit) in commits {
            self.want(key, Wanted { commit, since: now });
        }
    }

    /// The next request to send, with its tag; `None` while one is in flight.
    pub(crate) fn next(&mut self, now: Instant) -> Option<(Vec<TopicPartition>, usize)> {
        let is_paused = self.pause_until.is_some_and(|until| now < until);
        if is_paused || self.in_flight.is_some() || self.wanted.is_empty() {
            return None;
        }
        self.pause_until = None;
        let offsets = match self.one_by_one.checked_sub(1) {
            Some(left) => {
                self.one_by_one = left;
                self.wanted.pop_first().into_iter().collect()
            }
            None => std::mem::take(&mut self.wanted),
        };
        let request = offsets.iter().map(|((topic, partition), Wanted { commit, .. })| TopicPartition {
            leader_epoch: commit.leader_epoch,
            ..TopicPartition::new(Arc::clone(topic), *partition).with_offset(commit.next)
        });
        let request = request.collect();
        self.tags += 1;
        self.in_flight = Some(InFlight { tag: self.tags, sent: now, offsets });
        Some((request, self.tags))
    }

    /// When [`Commits::next`] has something again that it has not now.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.pause_until.filter(|_| self.in_flight.is_none() && !self.wanted.is_empty())
    }

    /// Takes in the answer to the request called `tag`. Whoever waits for it is told by [`Answer::tell`], once it is noted.
    /// `is_ours` tells whether an offset may still be committed.
    ///
    /// When one partition of several is refused, librdkafka reports its code for all of them, although the others may be
    /// committed. So each is asked for again, alone, before anything is said of it.
    pub(crate) fn answered(
        &mut self,
        tag: usize,
        result: &Result<(), KafkaError>,
        partitions: &[TopicPartition],
        now: Instant,
        is_ours: impl Fn(&Key, &Commit) -> bool,
    ) -> Option<Answer> {
        let InFlight { sent, offsets: asked, .. } =
            self.in_flight.take_if(|in_flight| in_flight.tag == tag)?;
        let is_joint = 1 < asked.len();
        let mut offsets = Vec::with_capacity(asked.len());
        for (key, wanted) in asked {
            let commit = wanted.commit.clone();
            // Whatever is said of it, it may be stored: an older one sent after it would put the group back.
            self.never_below(&key, &commit);
            let outcome = match failure_of(&key, result, partitions) {
                None => Outcome::Committed,
                Some((code, error)) => {
                    let may_succeed = is_joint || passes(code);
                    if may_succeed && is_ours(&key, &commit) && !wanted.is_tired(now) {
                        if passes(code) {
                            self.pause_until = Some(now + RETRY_DELAY);
                        }
                        self.one_by_one += usize::from(is_joint);
                        self.want(key.clone(), wanted);
                        Outcome::Delayed(error)
                    } else {
                        Outcome::Failed(error)
                    }
                }
            };
            offsets.push((key, commit, outcome));
        }
        self.waiters.iter_mut().for_each(|waiter| waiter.take_in(&offsets));
        let answered = self.waiters.extract_if(.., |waiter| waiter.offsets.is_empty()).collect();
        Some(Answer { sent, offsets, answered })
    }

    /// Takes back what was not sent yet for a partition that is not ours any more.
    pub(crate) fn forget(&mut self, is_gone: impl Fn(&Key) -> bool) {
        self.wanted.retain(|key, _| !is_gone(key));
        let in_flight = self.in_flight.as_ref();
        let is_sent = |key: &Key, next: i64| {
            let sent = in_flight.and_then(|in_flight| in_flight.offsets.get(key));
            sent.is_some_and(|sent| next <= sent.commit.next)
        };
        for waiter in &mut self.waiters {
            let gone = waiter.offsets.extract_if(.., |(key, next)| is_gone(key) && !is_sent(key, *next));
            waiter.refused.extend(gone.map(|(key, _)| key));
        }
        // Whoever has nothing left to wait for is answered now.
        for waiter in self.waiters.extract_if(.., |waiter| waiter.offsets.is_empty()) {
            waiter.answer();
        }
    }

    /// Whether an answer is outstanding for such a partition.
    pub(crate) fn concern(&self, is_concerned: impl Fn(&Key) -> bool) -> bool {
        let in_flight = self.in_flight.iter().flat_map(|in_flight| in_flight.offsets.keys());
        self.wanted.keys().chain(in_flight).any(is_concerned)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.is_none() && self.wanted.is_empty()
    }

    /// Adds an offset; of two for one partition the higher one counts.
    fn want(&mut self, key: Key, wanted: Wanted) {
        let known = self.wanted.entry(key).or_insert_with(|| wanted.clone());
        let since = known.since.min(wanted.since);
        if known.commit.assignment != wanted.commit.assignment || known.commit.next < wanted.commit.next {
            *known = wanted;
        }
        known.since = since;
    }

    /// Whether one more may wait. Those who dropped their future do not count.
    fn has_room(&mut self) -> bool {
        if COMMITS_WAITING_MAX <= self.waiters.len() {
            self.waiters.retain(|waiter| !waiter.reply.is_closed());
        }
        self.waiters.len() < COMMITS_WAITING_MAX
    }

    /// Raises an offset that somebody with an older batch asked for to one that was sent meanwhile.
    fn never_below(&mut self, key: &Key, sent: &Commit) {
        if let Some(Wanted { commit, .. }) = self.wanted.get_mut(key)
            && commit.assignment == sent.assignment
            && commit.next < sent.next
        {
            *commit = sent.clone();
        }
    }
}

/// What the answer says against a partition.
fn failure_of(
    (topic, partition): &Key,
    result: &Result<(), KafkaError>,
    partitions: &[TopicPartition],
) -> Option<(KafkaCode, CommitError)> {
    let found = partitions.iter().find(|found| found.topic == *topic && found.partition == *partition);
    let (code, text) = match (found.and_then(|found| found.error), result) {
        (Some(code), _) => (code, code.description()),
        (None, Err(error)) => (error.code, error.text.clone()),
        (None, Ok(())) => return None,
    };
    Some((code, CommitError::failed(topic, *partition, code, text)))
}

/// Whether a commit refused with this code may be taken a moment later, by the same group from the same member.
fn passes(code: KafkaCode) -> bool {
    matches!(
        code.as_raw(),
        // The group rebalances: ILLEGAL_GENERATION, REBALANCE_IN_PROGRESS, STALE_MEMBER_EPOCH.
        22 | 27 | 113
        // The coordinator moves: COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR, _WAIT_COORD.
        | 14 | 15 | 16 | -180
        // The request got lost: REQUEST_TIMED_OUT, NETWORK_EXCEPTION, _TRANSPORT, _TIMED_OUT, _TIMED_OUT_QUEUE.
        | 7 | 13 | -195 | -185 | -166
    )
}

impl Outcome {
    /// Whether the coordinator knows no such group: `GROUP_ID_NOT_FOUND`.
    pub(crate) fn is_group_gone(&self) -> bool {
        match self {
            Outcome::Committed => false,
            Outcome::Delayed(error) | Outcome::Failed(error) => error.kafka_code() == Some(69),
        }
    }
}

impl Answer {
    pub(crate) fn tell(self) {
        self.answered.into_iter().for_each(Waiter::answer);
    }
}

impl Wanted {
    fn is_tired(&self, now: Instant) -> bool {
        self.since + TRY_TIME_MAX <= now
    }
}

impl Waiter {
    /// Strikes out what is decided.
    fn take_in(&mut self, answered: &[(Key, Commit, Outcome)]) {
        for (key, commit, outcome) in answered {
            if matches!(outcome, Outcome::Delayed(_)) {
                continue;
            }
            let is_decided = |(waited, next): &(Key, i64)| waited == key && *next <= commit.next;
            let n_before = self.offsets.len();
            self.offsets.retain(|offset| !is_decided(offset));
            if let Outcome::Failed(error) = outcome
                && self.offsets.len() < n_before
            {
                self.failed.get_or_insert_with(|| error.clone());
            }
        }
    }

    fn answer(self) {
        let revoked = self.refused.first().map(|(topic, partition)| CommitError::revoked(topic, *partition));
        answer_with(self.reply, self.failed.or(revoked).map_or(Ok(()), Err));
    }
}
