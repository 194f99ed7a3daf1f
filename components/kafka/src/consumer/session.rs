//! The life of one client as a state machine: a closed set of events, one handler for each, and what follows from them.
//!
//! | Event | Effect |
//! |---|---|
//! | messages | into the batch being collected; a full batch goes to the callback |
//! | timer | a batch that is old enough goes to the callback; a callback is warned about or cancelled; reading goes on |
//! | callback ended | processed, or failed: then back to the last commit after a delay |
//! | offsets wanted by a transaction | admitted by the ledger, given with the member's generation |
//! | transaction ended | committed: noted as a commit; nobody knows: another client reads on at what is committed |
//! | commit wanted, or due by the policy | admitted by the ledger, sent when no other is in flight |
//! | commit answered | noted; whoever waits is told |
//! | assigned | the listener is asked where; reading begins |
//! | revoked | nothing is taken any more; once the batch and its commits are done, or too late, the partitions are handed back |
//! | lost | handed back at once, nothing is committed |
//! | end of a partition | the listener is told |
//! | command | a partition is paused, resumed, or read elsewhere |
//! | tuned | reading pauses or goes on; the next batch has another size, or comes later |
//! | workers have news | with `concurrency`: how far partitions have come is noted, partitions are paused and resumed |
//! | error, log, statistics | reported; a fatal error ends the client |
//! | new credentials | given to the client, which uses them for its next connection |
//! | new brokers, certificates or keys | the client ends as for a stop, and another one takes over at once |
//! | stop | see [`Session::close`] |
//!
//! Failed batches do not pause their partitions: nothing is taken before the delay is over, and a seek makes librdkafka
//! drop what it fetched before. Pausing would make it resume where the failed batch ended.

mod batches;
mod closing;
mod concurrent;
mod control;
mod listening;
mod rebalances;
mod transactions;

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use mainspring_engine::TaskError;
use mainspring_kafka_ffi::{
    self as ffi, Consumer, ConsumerEvent, KafkaCode, KafkaError, MessageError, TopicPartition,
};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::consumer::batch::{CommitRequest, Handed, Request, What, next_request};
use crate::consumer::commits::{Commits, Outcome};
use crate::consumer::config::CommitPolicy;
use crate::consumer::events;
use crate::consumer::ledger::{Admitted, BatchEnd, Commit, Key};
use crate::consumer::listener::Notice;
use crate::consumer::run::{CallbackTask, ClientFailure, Run};
use crate::consumer::session::concurrent::{Concurrent, CrewEvent};
use crate::consumer::session::control::PendingSeek;
use crate::consumer::session::listening::{Assigning, ListenerResult, Listening, listener_end};
use crate::consumer::status::State;
use crate::consumer::transactional::InTransactions;

/// How many times per `max.poll.interval.ms` the client is polled when nothing else happens: librdkafka puts a member out
/// that was not polled for that long, and with events instead of blocking calls idling counts as not polling.
const POLLS_PER_INTERVAL: u32 = 3;

/// One client and everything that depends on it.
pub(crate) struct Session<'run> {
    run: &'run mut Run,
    consumer: Consumer,
    phase: Phase,
    /// With `concurrency`; `phase` stays [`Phase::Collecting`] then, and each fetch is handed in at once.
    concurrent: Option<Concurrent>,
    /// The batch being collected.
    messages: Vec<ffi::Message>,
    /// Bytes of keys and payloads in `messages`.
    collected_bytes: usize,
    errors: Vec<MessageError>,
    collecting_since: Instant,
    /// When it is handed out even if it is not full.
    collect_until: Instant,
    /// No message is taken before: those handed out last use up what the limit of messages per second allows.
    paced_until: Instant,
    commits: Commits,
    /// When what was processed is committed, by a policy that does it now and then.
    commit_at: Option<Instant>,
    /// The part of the running batch that its callback is done with, once it is known to fail.
    processed_in_part: Vec<BatchEnd>,
    listening: Option<Listening>,
    assigning: Option<Assigning>,
    seeks: Vec<PendingSeek>,
    in_transactions: InTransactions,
    revoking: Option<Revoking>,
    rebalancing_since: Option<Instant>,
    poll_by: Instant,
    stopping: bool,
    /// The group is being left.
    closing: bool,
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
    task: CallbackTask,
    /// Of its messages.
    bytes: usize,
    ends: Arc<[BatchEnd]>,
    began: Instant,
    warned: bool,
    /// It was cancelled at its limit.
    overdue: bool,
}

/// How long a cancelled callback may take to let go before it counts as stuck and the client leaves the group: its partitions
/// are better off elsewhere.
pub(crate) const CANCELLED_CALLBACK_MAX: Duration = Duration::from_secs(10);

