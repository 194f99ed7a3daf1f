//! Everything the store reports: one function per event, with its log line and its metrics together.

use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use mainspring_core::LoadError;
use mainspring_metrics::{Counter, Family, FloatGauge, Gauge, MetricsScope, Registry};

use crate::DynamicConfigError;

static RELOADS: Family =
    Family::counter("config_reloads", "Times the dynamic configuration was read, by what came of it.");
static LAST_SUCCESSFUL: Family = Family::gauge(
    "config_last_reload_successful",
    "Whether the dynamic configuration could be read the last time.",
);
static LAST_SUCCESS: Family = Family::gauge(
    "config_last_reload_success_timestamp_seconds",
    "When the dynamic configuration was last read without a problem, as a Unix time.",
);

/// The reports of one store.
#[derive(Debug)]
pub(crate) struct StoreEvents {
    succeeded: Counter,
    failed: Counter,
    last_successful: Gauge,
    last_success: FloatGauge,
    /// The failure that was logged last; `None` after a success.
    logged: Mutex<Option<String>>,
    /// The families live as long as this.
    _scope: MetricsScope,
}

impl StoreEvents {
    pub(crate) fn new(metrics: &Registry, component: &str) -> Self {
        let scope = MetricsScope::new(metrics, component);
        Self {
            succeeded: scope.counter(&RELOADS, &[("result", "success")]),
            failed: scope.counter(&RELOADS, &[("result", "error")]),
            last_successful: scope.gauge(&LAST_SUCCESSFUL, &[]),
            last_success: scope.float_gauge(&LAST_SUCCESS, &[]),
            logged: Mutex::default(),
            _scope: scope,
        }
    }

    /// Values were taken; `changed` names the variables that have another one than before.
    pub(crate) fn reloaded(&self, origin: &str, changed: &[&'static str]) {
        self.succeeded.inc();
        self.succeeded_now();
        if !changed.is_empty() {
            tracing::info!(origin, variables = changed.join(", "), "Dynamic configuration changed");
        }
    }

    /// The values to begin with are there.
    pub(crate) fn succeeded_now(&self) {
        let was_failing = self.logged.lock().unwrap_or_else(PoisonError::into_inner).take().is_some();
        self.last_successful.set(1);
        self.last_success.set(now());
        if was_failing {
            tracing::info!("Dynamic configuration can be read again");
        }
    }

    /// Values could not be had or were refused; the same failure again is not logged again.
    pub(crate) fn reload_failed(&self, origin: &str, error: String) {
        self.failed.inc();
        self.last_successful.set(0);
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.as_deref() != Some(error.as_str()) {
            tracing::error!(origin, error, "Dynamic configuration stays as it was");
            *logged = Some(error);
        }
    }
}

/// A cache is there and of no use.
pub(crate) fn cache_unusable(path: &str, error: impl Into<LoadError>) {
    tracing::warn!(path, error = %error.into(), "Cache of the dynamic configuration is passed over");
}

/// The service starts with the values of an earlier run.
pub(crate) fn cache_used(path: &str, variables: usize) {
    tracing::info!(path, variables, "Dynamic configuration begins with the cached values");
}

/// The values are in use all the same.
pub(crate) fn cache_not_written(path: &str, error: impl Into<LoadError>) {
    tracing::warn!(path, error = %error.into(), "Cache of the dynamic configuration could not be written");
}

/// Nobody will bring updates.
pub(crate) fn interrupted(error: DynamicConfigError) {
    tracing::debug!(error = %LoadError::from(error), "Dynamic configuration is not read any more");
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
