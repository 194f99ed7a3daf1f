//! What a consumer reports: each event once, its log line and its figures together. Payloads are never logged.

use std::collections::BTreeMap;
use std::time::Duration;

use mainspring_kafka_ffi::{KafkaError, MessageError, TopicPartition};
use tokio::time::Instant;

use crate::client::{is_logged_at, log_at};
use crate::consumer::batch::CommitRequest;
use crate::consumer::commits::{Answer, Outcome};
use crate::consumer::config::Settings;
use crate::consumer::crew::Failed;
use crate::consumer::decode::Undecodable;
use crate::consumer::lanes::Lot;
use crate::consumer::ledger::{BatchEnd, Commit, Key};
use crate::consumer::message::Message;
use crate::consumer::run::ClientFailure;
use crate::consumer::status::Status;
use crate::consumer::tuning::Tuning;

/// Why a batch failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    Error(String),
    Panicked(String),
    TimedOut,
    Cancelled,
}

impl Failure {
    /// The value of the label `error_type`.
    fn name(&self) -> &'static str {
        match self {
            Self::Error(_) => "error",
            Self::Panicked(_) => "panic",
            Self::TimedOut => "timeout",
            Self::Cancelled => "cancelled",
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Error(text) | Self::Panicked(text) => text,
            Self::TimedOut => "it took longer than `max_callback_duration`",
            Self::Cancelled => "it was cancelled",
        }
    }
}

pub(crate) fn started(status: &Status, settings: &Settings) {
    tracing::info!(
        component = status.component(),
        group = settings.group,
        topics = settings.topics.join(","),
        "Started consuming"
    );
}

pub(crate) fn stopped(status: &Status, settings: &Settings) {
    tracing::info!(component = status.component(), group = settings.group, "Stopped consuming");
}

/// The client could not be created, or could not subscribe.
pub(crate) fn client_refused(status: &Status, error: &dyn std::fmt::Display) {
    tracing::error!(component = status.component(), %error, "Client cannot be created");
}

/// There will be another client.
pub(crate) fn starts_anew(status: &Status, failure: ClientFailure, delay: Duration) {
    let reason = match failure {
        ClientFailure::Fatal | ClientFailure::Broken | ClientFailure::Replaced => "fatal",
        ClientFailure::StuckCallback => "poll_exceeded",
    };
    let delay_ms = delay.as_millis();
    tracing::warn!(component = status.component(), reason, delay_ms, "Consumer starts anew after a delay");
    status.metrics.restarts(reason).inc();
}

pub(crate) fn poll_exceeded(status: &Status, error: &KafkaError) {
    tracing::error!(component = status.component(), %error, "Member was put out of its group for not polling");
    status.metrics.restarts("poll_exceeded").inc();
}

pub(crate) fn assigned(status: &Status, settings: &Settings, protocol: &str, partitions: &[TopicPartition]) {
    status.metrics.rebalances("assign", settings.protocol).inc();
    for TopicPartition { topic, partition, .. } in partitions {
        tracing::info!(component = status.component(), group = settings.group, %topic, partition, protocol, "Partition assigned");
    }
}

pub(crate) fn revoked(
    status: &Status,
    settings: &Settings,
    protocol: &str,
    partitions: &[TopicPartition],
    lost: bool,
) {
    status.metrics.rebalances(if lost { "lost" } else { "revoke" }, settings.protocol).inc();
    for TopicPartition { topic, partition, .. } in partitions {
        let component = status.component();
        if lost {
            tracing::warn!(component, group = settings.group, %topic, partition, protocol, "Partition lost");
        } else {
            tracing::info!(component, group = settings.group, %topic, partition, protocol, "Partition revoked");
        }
    }
}

/// A revocation waited for its batch for as long as it may.
pub(crate) fn handed_back_unfinished(status: &Status, partitions: &[TopicPartition], waited: Duration) {
    let names = partitions.iter().map(|revoked| format!("{}[{}]", revoked.topic, revoked.partition));
    tracing::warn!(
        component = status.component(),
        partitions = names.collect::<Vec<_>>().join(", "),
        waited_ms = waited.as_millis(),
        "Partitions are handed back before their batch is done; its messages may be processed twice"
    );
}

