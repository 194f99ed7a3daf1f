//! The life of one client as a state machine: a closed set of events, one handler for each, and what follows from them.
//!
//! | Event | Effect |
//! |---|---|
//! | messages | into the batch being collected; a full batch goes to the callback |
//! | timer | a batch that is old enough goes to the callback; a callback is warned about or cancelled; reading goes on |
//! | callback ended | processed, or failed: then back to the last commit after a delay |
//! | commit wanted | admitted by the ledger, sent when no other is in flight |
//! | commit answered | noted; whoever waits is told |
//! | assigned | reading begins |
//! | revoked | nothing is taken any more; once the batch and its commits are done, or too late, the partitions are handed back |
//! | lost | handed back at once, nothing is committed |
//! | error, log, statistics | reported; a fatal error ends the client |
//! | stop | see [`Session::close`] |
//!
//! Failed batches do not pause their partitions: nothing is taken before the delay is over, and a seek makes librdkafka
//! drop what it fetched before. Pausing would make it resume where the failed batch ended.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use mainspring_engine::{Task, TaskError};
use mainspring_kafka_ffi::{
    self as ffi, Consumer, ConsumerEvent, KafkaCode, KafkaError, MessageError, RebalanceProtocol,
    TopicPartition,
};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::consumer::batch::{Batch, CommitRequest, next_request};
use crate::consumer::commits::Commits;
use crate::consumer::events::{self, Failure};
use crate::consumer::ledger::{BatchEnd, Key};
use crate::consumer::message::Message;
use crate::consumer::run::{CallbackError, ClientFailure, Run};
use crate::consumer::status::State;

/// Longest wait for the running batch before revoked partitions are handed back, and at most half a session.
const REVOKE_WAIT_MAX: Duration = Duration::from_secs(10);

/// Longest waits while stopping: for the running callback, for a cancelled one to let go, for commits under way, for the
/// group to be left, and for the client to be gone. Together they fit into `component_stop_timeout`.
const STOP_CALLBACK_MAX: Duration = Duration::from_secs(10);
const STOP_CANCELLED_CALLBACK_MAX: Duration = Duration::from_secs(1);
const STOP_COMMITS_MAX: Duration = Duration::from_secs(3);
const STOP_CLOSE_MAX: Duration = Duration::from_secs(3);
const STOP_DESTROY_MAX: Duration = Duration::from_secs(3);

/// How many times per `max.poll.interval.ms` the client is polled when nothing else happens: librdkafka puts a member out
/// that was not polled for that long, and with events instead of blocking calls idling counts as not polling.
const POLLS_PER_INTERVAL: u32 = 3;

/// One client and everything that depends on it.
pub(crate) struct Session<'run> {
    run: &'run mut Run,
    consumer: Consumer,
    phase: Phase,
    /// The batch being collected.
    messages: Vec<ffi::Message>,
    errors: Vec<MessageError>,
    /// When it is handed out even if it is not full.
    collect_until: Instant,
    commits: Commits,
    revoking: Option<Revoking>,
    rebalancing_since: Option<Instant>,
    poll_by: Instant,
    stopping: bool,
    closed: bool,
    failure: Option<ClientFailure>,
}

enum Phase {
    /// Taking messages.
    Collecting,
    /// A batch is with the callback.
    Processing(Processing),
    /// A batch failed.
    Backoff { until: Instant, failed: Vec<BatchEnd> },
}

struct Processing {
    task: Task<Result<(), CallbackError>>,
    ends: Arc<[BatchEnd]>,
    began: Instant,
    warned: bool,
    overdue: bool,
}

struct Revoking {
    partitions: Vec<TopicPartition>,
    since: Instant,
    until: Instant,
}

enum Event {
    Client(ConsumerEvent),
    /// Messages were added from this index on.
    Messages(usize),
    Callback(Result<Result<(), CallbackError>, TaskError>),
    Request(CommitRequest),
    Timer,
    Stop,
}

