//! Messages into batches, batches to the callback, and back to the last commit when it fails.

use std::sync::Arc;

use mainspring_engine::TaskError;
use mainspring_kafka_ffi::{self as ffi, KafkaCode};
use mainspring_logging::Chain;
use tokio::time::Instant;

use crate::consumer::batch::{Batch, Handed};
use crate::consumer::events::{self, Failure};
use crate::consumer::ledger::{BatchEnd, Taken};
use crate::consumer::message::Message;
use crate::consumer::run::{ClientFailure, call};
use crate::consumer::session::{Phase, Processing, Session};
use crate::consumer::status::{State, Status};

impl Session<'_> {
    pub(super) fn on_messages(&mut self, added_from: usize) {
        for error in std::mem::take(&mut self.errors) {
            if error.code == KafkaCode::PARTITION_EOF {
                self.on_partition_end(&error);
            } else {
                events::fetch_error(&self.run.status, &error);
                self.tell_partition_error(&error);
            }
        }
        let added = &self.messages[added_from..];
        if added.is_empty() {
            return;
        }
        self.run.status.client.on_answer();
        if added_from == 0 {
            self.collect_until = Instant::now() + self.run.settings.poll_timeout;
        }
        let mut all_ours = true;
        self.collected_bytes += added.iter().map(ffi::Message::size).sum::<usize>();
        for run in added.chunk_by(is_same_partition) {
            let first = &run[0];
            let is_ours = !self.is_sought(first.topic(), first.partition())
                && self.run.status.ledger().taken(first.topic(), first.partition(), taken(run));
            self.run
                .status
                .readable(|(topic, partition)| *partition == first.partition() && **topic == *first.topic());
            if is_ours {
                self.run.status.metrics.topic(first.topic()).consumed(run.len());
            }
            all_ours &= is_ours;
        }
        if !all_ours {
            self.drop_foreign_messages();
        }
        self.hand_in();
    }

    /// Messages of partitions taken back meanwhile belong to somebody else.
    pub(super) fn drop_foreign_messages(&mut self) {
        let mut messages = std::mem::take(&mut self.messages);
        let ledger = self.run.status.ledger();
        messages.retain(|message| {
            let (topic, partition) = (message.topic(), message.partition());
            ledger.owns(topic, partition) && !self.is_sought(topic, partition)
        });
        drop(ledger);
        self.messages = messages;
        self.collected_bytes = self.messages.iter().map(ffi::Message::size).sum();
    }

    pub(super) fn begin_batch(&mut self) {
        self.run.status.metrics.collected(self.collecting_since.elapsed());
        let bytes_before = self.collected_bytes;
        let messages = self.take_batch();
        let bytes = bytes_before - self.collected_bytes;
        let pace = self.run.tuning().pace;
        self.paced_until = Instant::now() + pace * u32::try_from(messages.len()).unwrap_or(u32::MAX);
        let ends: Arc<[BatchEnd]> = self.ends_of(&messages).into();
        let messages: Vec<_> = messages.into_iter().map(Message::new).collect();
        events::batch_begins(&self.run.status, &self.run.settings, &messages);
        let committer = self.run.committer.clone();
        let batch = Batch::new(messages, committer.clone(), Arc::clone(&ends));
        let callback = Arc::clone(&self.run.callback);
        // Called, and its error shown and dropped, inside the task, so that a panic in any of that is caught as well.
        let callback = async move {
            let mut call = call();
            callback(batch, &mut call);
            call.await.map_err(|error| Chain(&*error).to_string())
        };
        let callback = committer.inside(Handed::Ends(Arc::clone(&ends)), callback);
        let status = Arc::clone(&self.run.status);
        let callback = async move {
            let _however_it_ends = InTime(status);
            callback.await
        };
        let task = self.run.cx.spawn_on(&self.run.callback_processor, "messages_processing", callback);
        let began = Instant::now();
        self.phase =
            Phase::Processing(Processing { task, bytes, ends, began, warned: false, overdue: false });
    }

    /// As many of the collected messages as one batch may have; the rest stays for the next one.
    fn take_batch(&mut self) -> Vec<ffi::Message> {
        let (batch_max, bytes_max) = (self.run.tuning().batch_max, self.run.settings.batch_bytes_max);
        let mut rest = Vec::new();
        if batch_max < self.messages.len() || bytes_max < self.collected_bytes {
            let mut bytes = 0;
            let fits = self.messages.iter().take(batch_max).take_while(|message| {
                bytes += message.size();
                bytes <= bytes_max
            });
            // One that is too large goes alone.
            rest = self.messages.split_off(fits.count().max(1));
        }
        self.collected_bytes = rest.iter().map(ffi::Message::size).sum();
        std::mem::replace(&mut self.messages, rest)
    }

    fn ends_of(&self, messages: &[ffi::Message]) -> Vec<BatchEnd> {
        let ledger = self.run.status.ledger();
        let mut ends: Vec<BatchEnd> = Vec::new();
        for run in messages.chunk_by(is_same_partition) {
            let Some(last) = run.last() else { continue };
            let Some(end) =
                ledger.end(last.topic(), last.partition(), last.offset() + 1, last.leader_epoch())
            else {
                continue;
            };
            let known = ends
                .iter_mut()
                .rev()
                .find(|known| known.partition == end.partition && Arc::ptr_eq(&known.topic, &end.topic));
            match known {
                Some(known) => *known = BatchEnd { messages: known.messages + run.len(), ..end },
                None => ends.push(BatchEnd { messages: run.len(), ..end }),
            }
        }
        ends
    }

    pub(super) fn on_callback_ended(&mut self, result: Result<Result<(), String>, TaskError>) {
        let Phase::Processing(processing) = std::mem::replace(&mut self.phase, Phase::Collecting) else {
            return;
        };
        let Processing { ends, began, overdue, .. } = processing;
        self.collecting_since = Instant::now();
        // What the callback asked for before it ended stands, whichever way it ended.
        while let Ok(request) = self.run.requests.try_recv() {
            self.on_request(request);
        }
        let took = began.elapsed();
        let failure = match result {
            _ if overdue => Failure::TimedOut,
            Ok(Ok(())) => {
                self.run.status.ledger().processed(&ends);
                self.on_processed(&ends);
                self.note_collected();
                return events::batch_succeeded(&self.run.status, &ends, took);
            }
            Ok(Err(error)) => Failure::Error(error),
            Err(TaskError::Panicked { message }) => Failure::Panicked(message),
            Err(_) => Failure::Cancelled,
        };
        let is_ending = self.stopping || self.failure.is_some();
        let delay = (!is_ending).then_some(self.run.tuning().restart_delay);
        let rest = self.take_out_processed(&ends);
        events::batch_failed(&self.run.status, &self.run.settings, &rest, &failure, took, delay);
        let failed = self.run.status.ledger().failed(&ends);
        if let Some(delay) = delay {
            self.run.status.enter(State::Backoff);
            self.phase = Phase::Backoff { until: Instant::now() + delay, failed };
        }
    }

    /// A callback that goes on, or fails, is done with a part of its batch.
    pub(super) fn on_processed_in_part(&mut self, ends: Vec<BatchEnd>) {
        self.run.status.ledger().processed_in_part(&ends);
        self.on_processed(&ends);
        events::processed_in_part(&self.run.status, &ends);
        self.processed_in_part = ends;
    }

    /// What is left of a batch whose first part was processed.
    fn take_out_processed(&mut self, ends: &[BatchEnd]) -> Vec<BatchEnd> {
        let processed = std::mem::take(&mut self.processed_in_part);
        let rest = ends.iter().map(|end| {
            let done = processed.iter().find(|done| done.is_of(&end.topic, end.partition));
            let messages = end.messages - done.map_or(0, |done| done.messages.min(end.messages));
            BatchEnd { messages, ..end.clone() }
        });
        rest.collect()
    }

    /// What is collected already is still to be processed.
    fn note_collected(&self) {
        let mut ledger = self.run.status.ledger();
        for run in self.messages.chunk_by(is_same_partition) {
            ledger.taken(run[0].topic(), run[0].partition(), taken(run));
        }
    }

    /// Reads on after a failed batch: what was not committed comes again.
    pub(super) fn roll_back(&mut self) {
        let Phase::Backoff { failed, .. } = std::mem::replace(&mut self.phase, Phase::Collecting) else {
            return;
        };
        self.enter_state();
        self.collecting_since = Instant::now();
        if !self.in_transactions.is_empty() {
            return self.on_unresolved();
        }
        let positions =
            self.run.status.ledger().rollback(&failed, self.run.settings.commit_policy.is_automatic());
        if positions.is_empty() {
            return;
        }
        // What was collected behind it comes again too.
        let is_set_back = |message: &ffi::Message| {
            positions.iter().any(|it| it.partition == message.partition() && *it.topic == *message.topic())
        };
        self.messages.retain(|message| !is_set_back(message));
        self.collected_bytes = self.messages.iter().map(ffi::Message::size).sum();
        match self.consumer.seek(&positions) {
            Ok(()) => events::rolled_back(&self.run.status, &positions),
            Err(error) => {
                // Reading on would skip the failed batch, so a new client begins at the last commit.
                events::rollback_failed(&self.run.status, &error);
                self.failure = Some(ClientFailure::Broken);
            }
        }
    }
}

/// Says that no callback is past its limit, once this one has let go.
struct InTime(Arc<Status>);

impl Drop for InTime {
    fn drop(&mut self) {
        self.0.callback_in_time();
    }
}

fn taken(run: &[ffi::Message]) -> Taken {
    let (first, last) = (&run[0], &run[run.len() - 1]);
    let timestamp_ms = first.timestamp().map(|timestamp| timestamp.millis());
    Taken { offset: first.offset(), timestamp_ms, next: last.offset() + 1 }
}

fn is_same_partition(a: &ffi::Message, b: &ffi::Message) -> bool {
    a.partition() == b.partition() && a.topic_id() == b.topic_id()
}
