//! The end of a client: what was begun is finished, each step is bounded.

use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use crate::consumer::events;
use crate::consumer::run::ClientFailure;
use crate::consumer::session::concurrent::Concurrent;
use crate::consumer::session::listening::Assigning;
use crate::consumer::session::{Phase, Session};

/// Longest waits while stopping: for the running callback, for a cancelled one to let go, for commits under way, for the
/// group to be left, for the listener, and for the client to be gone. Together they fit into `component_stop_timeout`.
const STOP_CALLBACK_MAX: Duration = Duration::from_secs(10);
const STOP_CANCELLED_CALLBACK_MAX: Duration = Duration::from_secs(1);
const STOP_COMMITS_MAX: Duration = Duration::from_secs(3);
const STOP_CLOSE_MAX: Duration = Duration::from_secs(3);
const STOP_LISTENER_MAX: Duration = Duration::from_secs(1);
const STOP_DESTROY_MAX: Duration = Duration::from_secs(3);

impl Session<'_> {
    /// Finishes what was begun, leaves the group and ends the client; each step is bounded.
    pub(super) async fn close(mut self) -> Result<(), ClientFailure> {
        self.messages = Vec::new();
        self.finish_callback().await;
        self.stopping = true;
        // What was asked for before the stop comes before it.
        while let Ok(request) = self.run.requests.try_recv() {
            self.on_request(request);
        }
        if let Some(Assigning { partitions, .. }) = self.assigning.take() {
            // An assignment that nobody answers is not left in order; none of it is read any more.
            self.assign(&partitions);
        }
        self.commit_processed();
        if self.failure == Some(ClientFailure::Fatal) {
            self.tell_all_lost();
        } else {
            self.serve_while(|session| !session.commits.is_idle(), "commits", STOP_COMMITS_MAX).await;
            self.closing = true;
            self.hand_back();
            match self.consumer.start_close() {
                Ok(()) => {
                    self.serve_while(|session| !session.closed, "leaving the group", STOP_CLOSE_MAX).await;
                }
                Err(error) => events::close_failed(&self.run.status, &error),
            }
        }
        let is_telling = |session: &Self| session.listening.as_ref().is_some_and(|it| !it.is_idle());
        self.serve_while(is_telling, "listener", STOP_LISTENER_MAX).await;
        let Session { run, consumer, failure, phase, concurrent, .. } = self;
        run.status.ledger().clear();
        run.status.readable(|_| true);
        let mut unfinished: Vec<_> = concurrent.into_iter().flat_map(Concurrent::into_tasks).collect();
        if let Phase::Processing(processing) = phase {
            unfinished.push(processing.task);
        }
        // The next client waits for them.
        run.unfinished.lock().unwrap_or_else(PoisonError::into_inner).extend(unfinished);
        if timeout(STOP_DESTROY_MAX, consumer.destroy()).await.is_err() {
            events::stop_overran(
                &run.status,
                "the client, or messages that are still held",
                STOP_DESTROY_MAX,
            );
        }
        failure.map_or(Ok(()), Err)
    }

    /// Waits for the running callback: when the client failed for as long as callbacks may take, when stopping not so long.
    async fn finish_callback(&mut self) {
        if let Some(concurrent) = &self.concurrent {
            concurrent.crew.end();
        }
        let is_processing = |session: &Self| {
            matches!(session.phase, Phase::Processing(_))
                || session.concurrent.as_ref().is_some_and(|it| !it.workers.is_empty())
        };
        let limit = self.run.settings.max_callback_duration;
        let is_given_up = |session: &Self| match &session.phase {
            Phase::Processing(processing) => processing.overdue,
            Phase::Collecting | Phase::Backoff { .. } => {
                session.concurrent.as_ref().is_none_or(Concurrent::is_given_up)
            }
        };
        if !self.stopping && !is_given_up(self) {
            let goes_on = |session: &Self| !session.stopping && !is_given_up(session);
            self.serve_while(goes_on, "callback", limit).await;
        }
        self.stopping = true;
        if !is_given_up(self) {
            self.serve_while(is_processing, "callback", STOP_CALLBACK_MAX.min(limit)).await;
        }
        if is_processing(self) {
            if let Phase::Processing(processing) = &self.phase {
                processing.task.cancel();
            }
            if let Some(concurrent) = &self.concurrent {
                concurrent.workers.iter().for_each(|worker| worker.task.cancel());
            }
            self.serve_while(is_processing, "cancelled callback", STOP_CANCELLED_CALLBACK_MAX).await;
        }
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
