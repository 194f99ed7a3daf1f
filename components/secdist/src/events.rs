//! Everything the component reports: one function per event, with its log line and its metrics together.

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
    }

    pub(crate) fn reload_failed(&self, error: SecdistError) {
        self.failed.inc();
        let error = LoadError::from(error);
        tracing::error!(%error, "Secrets could not be read again; those read before stay in use");
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