pub(crate) fn rebalance_failed(status: &Status, error: &KafkaError) {
    tracing::error!(component = status.component(), %error, "Rebalance could not be answered");
}

/// An entry of the fetch queue that is no message.
pub(crate) fn fetch_error(
    status: &Status,
    MessageError { code, text, topic, partition, offset }: &MessageError,
) {
    let component = status.component();
    status.metrics.unreadable(topic, &code.name());
    if status.unreadable(topic, *partition) {
        tracing::error!(component, topic, partition, offset, %code, error = text, "Partition cannot be read");
    } else {
        tracing::debug!(component, topic, partition, offset, %code, error = text, "Partition still cannot be read");
    }
}

/// Messages are handed to a callback.
pub(crate) fn batch_begins(status: &Status, settings: &Settings, messages: &[Message]) {
    status.metrics.batch(messages.len());
    for run in messages.chunk_by(|a, b| a.topic_id() == b.topic_id()) {
        status.metrics.topic(run[0].topic()).delivered(run.iter().filter_map(Message::timestamp_ms));
    }
    if !is_logged_at!(settings.operation_level) {
        return;
    }
    for message in messages {
        log_at!(
            settings.operation_level,
            component = status.component(),
            group = settings.group,
            topic = message.topic(),
            partition = message.partition(),
            offset = message.offset(),
            key = settings.key_format.show(message.key()),
            "Message is handed to the callback"
        );
    }
}

pub(crate) fn batch_succeeded(status: &Status, ends: &[BatchEnd], took: Duration) {
    status.metrics.callback(common_topic(ends), "", took);
    for end in ends {
        status.metrics.topic(&end.topic).succeeded(end.messages);
    }
}

/// A part of a batch is done with; the rest comes later, or fails.
pub(crate) fn processed_in_part(status: &Status, ends: &[BatchEnd]) {
    for end in ends {
        status.metrics.topic(&end.topic).succeeded(end.messages);
    }
}

/// A message is nothing that its decoder knows.
pub(crate) fn undecodable(status: &Status, policy: Undecodable, message: &Message, reason: &str) {
    let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
    match policy {
        // The batch that fails over it is logged with the same words.
        Undecodable::Fail => status.metrics.undecodable(topic, "fail"),
        Undecodable::Skip => {
            status.metrics.undecodable(topic, "skip");
            let component = status.component();
            tracing::warn!(
                component,
                topic,
                partition,
                offset,
                reason,
                "Message cannot be decoded; it is skipped"
            );
        }
    }
}

/// Reading goes on at another place because the user wants it.
pub(crate) fn sought(status: &Status, to: &TopicPartition) {
    let (topic, partition, offset) = (&to.topic, to.partition, to.offset.unwrap_or_default());
    tracing::info!(component = status.component(), %topic, partition, offset, "Reading goes on elsewhere");
}

/// The user paused or resumed a partition.
pub(crate) fn partition_paused(status: &Status, (topic, partition): &Key, paused: bool) {
    tracing::info!(component = status.component(), %topic, partition, paused, "Partition paused or resumed");
}

/// Partitions that were paused before a rebalance are read after it.
pub(crate) fn not_paused_again(status: &Status, error: &KafkaError) {
    tracing::error!(component = status.component(), %error, "Partitions could not be paused again after a rebalance");
}

/// A partition that was paused and goes to another member may still be paused when it comes back.
pub(crate) fn not_resumed(status: &Status, error: &KafkaError) {
    tracing::error!(component = status.component(), %error, "Partitions could not be resumed as they are handed back");
}

/// A method of the listener returned an error or panicked.
pub(crate) fn listener_failed(status: &Status, method: &str, error: &str) {
    tracing::error!(component = status.component(), method, error, "Listener failed");
}

/// The listener was too slow for everything that there was to tell.
pub(crate) fn listener_missed(status: &Status, missed: u64) {
    tracing::warn!(
        component = status.component(),
        missed,
        "Listener is too slow; errors or ends of partitions were not told"
    );
}

