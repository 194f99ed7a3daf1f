//! Everything the component reports: one function per event, with its log line and its metrics together.

use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use mainspring_core::LoadError;
use mainspring_metrics::{Counter, Family, FloatGauge, MetricsScope, Registry};

use crate::SecdistError;

static RELOADS: Family =
    Family::counter("secdist_reloads", "Times the secrets were read again, by what came of it.");
static LAST_SUCCESS: Family = Family::gauge(
    "secdist_last_reload_success_timestamp_seconds",
    "When the secrets in use were read, as a Unix time.",
);

/// The reports of one `secdist` component.
#[derive(Debug)]
pub(crate) struct ReloadEvents {
    succeeded: Counter,
    failed: Counter,
    last_success: FloatGauge,
    /// What the last reading failed of, if it did.
    failure: Mutex<Option<String>>,
    /// The families live as long as this.
    _scope: MetricsScope,
}

impl ReloadEvents {
    pub(crate) fn new(metrics: &Registry, component: &str) -> Self {
        let scope = MetricsScope::new(metrics, component);
        Self {
            succeeded: scope.counter(&RELOADS, &[("result", "success")]),
            failed: scope.counter(&RELOADS, &[("result", "error")]),
            last_success: scope.float_gauge(&LAST_SUCCESS, &[]),
            failure: Mutex::default(),
            _scope: scope,
        }
    }

    /// The secrets were read for the first time.
    pub(crate) fn loaded(&self) {
        self.last_success.set(now());
    }

    pub(crate) fn reloaded(&self) {
        self.succeeded.inc();
        self.last_success.set(now());
        if self.failed_of(None).is_some() {
            tracing::info!("Secrets can be read again");
        }
    }

    /// Counted each time, logged when it is news.
    pub(crate) fn reload_failed(&self, error: SecdistError) {
        self.failed.inc();
        let error = LoadError::from(error).to_string();
        if self.failed_of(Some(error.clone())).as_ref() != Some(&error) {
            tracing::error!(error, "Secrets could not be read again; those read before stay in use");
        }
    }

    /// Remembers what the last reading failed of and says what the one before did.
    fn failed_of(&self, failure: Option<String>) -> Option<String> {
        std::mem::replace(&mut *self.failure.lock().unwrap_or_else(PoisonError::into_inner), failure)
    }
}

/// Others than its owner can read the file of secrets.
pub(crate) fn exposed(file: &str, mode: u32) {
    let (mode, remedy) = (format!("{mode:04o}"), format!("chmod 600 {file}"));
    tracing::warn!(file, mode, remedy, "Secrets can be read by others than the owner of their file");
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
