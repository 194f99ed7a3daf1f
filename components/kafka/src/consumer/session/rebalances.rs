//! Partitions that come and go, under every protocol.

use std::sync::Arc;
use std::time::Duration;

use mainspring_kafka_ffi::{KafkaError, RebalanceProtocol, TopicPartition};
use tokio::time::Instant;

use crate::consumer::events;
use crate::consumer::ledger::Key;
use crate::consumer::listener::{Notice, names};
use crate::consumer::run::ClientFailure;
use crate::consumer::session::listening::{Assigning, REVOKED_CLOSING_MAX, REVOKED_MAX};
use crate::consumer::session::{Phase, Revoking, Session};
use crate::consumer::status::State;

/// The part of `max.poll.interval.ms` for which the running batch may hold revoked partitions back, and for which the listener
/// may think about where to begin. The group waits for that long for its members to answer a rebalance; the rest is for the
/// commit and the answer.
const ANSWER_WAIT_PART: u32 = 2;

/// Longest wait for the commit of a batch that is done: nothing of other partitions is read meanwhile.
const REVOKE_COMMITS_MAX: Duration = Duration::from_secs(10);

impl Session<'_> {
    pub(super) fn on_assigned(&mut self, partitions: &[TopicPartition]) {
        // A revocation that was still waiting is overtaken.
        self.hand_back();
        let protocol = self.consumer.rebalance_protocol();
        events::assigned(&self.run.status, &self.run.settings, name_of(protocol), partitions);
        if self.tell(Notice::Assigned(names(partitions))) {
            let until = Instant::now() + self.run.settings.poll_interval / ANSWER_WAIT_PART;
            self.assigning = Some(Assigning { partitions: partitions.to_vec(), until });
        } else {
            self.assign(partitions);
        }
    }

    /// Answers the group: begins to read.
    pub(super) fn assign(&mut self, partitions: &[TopicPartition]) {
        let protocol = self.consumer.rebalance_protocol();
        self.run.status.ledger().assign(partitions);
        let result = match protocol {
            RebalanceProtocol::Cooperative => self.consumer.incremental_assign(partitions),
            _ => self.consumer.assign(partitions),
        };
        self.check_rebalance(result);
        self.keep_positions(partitions);
        self.keep_paused(partitions);
        self.open_lanes(partitions);
        self.run.status.client.on_answer();
        if let Some(cluster_id) = self.consumer.cluster_id() {
            self.run.status.client.on_cluster_id(cluster_id);
        }
        if let Some(since) = self.rebalancing_since.take() {
            self.run.status.metrics.rebalanced(since.elapsed());
        }
        self.enter_state();
    }

    /// Shows whether there is something to read; a delay after a failed batch is shown for as long as it lasts.
    pub(super) fn enter_state(&self) {
        if matches!(self.phase, Phase::Backoff { .. }) {
            return;
        }
        let has_partitions = self.run.status.ledger().counts().next().is_some();
        self.run.status.enter(match (has_partitions, self.run.tuning().paused) {
            (false, _) => State::Joining,
            (true, true) => State::Paused,
            (true, false) => State::Running,
        });
    }

    pub(super) fn on_revoked(&mut self, partitions: Vec<TopicPartition>, lost: bool) {
        self.hand_back();
        let protocol = name_of(self.consumer.rebalance_protocol());
        events::revoked(&self.run.status, &self.run.settings, protocol, &partitions, lost);
        let since = Instant::now();
        self.rebalancing_since.get_or_insert(since);
        // Once the client closes, what was to be waited for has been waited for.
        let is_over = lost || self.closing;
        let until = if is_over { since } else { since + self.run.settings.poll_interval / ANSWER_WAIT_PART };
        if lost {
            self.tell_lost(&partitions);
        }
        self.close_lanes(&partitions);
        self.revoking = Some(Revoking {
            partitions,
            since,
            until,
            awaits_commits: false,
            listener_until: None,
            told: lost || self.listening.is_none(),
        });
    }

    /// Hands revoked partitions back once nothing of theirs is under way, or when it takes too long.
    pub(super) fn hand_back_revoked(&mut self) {
        let is_out = self.is_revoked_out();
        let Some(revoking) = &mut self.revoking else { return };
        let Revoking { partitions, since, until, awaits_commits, listener_until, told } = revoking;
        let is_revoked = |(topic, partition): &Key| {
            partitions.iter().any(|revoked| revoked.topic == *topic && revoked.partition == *partition)
        };
        let is_processing = match &self.phase {
            Phase::Processing(processing) => {
                processing.ends.iter().any(|end| is_revoked(&(Arc::clone(&end.topic), end.partition)))
            }
            Phase::Collecting | Phase::Backoff { .. } => is_out,
        };
        if !is_processing && !std::mem::replace(awaits_commits, true) {
            if since < until && self.run.settings.commit_policy.is_automatic() {
                let is_wanted = |topic: &str, partition| {
                    partitions.iter().any(|it| it.partition == partition && *it.topic == *topic)
                };
                let admitted = self.run.status.ledger().admit_processed(is_wanted);
                self.commits.add_unasked(admitted, Instant::now());
            }
            *until = (*until).min(Instant::now() + REVOKE_COMMITS_MAX);
        }
        let is_busy = is_processing || self.commits.concern(is_revoked);
        if is_busy && Instant::now() < *until {
            return;
        }
        if is_busy && since < until && listener_until.is_none() {
            events::handed_back_unfinished(&self.run.status, partitions, since.elapsed());
        }
        // The listener comes last: by now everything that can be committed is.
        let is_told = match *listener_until {
            _ if *told => true,
            Some(limit) => limit <= Instant::now(),
            None => {
                let limit = if self.closing { REVOKED_CLOSING_MAX } else { REVOKED_MAX };
                *listener_until = Some(Instant::now() + limit);
                let notice = Notice::Revoked(names(partitions));
                !self.tell(notice)
            }
        };
        if is_told {
            self.hand_back();
        }
    }

    /// Whether workers are at something of the revoked partitions; once they are not, all that they did is known here.
    fn is_revoked_out(&mut self) -> bool {
        let (Some(Revoking { partitions, .. }), Some(concurrent)) = (&self.revoking, &self.concurrent) else {
            return false;
        };
        let is_revoked = |(topic, partition): &Key| {
            partitions.iter().any(|revoked| revoked.topic == *topic && revoked.partition == *partition)
        };
        let is_out = concurrent.crew.is_out(is_revoked);
        self.look();
        is_out
    }

    /// Hands revoked partitions back, whatever is under way.
    pub(super) fn hand_back(&mut self) {
        let Some(Revoking { partitions, .. }) = self.revoking.take() else { return };
        let is_everything = self.consumer.rebalance_protocol() != RebalanceProtocol::Cooperative;
        if is_everything {
            self.run.status.ledger().clear();
        } else {
            self.run.status.ledger().revoke(&partitions);
        }
        self.drop_foreign_messages();
        self.resume_revoked(&partitions, is_everything);
        if !is_everything {
            self.run.paused.retain(|(topic, partition)| {
                !partitions.iter().any(|it| it.partition == *partition && it.topic == *topic)
            });
        }
        let status = Arc::clone(&self.run.status);
        self.forget_seeks(|(topic, partition)| !status.ledger().owns(topic, *partition));
        self.show_paused();
        self.forget_lanes();
        let ledger = self.run.status.ledger();
        self.commits.forget(|(topic, partition)| !ledger.owns(topic, *partition));
        self.run.status.readable(|(topic, partition)| !ledger.owns(topic, *partition));
        drop(ledger);
        self.enter_state();
        let result = if is_everything {
            self.consumer.unassign()
        } else {
            self.consumer.incremental_unassign(&partitions)
        };
        self.check_rebalance(result);
        self.keep_positions(&[]);
    }

    /// Puts the partitions that stay with us where we know that we are. A rebalance pauses them inside librdkafka, which then
    /// goes on where it thinks that we are: past the end of a partition one message too far (librdkafka#4844).
    fn keep_positions(&mut self, new: &[TopicPartition]) {
        let asks_for_ends = self.run.listener.as_ref().is_some_and(|listener| listener.wants_end());
        if !asks_for_ends || self.consumer.rebalance_protocol() != RebalanceProtocol::Cooperative {
            return;
        }
        let is_new = |topic: &str, partition: i32| {
            new.iter().any(|it| it.partition == partition && *it.topic == *topic)
        };
        let ledger = self.run.status.ledger();
        let kept = ledger.progress().into_iter().filter(|it| !is_new(&it.topic, it.partition));
        let known = kept.filter_map(|it| {
            let key = (Arc::clone(&it.topic), it.partition);
            let next = ledger.next_of(&key)?;
            Some(TopicPartition::new(key.0, key.1).with_offset(next))
        });
        let positions: Vec<_> = known.collect();
        drop(ledger);
        if !positions.is_empty()
            && let Err(error) = self.consumer.seek(&positions)
        {
            events::rollback_failed(&self.run.status, &error);
            self.failure.get_or_insert(ClientFailure::Broken);
        }
    }

    /// The client has failed for good, and with it the membership.
    pub(super) fn tell_all_lost(&mut self) {
        let lost: Vec<_> = {
            let ledger = self.run.status.ledger();
            ledger
                .progress()
                .into_iter()
                .map(|known| crate::TopicPartition::new(known.topic, known.partition))
                .collect()
        };
        if !lost.is_empty() {
            self.tell(Notice::Lost(lost));
        }
    }

    fn check_rebalance(&mut self, result: Result<(), KafkaError>) {
        if let Err(error) = result {
            // librdkafka waits for an answer for ever, so only another client helps.
            events::rebalance_failed(&self.run.status, &error);
            self.failure = Some(if error.fatal { ClientFailure::Fatal } else { ClientFailure::Broken });
        }
    }
}

fn name_of(protocol: RebalanceProtocol) -> &'static str {
    match protocol {
        RebalanceProtocol::Cooperative => "cooperative",
        _ => "eager",
    }
}