/// The coordinator does not know the group any more.
pub(crate) fn group_is_gone(status: &Status) {
    tracing::error!(
        component = status.component(),
        "Coordinator does not know the group; the consumer joins it anew"
    );
}

/// The same, for one of several batches under way.
pub(crate) fn lot_succeeded(status: &Status, lot: &Lot, messages: usize, took: Duration) {
    let topic = status.metrics.topic(&lot.key.0);
    topic.process_duration.observe(took.as_secs_f64());
    topic.succeeded(messages);
}

/// One of several batches under way failed, and comes again after `delay`; `None` when the client ends.
pub(crate) fn lot_failed(
    status: &Status,
    settings: &Settings,
    failed: &Failed,
    failure: &Failure,
    delay: Option<Duration>,
) {
    let Failed { lot, n_done, n_undone, took, .. } = failed;
    status.metrics.topic(&lot.key.0).succeeded(*n_done);
    let rest = BatchEnd { messages: *n_undone, ..lot.end() };
    batch_failed(status, settings, &[rest], failure, *took, delay);
}

/// Partitions cannot be kept from being read, or not be read again.
pub(crate) fn flow_failed(status: &Status, error: &KafkaError) {
    tracing::error!(component = status.component(), %error, "Partitions could not be paused or resumed");
}

/// A batch failed and is read again after `delay`; `None` when the client ends.
pub(crate) fn batch_failed(
    status: &Status,
    settings: &Settings,
    ends: &[BatchEnd],
    failure: &Failure,
    took: Duration,
    delay: Option<Duration>,
) {
    status.metrics.callback(common_topic(ends), failure.name(), took);
    for end in ends {
        status.metrics.topic(&end.topic).failed(end.messages);
    }
    let component = status.component();
    let messages = ends.iter().map(|end| end.messages).sum::<usize>();
    let (group, batch) = (&settings.group, last_offsets(ends));
    let (reason, error) = (failure.name(), failure.text());
    let Some(delay) = delay else {
        tracing::error!(
            component,
            group,
            messages,
            batch,
            reason,
            error,
            "Batch failed while the client ends; whoever reads its partitions next is given what was not committed"
        );
        return;
    };
    status.metrics.restarts("callback_error").inc();
    let delay_ms = delay.as_millis();
    tracing::error!(
        component,
        group,
        messages,
        batch,
        reason,
        error,
        delay_ms,
        "Batch failed; its messages are read again after a delay"
    );
}

/// Which messages a batch ends with, such as `orders[0]@41, orders[3]@7`.
fn last_offsets(ends: &[BatchEnd]) -> String {
    let ends = ends.iter().map(|end| format!("{}[{}]@{}", end.topic, end.partition, end.next - 1));
    ends.collect::<Vec<_>>().join(", ")
}

fn common_topic(ends: &[BatchEnd]) -> &str {
    match ends {
        [first, rest @ ..] if rest.iter().all(|end| end.topic == first.topic) => &first.topic,
        _ => "",
    }
}

pub(crate) fn callback_is_slow(status: &Status, ends: &[BatchEnd], limit: Duration) {
    tracing::warn!(
        component = status.component(),
        batch = last_offsets(ends),
        limit_ms = limit.as_millis(),
        "Callback has used half of `max_callback_duration`"
    );
}

pub(crate) fn callback_timed_out(status: &Status, ends: &[BatchEnd], limit: Duration) {
    status.callback_overdue();
    tracing::error!(
        component = status.component(),
        batch = last_offsets(ends),
        limit_ms = limit.as_millis(),
        "Callback outlasts `max_callback_duration`; it is cancelled"
    );
}

/// A cancelled callback goes on all the same.
pub(crate) fn callback_stuck(status: &Status, ends: &[BatchEnd]) {
    status.callback_stuck();
    let batch = last_offsets(ends);
    tracing::error!(
        component = status.component(),
        batch,
        "Callback cannot be cancelled; the consumer leaves its group until it ends"
    );
}

