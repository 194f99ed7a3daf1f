//! The end of a client: what was begun is finished, each step is bounded.

use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use crate::consumer::events;
use crate::consumer::run::ClientFailure;
use crate::consumer::session::{Phase, Session};

/// Longest waits while stopping: for the running callback, for a cancelled one to let go, for commits under way, for the
/// group to be left, and for the client to be gone. Together they fit into `component_stop_timeout`.
const STOP_CALLBACK_MAX: Duration = Duration::from_secs(10);
const STOP_CANCELLED_CALLBACK_MAX: Duration = Duration::from_secs(1);
const STOP_COMMITS_MAX: Duration = Duration::from_secs(3);
const STOP_CLOSE_MAX: Duration = Duration::from_secs(3);
const STOP_DESTROY_MAX: Duration = Duration::from_secs(3);

impl Session<'_> {
    /// Finishes what was begun, leaves the group and ends the client; each step is bounded.
    pub(super) async fn close(mut self) -> Result<(), ClientFailure> {
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
