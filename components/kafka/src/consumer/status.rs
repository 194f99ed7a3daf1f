//! What is known of a consumer from outside its task: by probes, metrics and whoever starts it.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mainspring_core::Health;
use mainspring_metrics::{Collector, Snapshot, UserverView};

use crate::client::ClientState;
use crate::consumer::ledger::Ledger;
use crate::consumer::metrics::Metrics;

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
    /// Waiting after a failure.
    Backoff,
    /// Its task ended by a bug.
    Failed,
}

impl State {
    const ALL: [(State, &str); 6] = [
        (State::Stopped, "stopped"),
        (State::Starting, "starting"),
        (State::Joining, "joining"),
        (State::Running, "running"),
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
    overdue: AtomicBool,
    ledger: Mutex<Ledger>,
}

impl Status {
    pub(crate) fn new(client: ClientState, metrics: Metrics) -> Status {
        Status {
            client,
            metrics,
            state: AtomicU8::new(State::Stopped as u8),
            overdue: AtomicBool::new(false),
            ledger: Mutex::default(),
        }
    }

    pub(crate) fn component(&self) -> &str {
        self.client.component()
    }

    pub(crate) fn enter(&self, state: State) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    /// Whether a callback was cancelled and has not ended yet.
    pub(crate) fn set_overdue(&self, overdue: bool) {
        self.overdue.store(overdue, Ordering::Relaxed);
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
        if self.overdue.load(Ordering::Relaxed) {
            return Health::fallback("a callback outlasts `max_callback_duration` and does not end");
        }
        if self.is(State::Backoff) {
            return Health::fallback("waiting to read again after a failure");
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
            let assigned: Vec<_> = ledger.counts().map(|(topic, count)| (topic.to_owned(), count)).collect();
            (assigned, ledger.progress())
        };
        let states = State::ALL.map(|(state, name)| (name, self.is(state)));
        self.client.collect(snapshot);
        self.metrics.collect(snapshot, &states, &assigned, &progress, &self.client.statistics());
    }

    fn collect_userver(&self, view: &mut UserverView) {
        self.client.collect_userver(view);
        self.metrics.collect_userver(view);
    }
}
