//! What is known of a consumer from outside its task: by probes, metrics and whoever starts it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mainspring_core::Health;
use mainspring_metrics::{Collector, Snapshot, UserverView};

use crate::client::ClientState;
use crate::consumer::ledger::{Key, Ledger};
use crate::consumer::metrics::Metrics;

const IN_TIME: u8 = 0;
const OVERDUE: u8 = 1;
const STUCK: u8 = 2;

/// What the consumer is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    /// Not started, or stopped.
    Stopped,
    /// Creating its client.
    Starting,
    /// Waiting for partitions.
    Joining,
    /// Reading.
    Running,
    /// Told to read nothing.
    Paused,
    /// Waiting after a failure.
    Backoff,
    /// Its task ended by a bug.
    Failed,
}

impl State {
    const ALL: [(State, &str); 7] = [
        (State::Stopped, "stopped"),
        (State::Starting, "starting"),
        (State::Joining, "joining"),
        (State::Running, "running"),
        (State::Paused, "paused"),
        (State::Backoff, "backoff"),
        (State::Failed, "failed"),
    ];
}

/// Written by the consumer's task, read by anybody.
#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) client: ClientState,
    pub(crate) metrics: Metrics,
    state: AtomicU8,
    paused: AtomicBool,
    /// Failed batches that wait to come again while others go on.
    failed_batches: AtomicUsize,
    /// Bytes of messages that were taken and are not processed.
    held_bytes: AtomicUsize,
    /// How the running callback keeps to its limit: one of the constants below.
    callback: AtomicU8,
    /// Partitions that librdkafka has given up reading.
    unreadable: Mutex<BTreeSet<Key>>,
    /// Partitions that the user has paused.
    paused_partitions: Mutex<BTreeSet<Key>>,
    ledger: Mutex<Ledger>,
}

impl Status {
    pub(crate) fn new(client: ClientState, metrics: Metrics) -> Status {
        Status {
            client,
            metrics,
            state: AtomicU8::new(State::Stopped as u8),
            paused: AtomicBool::new(false),
            failed_batches: AtomicUsize::new(0),
            held_bytes: AtomicUsize::new(0),
            callback: AtomicU8::new(IN_TIME),
            unreadable: Mutex::default(),
            paused_partitions: Mutex::default(),
            ledger: Mutex::default(),
        }
    }

    pub(crate) fn component(&self) -> &str {
        self.client.component()
    }

    pub(crate) fn enter(&self, state: State) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    /// What was entered last.
    pub(crate) fn state(&self) -> State {
        let state = State::ALL.into_iter().find(|(state, _)| self.is(*state));
        state.expect("only states are stored").0
    }

    /// Whether nothing may be taken from any partition.
    pub(crate) fn paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    /// Which partitions may not be read because the user says so.
    pub(crate) fn paused_partitions(&self, paused: BTreeSet<Key>) {
        *self.lock_paused_partitions() = paused;
    }

    fn lock_paused_partitions(&self) -> MutexGuard<'_, BTreeSet<Key>> {
        self.paused_partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many of a topic's partitions may not be read.
    fn count_paused(&self, topic: &str, assigned: usize) -> usize {
        if self.paused.load(Ordering::Relaxed) {
            return assigned;
        }
        self.lock_paused_partitions().iter().filter(|(of, _)| **of == *topic).count()
    }

    /// How many failed batches wait to come again while others go on.
    pub(crate) fn failed_batches(&self, count: usize) {
        self.failed_batches.store(count, Ordering::Relaxed);
    }

    /// How many bytes of messages were taken and are not processed.
    pub(crate) fn held_bytes(&self, bytes: usize) {
        self.held_bytes.store(bytes, Ordering::Relaxed);
    }

    /// No callback is past its limit.
    pub(crate) fn callback_in_time(&self) {
        self.callback.store(IN_TIME, Ordering::Relaxed);
    }

    /// A callback is past its limit and was cancelled.
    pub(crate) fn callback_overdue(&self) {
        self.callback.store(OVERDUE, Ordering::Relaxed);
    }

    /// A cancelled callback does not end.
    pub(crate) fn callback_stuck(&self) {
        self.callback.store(STUCK, Ordering::Relaxed);
    }

    pub(crate) fn is_callback_stuck(&self) -> bool {
        self.callback.load(Ordering::Relaxed) == STUCK
    }

    /// A partition cannot be read; `true` when that is new.
    pub(crate) fn unreadable(&self, topic: &str, partition: i32) -> bool {
        self.unreadable_partitions().insert((topic.into(), partition))
    }

    /// A partition was read, or is not ours any more.
    pub(crate) fn readable(&self, is_over: impl Fn(&Key) -> bool) {
        self.unreadable_partitions().retain(|key| !is_over(key));
    }

    fn unreadable_partitions(&self) -> MutexGuard<'_, BTreeSet<Key>> {
        self.unreadable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held for moments only: a scrape copies out what it needs.
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is(&self, state: State) -> bool {
        self.state.load(Ordering::Relaxed) == state as u8
    }

    pub(crate) fn health(&self) -> Health {
        if self.is(State::Failed) {
            return Health::fatal("the consumer's task ended by a bug; the log says where");
        }
        match self.callback.load(Ordering::Relaxed) {
            IN_TIME => {}
            OVERDUE => return Health::fallback("a callback outlasts `max_callback_duration`"),
            _ => return Health::fatal("a callback outlasts `max_callback_duration` and cannot be cancelled"),
        }
        if 0 < self.failed_batches.load(Ordering::Relaxed) {
            return Health::fallback("failed batches wait to come again");
        }
        if self.is(State::Backoff) {
            return Health::fallback("waiting to read again after a failure");
        }
        if let Some((topic, partition)) = self.unreadable_partitions().first() {
            return Health::fallback(format!("`{topic}`[{partition}] cannot be read; the log says why"));
        }
        match self.client.health() {
            // The client is replaced by a new one.
            Health::Fatal { reason } => Health::fallback(reason),
            health => health,
        }
    }
}

impl Collector for Status {
    fn collect(&self, snapshot: &mut Snapshot) {
        let (assigned, progress) = {
            let ledger = self.ledger();
            let counts = ledger.counts();
            let assigned: Vec<_> = counts
                .map(|(topic, count)| (topic.to_owned(), (count, self.count_paused(topic, count))))
                .collect();
            (assigned, ledger.progress())
        };
        let states = State::ALL.map(|(state, name)| (name, self.is(state)));
        self.client.collect(snapshot);
        self.metrics.collect_memory(snapshot, self.held_bytes.load(Ordering::Relaxed));
        self.metrics.collect(snapshot, &states, &assigned, &progress, &self.client.statistics());
    }

    fn collect_userver(&self, view: &mut UserverView) {
        self.client.collect_userver(view);
        self.metrics.collect_userver(view);
    }
}
