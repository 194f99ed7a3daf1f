//! One run of a consumer, from its start to its stop: a client, and another one after each that fails.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use mainspring_core::ComponentContext;
use mainspring_engine::TaskProcessor;
use mainspring_kafka_ffi::Consumer;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::consumer::batch::{Batch, CommitRequest, Committer, next_request};
use crate::consumer::config::Settings;
use crate::consumer::events;
use crate::consumer::ledger::Admitted;
use crate::consumer::session::Session;
use crate::consumer::status::{State, Status};

/// What a callback's error becomes.
pub(crate) type CallbackError = Box<dyn std::error::Error + Send + Sync>;

/// The user's callback, whatever its type was.
pub(crate) type Callback = Arc<dyn Fn(Batch) -> BoxFuture<'static, Result<(), CallbackError>> + Send + Sync>;

/// What a run needs and keeps.
pub(crate) struct Run {
    pub(crate) cx: ComponentContext,
    pub(crate) settings: Arc<Settings>,
    pub(crate) status: Arc<Status>,
    pub(crate) callback: Callback,
    pub(crate) callback_processor: TaskProcessor,
    pub(crate) committer: Committer,
    pub(crate) requests: mpsc::Receiver<CommitRequest>,
    pub(crate) stop: CancellationToken,
}

/// Why a client is given up.
#[derive(Debug)]
pub(crate) struct ClientFailure(pub(crate) String);

impl Run {
    /// Consumes until told to stop.
    pub(crate) async fn run(mut self) {
        while !self.stop.is_cancelled() {
            self.status.enter(State::Starting);
            if let Err(ClientFailure(error)) = self.client().await
                && !self.stop.is_cancelled()
            {
                events::client_failed(&self.status, &error, self.settings.restart_delay);
                self.back_off().await;
            }
        }
        events::stopped(&self.status, &self.settings);
    }

    /// Consumes with one client.
    async fn client(&mut self) -> Result<(), ClientFailure> {
        let failed = |error: &dyn std::fmt::Display| ClientFailure(error.to_string());
        self.status.client.on_client_gone();
        let consumer = Consumer::new(self.settings.client.clone()).map_err(|error| failed(&error))?;
        let topics: Vec<_> = self.settings.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(|error| failed(&error))?;
        events::started(&self.status, &self.settings);
        Session::new(self, consumer).run().await
    }

    async fn back_off(&mut self) {
        self.status.enter(State::Backoff);
        let delay = tokio::time::sleep(self.settings.restart_delay);
        let refuse = async {
            loop {
                let request = next_request(&mut self.requests).await;
                events::commit_without_client(&self.status, &request);
            }
        };
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = delay => {}
            () = refuse => {}
        }
    }

    /// What of a request may be committed now.
    pub(crate) fn admit(&self, request: &CommitRequest) -> Admitted {
        let ledger = self.status.ledger();
        match &request.what {
            crate::consumer::batch::What::Batch(ends) => ledger.admit(ends),
            crate::consumer::batch::What::Processed => ledger.admit_processed(),
        }
    }
}