impl<'run> Session<'run> {
    pub(crate) fn new(run: &'run mut Run, consumer: Consumer) -> Session<'run> {
        let now = Instant::now();
        run.status.enter(State::Joining);
        Session {
            consumer,
            phase: Phase::Collecting,
            messages: Vec::new(),
            errors: Vec::new(),
            collect_until: now,
            commits: Commits::default(),
            revoking: None,
            rebalancing_since: Some(now),
            poll_by: now,
            stopping: false,
            closed: false,
            failure: None,
            run,
        }
    }

    /// Consumes until told to stop or until the client fails; either way the client is gone afterwards.
    pub(crate) async fn run(mut self) -> Result<(), ClientFailure> {
        while !self.stopping && self.failure.is_none() {
            self.step().await;
        }
        self.close().await
    }

    async fn step(&mut self) {
        match self.next_event().await {
            Event::Client(event) => self.on_client_event(event),
            Event::Messages(added_from) => self.on_messages(added_from),
            Event::Callback(result) => self.on_callback_ended(result),
            Event::Request(request) => self.on_request(request),
            Event::Timer => self.on_timer(),
            Event::Stop => self.stopping = true,
        }
        self.settle();
    }

    async fn next_event(&mut self) -> Event {
        let timer = self.next_timer();
        let added_from = self.messages.len();
        let room = self.run.settings.max_batch_size.saturating_sub(added_from);
        let takes_messages = self.takes_messages();
        let Session { run, consumer, phase, messages, errors, stopping, .. } = self;
        let consumer = &*consumer;
        tokio::select! {
            biased;
            () = run.stop.cancelled(), if !*stopping => Event::Stop,
            event = poll_fn(|cx| consumer.poll_event(cx)) => Event::Client(event),
            request = next_request(&mut run.requests) => Event::Request(request),
            result = callback_end(phase) => Event::Callback(result),
            _ = poll_fn(|cx| consumer.poll_batch(cx, room, messages, errors)), if takes_messages => {
                Event::Messages(added_from)
            }
            () = sleep_until(timer) => Event::Timer,
        }
    }

    fn takes_messages(&self) -> bool {
        matches!(self.phase, Phase::Collecting) && self.revoking.is_none() && !self.stopping
    }

    /// The one timer: whatever is due first.
    fn next_timer(&self) -> Instant {
        let limit = self.run.settings.max_callback_duration;
        let phase = match &self.phase {
            Phase::Collecting => {
                (self.takes_messages() && !self.messages.is_empty()).then_some(self.collect_until)
            }
            Phase::Processing(Processing { overdue: true, .. }) => None,
            Phase::Processing(Processing { began, warned: true, .. }) => Some(*began + limit),
            Phase::Processing(Processing { began, .. }) => Some(*began + limit / 2),
            Phase::Backoff { until, .. } => Some(*until),
        };
        let revoking = self.revoking.as_ref().map(|revoking| revoking.until);
        [phase, revoking].into_iter().flatten().fold(self.poll_by, Instant::min)
    }

    /// What follows from any event.
    fn settle(&mut self) {
        self.hand_back_revoked();
        self.send_commits();
        if self.takes_messages() && !self.messages.is_empty() {
            let is_full = self.run.settings.max_batch_size <= self.messages.len();
            if is_full || self.collect_until <= Instant::now() {
                self.begin_batch();
            }
        }
    }

    fn on_timer(&mut self) {
        let now = Instant::now();
        if self.poll_by <= now {
            // The turn of the loop that follows polls the client.
            self.poll_by = now + self.run.settings.poll_interval / POLLS_PER_INTERVAL;
        }
        let limit = self.run.settings.max_callback_duration;
        match &mut self.phase {
            Phase::Processing(processing) if processing.overdue => {}
            Phase::Processing(processing) if processing.began + limit <= now => {
                processing.overdue = true;
                processing.task.cancel();
                events::callback_timed_out(&self.run.status, limit);
            }
            Phase::Processing(processing) if !processing.warned && processing.began + limit / 2 <= now => {
                processing.warned = true;
                events::callback_is_slow(&self.run.status, limit);
            }
            Phase::Backoff { until, .. } if *until <= now => self.roll_back(),
            Phase::Collecting | Phase::Processing(_) | Phase::Backoff { .. } => {}
        }
    }

    // Messages and batches.

    fn on_messages(&mut self, added_from: usize) {
        for error in self.errors.drain(..) {
            events::fetch_error(&self.run.status, &error);
        }
        let added = &self.messages[added_from..];
        if added.is_empty() {
            return;
        }
        self.run.status.metrics.polled();
        self.run.status.client.on_answer();
        if added_from == 0 {
            self.collect_until = Instant::now() + self.run.settings.poll_timeout;
        }
        let mut all_ours = true;
        for run in added.chunk_by(is_same_partition) {
            let first = &run[0];
            let is_ours = self.run.status.ledger().taken(first.topic(), first.partition(), first.offset());
            if is_ours {
                self.run.status.metrics.topic(first.topic()).consumed(run.len());
            }
            all_ours &= is_ours;
        }
        if !all_ours {
            self.drop_foreign_messages();
        }
    }

    /// Messages of partitions taken back meanwhile belong to somebody else.
    fn drop_foreign_messages(&mut self) {
        let ledger = self.run.status.ledger();
        self.messages.retain(|message| ledger.owns(message.topic(), message.partition()));
    }

    fn begin_batch(&mut self) {
        let messages = std::mem::take(&mut self.messages);
        let ends: Arc<[BatchEnd]> = self.ends_of(&messages).into();
        let messages: Vec<_> = messages.into_iter().map(Message::new).collect();
        events::batch_begins(&self.run.status, &self.run.settings, &messages);
        let committer = self.run.committer.clone();
        let batch = Batch::new(messages, committer.clone(), Arc::clone(&ends));
        let callback = Arc::clone(&self.run.callback);
        // Called inside the task, so that a panic before the first await is caught as well.
        let callback = async move { callback(batch).await };
        let callback = committer.inside(Arc::clone(&ends), callback);
        let task = self.run.cx.spawn_on(&self.run.callback_processor, "messages_processing", callback);
        let began = Instant::now();
        self.phase = Phase::Processing(Processing { task, ends, began, warned: false, overdue: false });
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

    fn on_callback_ended(&mut self, result: Result<Result<(), CallbackError>, TaskError>) {
        let Phase::Processing(processing) = std::mem::replace(&mut self.phase, Phase::Collecting) else {
            return;
        };
        let Processing { ends, began, overdue, .. } = processing;
        // What the callback asked for before it ended comes before its end.
        while let Ok(request) = self.run.requests.try_recv() {
            self.on_request(request);
        }
        let took = began.elapsed();
        let failure = match result {
            _ if overdue => Failure::TimedOut,
            Ok(Ok(())) => {
                self.run.status.ledger().processed(&ends);
                return events::batch_succeeded(&self.run.status, &ends, took);
            }
            Ok(Err(error)) => Failure::Error(error.to_string()),
            Err(TaskError::Panicked { message }) => Failure::Panicked(message),
            Err(_) => Failure::Cancelled,
        };
        self.run.status.set_overdue(false);
        events::batch_failed(&self.run.status, &self.run.settings, &ends, &failure, took);
        let failed = self.run.status.ledger().failed(&ends);
        if !self.stopping {
            self.run.status.enter(State::Backoff);
            self.phase = Phase::Backoff { until: Instant::now() + self.run.settings.restart_delay, failed };
        }
    }

    /// Reads on after a failed batch: what was not committed comes again.
    fn roll_back(&mut self) {
        let Phase::Backoff { failed, .. } = std::mem::replace(&mut self.phase, Phase::Collecting) else {
            return;
        };
        self.run.status.enter(State::Running);
        let positions = self.run.status.ledger().rollback(&failed);
        if positions.is_empty() {
            return;
        }
        match self.consumer.seek(&positions) {
            Ok(()) => events::rolled_back(&self.run.status, &positions),
            Err(error) => {
                // Reading on would skip the failed batch, so a new client begins at the last commit.
                events::rollback_failed(&self.run.status, &error);
                self.failure = Some(ClientFailure(error.to_string()));
            }
        }
    }

    // Commits.

    fn on_request(&mut self, request: CommitRequest) {
        let admitted = self.run.admit(&request);
        if let Some((topic, partition)) = admitted.refused.first() {
            events::commit_refused(&self.run.status, topic, *partition);
        }
        self.commits.add(admitted, request.reply);
    }

    fn send_commits(&mut self) {
        let Some((offsets, tag)) = self.commits.next(Instant::now()) else { return };
        if let Err(error) = self.consumer.commit_async(&offsets, tag) {
            self.on_committed(tag, &Err(error), &[]);
        }
    }

    fn on_committed(&mut self, tag: usize, result: &Result<(), KafkaError>, offsets: &[TopicPartition]) {
        let Some(answer) = self.commits.answered(tag, result, offsets) else { return };
        for (key, commit, _) in answer.offsets.iter().filter(|(_, _, result)| result.is_ok()) {
            self.run.status.ledger().committed(key, commit);
            self.run.status.client.on_answer();
        }
        events::committed(&self.run.status, &self.run.settings, &answer);
        answer.tell();
    }

    // The client.

    fn on_client_event(&mut self, event: ConsumerEvent) {
        match event {
            ConsumerEvent::Assign(partitions) => self.on_assigned(&partitions),
            ConsumerEvent::Revoke { partitions, lost } => self.on_revoked(partitions, lost),
            ConsumerEvent::Committed { tag, result, offsets } => self.on_committed(tag, &result, &offsets),
            ConsumerEvent::Error(error) => self.on_error(&error),
            ConsumerEvent::Log(line) => self.run.status.client.on_log(&line),
            ConsumerEvent::Stats(json) => self.run.status.client.on_stats(&json),
            ConsumerEvent::Closed => self.closed = true,
            // SASL/OAUTHBEARER is not among the mechanisms that the configuration allows.
            _ => {}
        }
    }

    fn on_error(&mut self, error: &KafkaError) {
        if error.code == KafkaCode::MAX_POLL_EXCEEDED {
            return events::poll_exceeded(&self.run.status, error);
        }
        self.run.status.client.on_error(error);
        if error.fatal {
            self.failure = Some(ClientFailure(error.to_string()));
        }
    }

    fn on_assigned(&mut self, partitions: &[TopicPartition]) {
        // A revocation that was still waiting is overtaken.
        self.hand_back();
        let protocol = self.consumer.rebalance_protocol();
        events::assigned(&self.run.status, &self.run.settings, name_of(protocol), partitions);
        self.run.status.ledger().assign(partitions);
        let result = match protocol {
            RebalanceProtocol::Cooperative => self.consumer.incremental_assign(partitions),
            _ => self.consumer.assign(partitions),
        };
        self.check_rebalance(result);
        self.run.status.client.on_answer();
        if let Some(cluster_id) = self.consumer.cluster_id() {
            self.run.status.client.on_cluster_id(cluster_id);
        }
        if let Some(since) = self.rebalancing_since.take() {
            self.run.status.metrics.rebalanced(since.elapsed());
        }
        if !matches!(self.phase, Phase::Backoff { .. }) {
            self.run.status.enter(State::Running);
        }
    }

    fn on_revoked(&mut self, partitions: Vec<TopicPartition>, lost: bool) {
        self.hand_back();
        let protocol = name_of(self.consumer.rebalance_protocol());
        events::revoked(&self.run.status, &self.run.settings, protocol, &partitions, lost);
        let since = Instant::now();
        self.rebalancing_since.get_or_insert(since);
        let wait = REVOKE_WAIT_MAX.min(self.run.settings.session_timeout / 2);
        let until = if lost { since } else { since + wait };
        self.revoking = Some(Revoking { partitions, since, until });
    }

    /// Hands revoked partitions back once nothing of theirs is under way, or when it takes too long.
    fn hand_back_revoked(&mut self) {
        let Some(Revoking { partitions, since, until }) = &self.revoking else { return };
        let is_revoked = |(topic, partition): &Key| {
            partitions.iter().any(|revoked| revoked.topic == *topic && revoked.partition == *partition)
        };
        let is_processing = match &self.phase {
            Phase::Processing(processing) => {
                processing.ends.iter().any(|end| is_revoked(&(Arc::clone(&end.topic), end.partition)))
            }
            Phase::Collecting | Phase::Backoff { .. } => false,
        };
        let is_busy = is_processing || self.commits.concern(is_revoked);
        if is_busy && Instant::now() < *until {
            return;
        }
        if is_busy && since < until {
            events::handed_back_unfinished(&self.run.status, since.elapsed());
        }
        self.hand_back();
    }

    fn hand_back(&mut self) {
        let Some(Revoking { partitions, .. }) = self.revoking.take() else { return };
        let is_everything = self.consumer.rebalance_protocol() != RebalanceProtocol::Cooperative;
        if is_everything {
            self.run.status.ledger().clear();
        } else {
            self.run.status.ledger().revoke(&partitions);
        }
        self.drop_foreign_messages();
        let ledger = self.run.status.ledger();
        self.commits.forget(|(topic, partition)| !ledger.owns(topic, *partition));
        let is_idle = ledger.counts().next().is_none();
        drop(ledger);
        if is_idle && !matches!(self.phase, Phase::Backoff { .. }) {
            self.run.status.enter(State::Joining);
        }
        let result = if is_everything {
            self.consumer.unassign()
        } else {
            self.consumer.incremental_unassign(&partitions)
        };
        self.check_rebalance(result);
    }

    fn check_rebalance(&mut self, result: Result<(), KafkaError>) {
        if let Err(error) = result {
            events::rebalance_failed(&self.run.status, &error);
            if error.fatal {
                self.failure = Some(ClientFailure(error.to_string()));
            }
        }
    }

    // The end.

    /// Finishes what was begun, leaves the group and ends the client; each step is bounded.
    async fn close(mut self) -> Result<(), ClientFailure> {
        self.stopping = true;
        self.messages = Vec::new();
        let is_processing = |session: &Self| matches!(session.phase, Phase::Processing(_));
        let limit = STOP_CALLBACK_MAX.min(self.run.settings.max_callback_duration);
        if !self.serve_while(is_processing, "callback", limit).await
            && let Phase::Processing(processing) = &self.phase
        {
            processing.task.cancel();
            self.serve_while(is_processing, "cancelled callback", STOP_CANCELLED_CALLBACK_MAX).await;
        }
        if self.failure.is_none() {
            self.serve_while(|session| !session.commits.is_idle(), "commits", STOP_COMMITS_MAX).await;
            match self.consumer.start_close() {
                Ok(()) => {
                    self.serve_while(|session| !session.closed, "leaving the group", STOP_CLOSE_MAX).await;
                }
                Err(error) => events::close_failed(&self.run.status, &error),
            }
        }
        let Session { run, consumer, failure, .. } = self;
        run.status.ledger().clear();
        run.status.set_overdue(false);
        if timeout(STOP_DESTROY_MAX, consumer.destroy()).await.is_err() {
            events::stop_overran(&run.status, "messages that are still held", STOP_DESTROY_MAX);
        }
        failure.map_or(Ok(()), Err)
    }

    /// Serves events for as long as `condition` holds; `false` when `limit` came first.
    async fn serve_while(&mut self, condition: impl Fn(&Self) -> bool, what: &str, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        self.settle();
        while condition(self) {
            if timeout_at(deadline, self.step()).await.is_err() {
                events::stop_overran(&self.run.status, what, limit);
                return false;
            }
        }
        true
    }
}

/// The end of the running callback; never when there is none.
async fn callback_end(phase: &mut Phase) -> Result<Result<(), CallbackError>, TaskError> {
    match phase {
        Phase::Processing(processing) => (&mut processing.task).await,
        Phase::Collecting | Phase::Backoff { .. } => std::future::pending().await,
    }
}

fn is_same_partition(a: &ffi::Message, b: &ffi::Message) -> bool {
    a.partition() == b.partition() && a.topic() == b.topic()
}

fn name_of(protocol: RebalanceProtocol) -> &'static str {
    match protocol {
        RebalanceProtocol::Cooperative => "cooperative",
        _ => "eager",
    }
}