/// A callback that its client did not wait for goes on, and keeps the next client waiting.
pub(crate) fn callback_still_runs(status: &Status) {
    if !status.is_callback_stuck() {
        status.callback_stuck();
        let component = status.component();
        tracing::error!(component, "Callback cannot be cancelled; the consumer waits for its end");
    }
}

/// Reading goes on from these offsets.
pub(crate) fn rolled_back(status: &Status, positions: &[TopicPartition]) {
    for TopicPartition { topic, partition, offset, .. } in positions {
        let offset = offset.unwrap_or_default();
        tracing::info!(component = status.component(), %topic, partition, offset, "Reading again");
    }
}

pub(crate) fn rollback_failed(status: &Status, error: &KafkaError) {
    tracing::error!(component = status.component(), %error, "Partitions could not be set back");
}

pub(crate) fn committed(status: &Status, settings: &Settings, answer: &Answer) {
    let took = Instant::now().saturating_duration_since(answer.sent);
    let failure = answer.offsets.iter().find_map(|(.., outcome)| match outcome {
        Outcome::Committed => None,
        Outcome::Delayed(error) | Outcome::Failed(error) => Some(error),
    });
    status.metrics.commit(&failure.map(super::error::CommitError::name).unwrap_or_default(), took);
    for ((topic, partition), commit, outcome) in &answer.offsets {
        let component = status.component();
        let (group, offset) = (&settings.group, commit.next);
        match outcome {
            Outcome::Committed => {
                log_at!(settings.operation_level, component, group, %topic, partition, offset, "Offset committed");
            }
            Outcome::Delayed(error) => {
                log_at!(settings.operation_level, component, group, %topic, partition, offset, %error, "Offset not committed yet");
            }
            Outcome::Failed(error) => {
                tracing::error!(component, group, %topic, partition, offset, %error, "Offset not committed");
            }
        }
    }
}

/// Something about the consumer was changed while it runs.
pub(crate) fn tuned(status: &Status, tuning: &Tuning) {
    tracing::info!(
        component = status.component(),
        paused = tuning.paused,
        batch_max = tuning.batch_max,
        pace_us = tuning.pace.as_micros(),
        restart_delay_ms = tuning.restart_delay.as_millis(),
        "Consumer tuned"
    );
}

/// A commit came for a partition that is not ours any more, or for a batch that failed.
pub(crate) fn commit_refused(status: &Status, topic: &str, partition: i32) {
    let component = status.component();
    tracing::warn!(
        component,
        topic,
        partition,
        "Commit refused: the partition was taken back, or the batch failed, meanwhile"
    );
}

/// A transaction with offsets of this consumer was committed.
pub(crate) fn committed_by_transaction(
    status: &Status,
    settings: &Settings,
    commits: &BTreeMap<Key, Commit>,
) {
    let (component, group) = (status.component(), &settings.group);
    for ((topic, partition), commit) in commits {
        let offset = commit.next;
        log_at!(settings.operation_level, component, group, %topic, partition, offset, "Offset committed by a transaction");
    }
}

/// Where to read again depends on a transaction of which nobody knows whether it is committed.
pub(crate) fn transaction_unresolved(status: &Status) {
    tracing::warn!(
        component = status.component(),
        "A transaction with offsets of this consumer has no known end; reading goes on with another client, at what is \
         committed then"
    );
}

/// A commit came while there is no client.
pub(crate) fn commit_without_client(status: &Status, request: &CommitRequest) {
    tracing::warn!(component = status.component(), what = ?request.what, "Commit refused: the consumer has no client");
}

/// Something did not end within its part of the stop.
pub(crate) fn stop_overran(status: &Status, what: &str, limit: Duration) {
    let component = status.component();
    tracing::warn!(
        component,
        what,
        limit_ms = limit.as_millis(),
        "Stopping goes on without waiting any longer"
    );
}

pub(crate) fn close_failed(status: &Status, error: &KafkaError) {
    tracing::warn!(component = status.component(), %error, "Group could not be left in order");
}

/// A component is stopped while its scope is still in use.
pub(crate) fn stopped_in_use(component: &str) {
    tracing::warn!(component, "Consumer is stopped before the component that uses it");
}
