//! What the scope asks for: partitions that are paused, resumed, or read elsewhere.

use std::sync::Arc;
use std::time::Duration;

use mainspring_kafka_ffi::{self as ffi, KafkaCode, KafkaError};
use tokio::time::Instant;

use crate::consumer::control::{Command, ControlReply, Seek};
use crate::consumer::error::ControlError;
use crate::consumer::events;
use crate::consumer::ledger::Key;
use crate::consumer::session::Session;

/// Longest wait for librdkafka's main thread to take a seek; it asks nobody for that.
const SEEK_WAIT: Duration = Duration::from_secs(1);

/// How long a seek is tried for while the assignment takes effect, and how often: the committed offset is asked for first.
const SEEK_TRY_TIME: Duration = Duration::from_secs(10);
const SEEK_RETRY_DELAY: Duration = Duration::from_millis(20);

/// A seek that waits for the assignment to take effect. Until then messages of its partition are dropped.
pub(super) struct PendingSeek {
    seek: Seek,
    until: Instant,
    pub(super) again: Instant,
}

impl Session<'_> {
    pub(super) fn on_command(&mut self, command: Command) {
        match command {
            Command::Queries(reply) => {
                // Whoever asked may have gone.
                let _gone = reply.send(self.consumer.queries());
            }
            Command::Seek(seek) => self.on_seek(seek),
            Command::Pause(key, reply) => self.on_pause(key, reply),
            Command::Resume(key, reply) => self.on_resume(&key, reply),
        }
    }

    fn on_seek(&mut self, seek: Seek) {
        let (topic, partition) = (&seek.to.topic, seek.to.partition);
        if let Some(assigning) = &mut self.assigning
            && let Some(assigned) = assigning.find(topic, partition)
        {
            // It is not read yet, so this is where it begins.
            assigned.offset = seek.to.offset;
            assigned.leader_epoch = None;
            return answer(seek.reply, Ok(()));
        }
        if !self.run.status.ledger().owns(topic, partition) {
            let error = ControlError::not_assigned(topic, partition);
            return answer(seek.reply, Err(error));
        }
        let key = (Arc::clone(topic), partition);
        self.forget_seeks(|pending| *pending == key);
        let now = Instant::now();
        self.try_seek(PendingSeek { seek, until: now + SEEK_TRY_TIME, again: now });
    }

    fn try_seek(&mut self, pending: PendingSeek) {
        let now = Instant::now();
        let key = (Arc::clone(&pending.seek.to.topic), pending.seek.to.partition);
        let result = self.consumer.seek_and_wait(&pending.seek.to, SEEK_WAIT);
        let result = match result {
            Err(error) if error.code == KafkaCode::STATE && now < pending.until => {
                self.drop_collected(&key);
                return self.seeks.push(PendingSeek { again: now + SEEK_RETRY_DELAY, ..pending });
            }
            Err(error) => Err(ControlError::refused("seek", &key.0, key.1, &error)),
            Ok(()) => {
                self.drop_collected(&key);
                // What was handed out before is of another reading.
                self.run.status.ledger().begin_anew(&key);
                self.commits.forget(|(topic, partition)| (topic, partition) == (&key.0, &key.1));
                events::sought(&self.run.status, &pending.seek.to);
                let reopened = self.reopen_lanes(&key);
                reopened.map_err(|error| ControlError::refused("seek", &key.0, key.1, &error))
            }
        };
        answer(pending.seek.reply, result);
    }

    /// Tries again those that are due.
    pub(super) fn retry_seeks(&mut self, now: Instant) {
        let due: Vec<_> = self.seeks.extract_if(.., |pending| pending.again <= now).collect();
        for pending in due {
            self.try_seek(pending);
        }
    }

    /// Gives up seeks of partitions that are taken back, or read elsewhere again.
    pub(super) fn forget_seeks(&mut self, is_over: impl Fn(&Key) -> bool) {
        let over = self.seeks.extract_if(.., |pending| {
            is_over(&(Arc::clone(&pending.seek.to.topic), pending.seek.to.partition))
        });
        for PendingSeek { seek, .. } in over {
            let error = ControlError::not_assigned(&seek.to.topic, seek.to.partition);
            answer(seek.reply, Err(error));
        }
    }

    /// Whether messages of this partition come from where it is not to be read any more.
    pub(super) fn is_sought(&self, topic: &str, partition: i32) -> bool {
        self.seeks
            .iter()
            .any(|PendingSeek { seek, .. }| seek.to.partition == partition && *seek.to.topic == *topic)
    }

    fn on_pause(&mut self, key: Key, reply: ControlReply) {
        // librdkafka does not have that one yet; it is paused once it has.
        let is_to_come =
            self.assigning.as_mut().is_some_and(|assigning| assigning.find(&key.0, key.1).is_some());
        if !is_to_come && !self.run.status.ledger().owns(&key.0, key.1) {
            let error = ControlError::not_assigned(&key.0, key.1);
            return answer(reply, Err(error));
        }
        if !self.run.paused.contains(&key) {
            if !is_to_come && let Err(error) = self.consumer.pause(&[partition_of(&key)]) {
                let error = ControlError::refused("pause", &key.0, key.1, &error);
                return answer(reply, Err(error));
            }
            // What waits for its batch to fill comes again after the pause.
            if let Some(first) = self.drop_collected(&key) {
                self.run.status.ledger().rewind(&key, first);
            }
            self.hold_lanes(&key, true);
            events::partition_paused(&self.run.status, &key, true);
            self.run.paused.insert(key);
            self.show_paused();
        }
        answer(reply, Ok(()));
    }

    fn on_resume(&mut self, key: &Key, reply: ControlReply) {
        if !self.run.paused.contains(key) {
            let is_ours = self.run.status.ledger().owns(&key.0, key.1);
            let result = if is_ours { Ok(()) } else { Err(ControlError::not_assigned(&key.0, key.1)) };
            return answer(reply, result);
        }
        let result = if self.is_at_limit(key) { Ok(()) } else { self.read_on(key) };
        if let Err(error) = result {
            let error = ControlError::refused("resume", &key.0, key.1, &error);
            return answer(reply, Err(error));
        }
        self.hold_lanes(key, false);
        events::partition_paused(&self.run.status, key, false);
        self.run.paused.remove(key);
        self.show_paused();
        answer(reply, Ok(()));
    }

    /// Reads a paused partition again, from the message after the last one taken.
    pub(super) fn read_on(&self, key: &Key) -> Result<(), KafkaError> {
        let next = self.run.status.ledger().next_of(key);
        let partition = partition_of(key);
        // librdkafka would go on where it thinks that we are: after everything it has handed out, and, past the end of a
        // partition, one too far (librdkafka#4844). We know better.
        if let Some(next) = next {
            self.consumer.seek(&[partition.clone().with_offset(next)])?;
        }
        self.consumer.resume(&[partition])
    }

    /// librdkafka keeps a partition paused that goes to another member, and would not read it when it comes back.
    pub(super) fn resume_revoked(&mut self, revoked: &[ffi::TopicPartition], is_everything: bool) {
        let is_revoked = |(topic, partition): &Key| {
            is_everything || revoked.iter().any(|it| it.partition == *partition && it.topic == *topic)
        };
        let at_limits = self.at_limits();
        let paused = self.run.paused.iter().chain(&at_limits);
        let going: Vec<_> = paused.filter(|key| is_revoked(key)).map(partition_of).collect();
        if !going.is_empty()
            && let Err(error) = self.consumer.resume(&going)
        {
            events::not_resumed(&self.run.status, &error);
        }
    }

    /// Pauses what was paused before a rebalance and has come back with it; forgets what is not ours any more.
    pub(super) fn keep_paused(&mut self, assigned: &[ffi::TopicPartition]) {
        let still: Vec<_> = assigned
            .iter()
            .map(|assigned| (Arc::clone(&assigned.topic), assigned.partition))
            .filter(|key| self.run.paused.contains(key))
            .collect();
        if !still.is_empty() {
            let partitions: Vec<_> = still.iter().map(partition_of).collect();
            if let Err(error) = self.consumer.pause(&partitions) {
                events::not_paused_again(&self.run.status, &error);
            }
        }
        let ledger = self.run.status.ledger();
        self.run.paused.retain(|(topic, partition)| ledger.owns(topic, *partition));
        drop(ledger);
        self.show_paused();
    }

    pub(super) fn show_paused(&self) {
        self.run.status.paused_partitions(self.run.paused.clone());
    }

    /// Drops what was collected of a partition and returns the first offset of it.
    fn drop_collected(&mut self, (topic, partition): &Key) -> Option<i64> {
        let is_of = |message: &ffi::Message| message.partition() == *partition && *message.topic() == **topic;
        let first = self.messages.iter().find(|message| is_of(message)).map(ffi::Message::offset);
        if first.is_some() {
            self.messages.retain(|message| !is_of(message));
            self.collected_bytes = self.messages.iter().map(ffi::Message::size).sum();
        }
        first
    }
}

pub(super) fn partition_of((topic, partition): &Key) -> ffi::TopicPartition {
    ffi::TopicPartition::new(Arc::clone(topic), *partition)
}

/// Whoever asked may have gone.
fn answer(reply: ControlReply, result: Result<(), ControlError>) {
    let _gone = reply.send(result);
}