struct Revoking {
    partitions: Vec<TopicPartition>,
    since: Instant,
    until: Instant,
    /// The batch is done, so that only its commit is waited for.
    awaits_commits: bool,
    /// How long its listener is waited for, once it is told.
    listener_until: Option<Instant>,
    /// The listener is done with it, or there is none.
    told: bool,
}

enum Event {
    Client(ConsumerEvent),
    /// Messages were added from this index on.
    Messages(usize),
    Callback(Result<Result<(), String>, TaskError>),
    Crew(CrewEvent),
    Request(Request),
    Listener(ListenerResult),
    Access,
    Tuned,
    Timer,
    Stop,
}

impl<'run> Session<'run> {
    pub(crate) fn new(run: &'run mut Run, consumer: Consumer) -> Session<'run> {
        let now = Instant::now();
        run.status.enter(State::Joining);
        run.status.paused(run.tuning().paused);
        let concurrent = run.settings.concurrency.map(|concurrency| Concurrent::new(run, concurrency));
        Session {
            concurrent,
            consumer,
            phase: Phase::Collecting,
            messages: Vec::new(),
            collected_bytes: 0,
            errors: Vec::new(),
            collecting_since: now,
            collect_until: now,
            paced_until: now,
            commits: Commits::default(),
            commit_at: None,
            processed_in_part: Vec::new(),
            listening: run.listener.clone().map(Listening::new),
            assigning: None,
            seeks: Vec::new(),
            in_transactions: InTransactions::default(),
            revoking: None,
            rebalancing_since: Some(now),
            poll_by: now,
            stopping: false,
            closing: false,
            closed: false,
            failure: None,
            run,
        }
    }

    /// Consumes until told to stop or until the client fails; either way the client is gone afterwards.
    pub(crate) async fn run(mut self) -> Result<(), ClientFailure> {
        while !self.stopping && self.failure.is_none() {
            self.step().await;
            // Consumers may share one thread; one with a long backlog must let the others in.
            tokio::task::coop::consume_budget().await;
        }
        self.close().await
    }

    async fn step(&mut self) {
        self.run.status.metrics.polled();
        match self.next_event().await {
            Event::Client(event) => self.on_client_event(event),
            Event::Messages(added_from) => self.on_messages(added_from),
            Event::Callback(result) => self.on_callback_ended(result),
            Event::Crew(event) => self.on_crew(event),
            Event::Request(request) => self.on_request(request),
            Event::Listener(result) => self.on_listener(result),
            Event::Access => self.on_access(),
            Event::Tuned => self.on_tuned(),
            Event::Timer => self.on_timer(),
            Event::Stop => self.stopping = true,
        }
        self.settle();
    }

    async fn next_event(&mut self) -> Event {
        let timer = self.next_timer();
        let added_from = self.messages.len();
        let room = self.room();
        let takes_messages = self.takes_messages();
        let Session { run, consumer, phase, concurrent, messages, errors, stopping, listening, .. } = self;
        let consumer = &*consumer;
        tokio::select! {
            biased;
            () = run.stop.cancelled(), if !*stopping => Event::Stop,
            event = poll_fn(|cx| consumer.poll_event(cx)) => Event::Client(event),
            request = next_request(&mut run.requests) => Event::Request(request),
            () = changed(&mut run.access) => Event::Access,
            result = callback_end(phase) => Event::Callback(result),
            result = listener_end(listening) => Event::Listener(result),
            event = Concurrent::next(concurrent) => Event::Crew(event),
            () = changed(&mut run.tuning) => Event::Tuned,
            _ = poll_fn(|cx| consumer.poll_batch(cx, room, messages, errors)), if takes_messages => {
                Event::Messages(added_from)
            }
            () = sleep_until(timer) => Event::Timer,
        }
    }

    fn takes_messages(&self) -> bool {
        let is_ending = self.stopping || self.failure.is_some();
        // Workers go on with other partitions while some are revoked.
        let may_take = match &self.concurrent {
            Some(concurrent) => 0 < concurrent.room,
            None => matches!(self.phase, Phase::Collecting) && self.revoking.is_none(),
        };
        may_take && !is_ending && !self.run.tuning().paused && self.paced_until <= Instant::now()
    }

    /// How many messages may be taken at once.
    fn room(&self) -> usize {
        match &self.concurrent {
            Some(concurrent) => concurrent.room,
            None => self.run.tuning().batch_max.saturating_sub(self.messages.len()),
        }
    }

    /// The one timer: whatever is due first.
    fn next_timer(&self) -> Instant {
        let limit = self.run.settings.max_callback_duration;
        let phase = match &self.phase {
            Phase::Collecting if Instant::now() < self.paced_until => Some(self.paced_until),
            Phase::Collecting => {
                (self.takes_messages() && !self.messages.is_empty()).then_some(self.collect_until)
            }
            Phase::Processing(Processing { overdue: true, .. }) if self.failure.is_some() => None,
            Phase::Processing(Processing { began, overdue: true, .. }) => {
                Some(*began + limit + CANCELLED_CALLBACK_MAX)
            }
            Phase::Processing(Processing { began, warned: true, .. }) => Some(*began + limit),
            Phase::Processing(Processing { began, .. }) => Some(*began + limit / 2),
            Phase::Backoff { until, .. } => Some(*until),
        };
        let revoking = self.revoking.as_ref().map(|it| it.listener_until.unwrap_or(it.until));
        let assigning = self.assigning.as_ref().map(|assigning| assigning.until);
        let seek = self.seeks.iter().map(|pending| pending.again).min();
        let crew = self.concurrent.as_ref().map(Concurrent::timer);
        [phase, crew, revoking, assigning, seek, self.commit_at, self.commits.due()]
            .into_iter()
            .flatten()
            .fold(self.poll_by, Instant::min)
    }

    /// What follows from any event.
    fn settle(&mut self) {
        self.hand_back_revoked();
        self.send_commits();
        if self.concurrent.is_some() {
            return;
        }
        let has_messages = self.takes_messages() && !self.messages.is_empty();
        if has_messages && (self.is_full() || self.collect_until <= Instant::now()) {
            self.begin_batch();
        }
        self.show_held();
    }

    fn show_held(&self) {
        let processing = match &self.phase {
            Phase::Processing(processing) => processing.bytes,
            Phase::Collecting | Phase::Backoff { .. } => 0,
        };
        self.run.status.held_bytes(self.collected_bytes + processing);
    }

    fn is_full(&self) -> bool {
        self.run.tuning().batch_max <= self.messages.len()
            || self.run.settings.batch_bytes_max <= self.collected_bytes
    }

    fn on_timer(&mut self) {
        let now = Instant::now();
        if self.poll_by <= now {
            // The turn of the loop that follows polls the client.
            self.poll_by = now + self.run.settings.poll_interval / POLLS_PER_INTERVAL;
        }
        if self.commit_at.is_some_and(|at| at <= now) {
            self.commit_processed();
        }
        if self.assigning.as_ref().is_some_and(|assigning| assigning.until <= now) {
            self.give_up_assigning("it takes too long");
        }
        self.retry_seeks(now);
        self.on_crew_timer(now);
        let limit = self.run.settings.max_callback_duration;
        match &mut self.phase {
            Phase::Processing(processing) if processing.overdue => {
                if processing.began + limit + CANCELLED_CALLBACK_MAX <= now && self.failure.is_none() {
                    events::callback_stuck(&self.run.status, &processing.ends);
                    self.failure = Some(ClientFailure::StuckCallback);
                }
            }
            Phase::Processing(processing) if processing.began + limit <= now => {
                processing.overdue = true;
                processing.task.cancel();
                events::callback_timed_out(&self.run.status, &processing.ends, limit);
            }
            Phase::Processing(processing) if !processing.warned && processing.began + limit / 2 <= now => {
                processing.warned = true;
                events::callback_is_slow(&self.run.status, &processing.ends, limit);
            }
            Phase::Backoff { until, .. } if *until <= now => self.roll_back(),
            Phase::Collecting | Phase::Processing(_) | Phase::Backoff { .. } => {}
        }
    }

    fn on_tuned(&mut self) {
        let tuning = self.run.tuning();
        events::tuned(&self.run.status, &tuning);
        self.run.status.paused(tuning.paused);
        if let Some(concurrent) = &self.concurrent {
            concurrent.crew.tune(tuning.paused, tuning.batch_max, tuning.restart_delay);
        }
        if tuning.pace.is_zero() {
            self.paced_until = Instant::now();
        }
        if matches!(self.run.status.state(), State::Running | State::Paused) {
            self.enter_state();
        }
    }

    // Commits.

    fn on_request(&mut self, request: Request) {
        match request {
            Request::Commit(request) => self.on_commit_wanted(request),
            Request::Processed(ends) => self.on_processed_in_part(ends),
            Request::Command(command) => self.on_command(command),
            Request::Transaction(request) => self.on_transaction(request),
        }
    }

    fn on_commit_wanted(&mut self, request: CommitRequest) {
        let admitted = self.admit(&request.what);
        if let Some((topic, partition)) = admitted.refused.first() {
            events::commit_refused(&self.run.status, topic, *partition);
        }
        self.commits.add(admitted, request.reply, Instant::now());
    }

    /// A callback is done with something, which the policy may commit now or a little later.
    fn on_processed(&mut self, ends: &[BatchEnd]) {
        match self.run.settings.commit_policy {
            CommitPolicy::Manual => {}
            CommitPolicy::AfterBatch => {
                let admitted = self.run.status.ledger().admit(ends);
                self.commits.add_unasked(admitted, Instant::now());
            }
            CommitPolicy::Periodic => {
                let interval = self.run.settings.commit_interval;
                self.commit_at.get_or_insert_with(|| Instant::now() + interval);
            }
        }
    }

    /// What may be committed of what is wanted.
    fn admit(&mut self, what: &What) -> Admitted {
        match what {
            What::Batch(Handed::Ends(ends)) => self.run.status.ledger().admit(ends),
            What::Batch(Handed::Lot(lent)) => self.admit_lot(lent),
            What::Processed => {
                self.look();
                self.run.status.ledger().admit_processed(|_, _| true)
            }
            What::ProcessedOf((topic, partition)) => {
                self.look();
                let is_wanted = |of: &str, number: i32| *of == **topic && number == *partition;
                self.run.status.ledger().admit_processed(is_wanted)
            }
        }
    }

    /// Commits what was processed, unless that is up to the user.
    fn commit_processed(&mut self) {
        self.look();
        self.commit_at = None;
        if self.run.settings.commit_policy.is_automatic() {
            let admitted = self.run.status.ledger().admit_processed(|_, _| true);
            self.commits.add_unasked(admitted, Instant::now());
        }
    }

    fn send_commits(&mut self) {
        let Some((offsets, tag)) = self.commits.next(Instant::now()) else { return };
        if let Err(error) = self.consumer.commit_async(&offsets, tag) {
            self.on_committed(tag, &Err(error), &[]);
        }
    }

    fn on_committed(&mut self, tag: usize, result: &Result<(), KafkaError>, offsets: &[TopicPartition]) {
        let answer = {
            let mut ledger = self.run.status.ledger();
            let is_ours = |key: &Key, commit: &Commit| ledger.holds(key, commit);
            let Some(answer) = self.commits.answered(tag, result, offsets, Instant::now(), is_ours) else {
                return;
            };
            for (key, commit, _) in answer.offsets.iter().filter(|(.., it)| *it == Outcome::Committed) {
                ledger.committed(key, commit);
            }
            answer
        };
        if answer.offsets.iter().any(|(.., it)| *it == Outcome::Committed) {
            self.run.status.client.on_answer();
        }
        events::committed(&self.run.status, &self.run.settings, &answer);
        if answer.offsets.iter().any(|(.., outcome)| outcome.is_group_gone()) {
            // librdkafka 2.12.1 goes on as a member of a group that there is not, for ever (fixed in 2.15).
            events::group_is_gone(&self.run.status);
            self.failure = Some(ClientFailure::Broken);
        }
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
            ConsumerEvent::Stats(json) => {
                self.run.status.client.on_stats(&json);
                self.tell(Notice::Statistics(json));
            }
            ConsumerEvent::Closed => self.closed = true,
            // SASL/OAUTHBEARER is not among the mechanisms that the configuration allows.
            _ => {}
        }
    }

    fn on_access(&mut self) {
        let access = self.run.access.borrow_and_update();
        if access.generation != self.run.generation {
            self.failure.get_or_insert(ClientFailure::Replaced);
        } else if let Some(credentials) = &access.credentials {
            let (username, password) = (credentials.username.expose(), credentials.password.expose());
            self.run.status.client.on_credentials(self.consumer.set_credentials(username, password));
        }
    }

    fn on_error(&mut self, error: &KafkaError) {
        self.tell_error(error);
        if error.code == KafkaCode::MAX_POLL_EXCEEDED {
            return events::poll_exceeded(&self.run.status, error);
        }
        self.run.status.client.on_error(error);
        if error.fatal {
            self.failure = Some(ClientFailure::Fatal);
        }
    }
}

/// The next change of what counts; never once nobody can change it.
async fn changed<T>(value: &mut watch::Receiver<T>) {
    if value.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The end of the running callback; never when there is none.
async fn callback_end(phase: &mut Phase) -> Result<Result<(), String>, TaskError> {
    match phase {
        Phase::Processing(processing) => (&mut processing.task).await,
        Phase::Collecting | Phase::Backoff { .. } => std::future::pending().await,
    }
}
