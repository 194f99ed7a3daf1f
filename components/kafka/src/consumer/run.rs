//! One run of a consumer, from its start to its stop: a client, and another one after each that fails.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use mainspring_core::ComponentContext;
use mainspring_engine::{Task, TaskProcessor};
use mainspring_kafka_ffi::{ClientConfig, Consumer};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, ReusableBoxFuture};

use crate::client::Credentials;
use crate::consumer::batch::{Batch, Committer, Request, next_request};
use crate::consumer::config::Settings;
use crate::consumer::events;
use crate::consumer::ledger::Key;
use crate::consumer::listener::Listener;
use crate::consumer::session::{CANCELLED_CALLBACK_MAX, Session};
use crate::consumer::status::{State, Status};
use crate::consumer::tuning::Tuning;

/// What a callback's error becomes.
pub(crate) type CallbackError = Box<dyn std::error::Error + Send + Sync>;

/// Room for one call of the callback, used again for the next one.
pub(crate) type Call = ReusableBoxFuture<'static, Result<(), CallbackError>>;

/// The user's callback, whatever its type was: puts a call of it into the room that it is given.
pub(crate) type Callback = Arc<dyn Fn(Batch, &mut Call) + Send + Sync>;

/// Room for calls; empty.
pub(crate) fn call() -> Call {
    Call::new(std::future::ready(Ok(())))
}

/// A call of the callback; its error as text, because what a user's error does when shown or dropped is the callback's affair.
pub(crate) type CallbackTask = Task<Result<(), String>>;

/// Where calls that did not end with their client are left, for the next client to wait for.
pub(crate) type Unfinished = Arc<Mutex<Vec<CallbackTask>>>;

/// What a run needs and keeps.
pub(crate) struct Run {
    pub(crate) cx: ComponentContext,
    pub(crate) settings: Arc<Settings>,
    pub(crate) tuning: watch::Receiver<Tuning>,
    pub(crate) status: Arc<Status>,
    pub(crate) callback: Callback,
    pub(crate) listener: Option<Listener>,
    pub(crate) callback_processor: TaskProcessor,
    pub(crate) committer: Committer,
    pub(crate) requests: mpsc::Receiver<Request>,
    /// Transactions that offsets were given to.
    pub(crate) n_transactions: u64,
    pub(crate) access: watch::Receiver<Access>,
    /// Of the client there is; see [`Access`].
    pub(crate) generation: u64,
    pub(crate) stop: CancellationToken,
    pub(crate) unfinished: Unfinished,
    /// Partitions that the user has paused.
    pub(crate) paused: BTreeSet<Key>,
}

/// What clients connect with.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) client: ClientConfig,
    /// Those that replace the ones in `client`; a client that runs takes them up.
    pub(crate) credentials: Option<Credentials>,
    /// How often `client` has changed; a client that runs has to be replaced then.
    pub(crate) generation: u64,
}

/// Why a client is given up; what happened has been reported already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientFailure {
    /// It is of no use any more, not even for leaving the group.
    Fatal,
    /// It works, but not as it should.
    Broken,
    /// A callback did not end, so that the member must not keep its partitions.
    StuckCallback,
    /// There is something new to connect with, which this one cannot take up.
    Replaced,
}

impl Run {
    /// Consumes until told to stop.
    pub(crate) async fn run(mut self) {
        self.until_callback_ends().await;
        while !self.stop.is_cancelled() {
            self.status.enter(State::Starting);
            if let Err(failure) = self.client().await
                && !self.stop.is_cancelled()
            {
                if failure != ClientFailure::Replaced {
                    events::starts_anew(&self.status, failure, self.tuning().restart_delay);
                    self.back_off().await;
                }
                self.until_callback_ends().await;
            }
        }
        events::stopped(&self.status, &self.settings);
    }

    /// Consumes with one client.
    async fn client(&mut self) -> Result<(), ClientFailure> {
        let (is_new, access) = self.access();
        let refused = |error: &dyn std::fmt::Display| {
            events::client_refused(&self.status, error);
            ClientFailure::Fatal
        };
        let Access { client: mut config, credentials, generation } = access;
        if let Some(credentials) = credentials {
            credentials.set(&mut config).map_err(|error| refused(&error))?;
        }
        if self.listener.as_ref().is_some_and(|listener| listener.wants_end()) {
            config.set("enable.partition.eof", "true").map_err(|error| refused(&error))?;
        }
        let consumer = Consumer::new(config).map_err(|error| refused(&error))?;
        if generation != self.generation {
            self.status.client.on_replaced();
        } else if is_new {
            self.status.client.on_credentials(Ok(()));
        }
        self.generation = generation;
        let topics: Vec<_> = self.settings.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(|error| refused(&error))?;
        events::started(&self.status, &self.settings);
        let result = Session::new(self, consumer).run().await;
        self.status.client.on_client_gone();
        result
    }

    /// What to connect with, and whether this is the first time that it is asked for.
    fn access(&mut self) -> (bool, Access) {
        let access = self.access.borrow_and_update();
        (access.has_changed(), access.clone())
    }

    async fn back_off(&mut self) {
        self.status.enter(State::Backoff);
        let delay = self.tuning().restart_delay;
        self.without_client(tokio::time::sleep(delay)).await;
    }

    /// What a client hands out never overlaps with what the one before it did, so callbacks that outlived theirs come first,
    /// however long they take.
    async fn until_callback_ends(&mut self) {
        let mut callbacks =
            std::mem::take(&mut *self.unfinished.lock().unwrap_or_else(PoisonError::into_inner));
        if callbacks.is_empty() {
            return;
        }
        self.status.enter(State::Backoff);
        let status = Arc::clone(&self.status);
        let ends = async {
            let mut all = join_all(&mut callbacks);
            if timeout(CANCELLED_CALLBACK_MAX, &mut all).await.is_err() {
                events::callback_still_runs(&status);
                drop(all.await);
            }
            status.callback_in_time();
        };
        if !self.without_client(ends).await {
            callbacks.retain(|callback| !callback.is_finished());
            *self.unfinished.lock().unwrap_or_else(PoisonError::into_inner) = callbacks;
        }
    }

    /// Waits for `event` and refuses commits meanwhile; `false` when told to stop first.
    async fn without_client(&mut self, event: impl Future) -> bool {
        let Run { requests, status, stop, .. } = self;
        let refuse = async {
            loop {
                // Whoever waits for an answer finds out when the request is dropped.
                if let Request::Commit(request) = next_request(requests).await {
                    events::commit_without_client(status, &request);
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => false,
            _ = event => true,
            () = refuse => false,
        }
    }

    /// What counts now.
    pub(crate) fn tuning(&self) -> Tuning {
        *self.tuning.borrow()
    }
}
