//! What a producer of transactions reports: each event once, its log line and its figures together.

use std::time::Duration;

use mainspring_logging::{Chain, Level};

use crate::client::log_at;
use crate::transactions::error::TransactionError;
use crate::transactions::metrics::{Metrics, Result};

/// Who reports.
#[derive(Debug)]
pub(crate) struct Reporter {
    pub(crate) component: String,
    pub(crate) operation_level: Level,
    pub(crate) metrics: Metrics,
}

impl Reporter {
    /// The coordinator knows this producer, and what an earlier one left open has ended.
    pub(crate) fn ready(&self, transactional_id: &str) {
        tracing::info!(component = self.component, transactional_id, "Producer is ready for transactions");
    }

    /// The coordinator cannot be asked yet, for whatever reason.
    pub(crate) fn not_ready(&self, error: &TransactionError) {
        tracing::warn!(component = self.component, %error, "Producer is not ready for transactions yet");
    }

    /// A transaction could not begin.
    pub(crate) fn not_begun(&self, error: &TransactionError) {
        tracing::warn!(component = self.component, %error, "Transaction could not begin");
    }

    pub(crate) fn committed(&self, took: Duration) {
        self.metrics.ended(Result::Committed, took);
        let took_ms = took.as_millis();
        log_at!(self.operation_level, component = self.component, took_ms, "Transaction committed");
    }

    /// Aborted because somebody wanted that.
    pub(crate) fn aborted(&self, took: Duration) {
        self.metrics.ended(Result::Aborted, took);
        let took_ms = took.as_millis();
        log_at!(self.operation_level, component = self.component, took_ms, "Transaction aborted");
    }

    /// Aborted because something failed.
    pub(crate) fn failed(&self, error: &TransactionError, took: Duration) {
        self.metrics.ended(Result::Failed, took);
        let (error, took_ms) = (Chain(error), took.as_millis());
        tracing::warn!(component = self.component, %error, took_ms, "Transaction failed and was aborted");
    }

    /// Nobody knows how it ended.
    pub(crate) fn unresolved(&self, error: &TransactionError, took: Duration) {
        self.metrics.ended(Result::Unresolved, took);
        let took_ms = took.as_millis();
        tracing::error!(component = self.component, %error, took_ms, "Transaction has no known end");
    }

    /// The client is of no use any more, and is not replaced.
    pub(crate) fn down(&self, error: &TransactionError) {
        tracing::error!(component = self.component, %error, "Producer has no more transactions");
    }
}
