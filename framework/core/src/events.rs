//! Everything the component system reports, one function per event.

use std::error::Error;
use std::time::Duration;

use mainspring_config::Problem;
use mainspring_engine::Panic;
use mainspring_logging::{Chain, LoggingError};
use tracing::{debug, error, info, warn};

use crate::error::arrows;

pub(crate) fn loading(components: usize) {
    info!(components, "Loading components");
}

pub(crate) fn component_loaded(component: &str, took: Duration) {
    info!(component, duration_ms = millis(took), "Component loaded");
}

pub(crate) fn component_still_loading(component: &str, waits_for: &[String], elapsed: Duration) {
    if waits_for.is_empty() {
        warn!(component, elapsed_ms = millis(elapsed), "Component is still loading");
    } else {
        warn!(
            component,
            waits_for = arrows(waits_for),
            elapsed_ms = millis(elapsed),
            "Component is still waiting"
        );
    }
}

pub(crate) fn hook_still_running(component: &str, hook: &str, elapsed: Duration) {
    warn!(component, hook, elapsed_ms = millis(elapsed), "Component is still in a hook");
}

pub(crate) fn dependency_not_declared(component: &str, dependency: &str) {
    warn!(component, dependency, "Component looks for one that its `dependencies` leave out");
}

/// Whatever the reason; `component` where one is to blame.
pub(crate) fn start_failed(component: Option<&str>, error: &dyn Error) {
    error!(component, error = %Chain(error), "Service failed to start");
}

pub(crate) fn health_panicked(component: &str, panic: &Panic) {
    error!(component, location = panic.location, panic = panic.message, "Component panicked in `health`");
}

/// A callback of the dynamic configuration panicked.
pub(crate) fn subscriber_panicked(subscriber: &str, panic: &Panic) {
    let (location, panic) = (&panic.location, &panic.message);
    error!(subscriber, location, panic, "Subscriber of the dynamic configuration panicked");
}

/// A variable speaks of a logger that is not configured.
pub(crate) fn level_not_set(logger: &str, error: &LoggingError) {
    warn!(logger, %error, "Level of a logger is not set");
}

pub(crate) fn dynamic_config_awaited(component: &str) {
    warn!(component, "Component is waiting for the first values of the dynamic configuration");
}

pub(crate) fn config_questionable(warning: &Problem) {
    let (file, line) = (warning.file(), warning.line());
    warn!(file, line, reason = warning.message(), "Configuration is questionable");
}

pub(crate) fn fallback_used(path: &str, place: Option<&str>) {
    info!(path, place, "Configuration fallback in use");
}

pub(crate) fn component_load_cancelled(component: &str) {
    debug!(component, "Component load cancelled");
}

pub(crate) fn ready(took: Duration) {
    info!(duration_ms = millis(took), "Service ready");
}

pub(crate) fn stop_requested(reason: &str) {
    info!(reason, "Service is stopping");
}

pub(crate) fn component_stopped(component: &str, took: Duration) {
    info!(component, duration_ms = millis(took), "Component stopped");
}

pub(crate) fn step_not_finished(component: &str, step: &str, limit: Duration) {
    error!(component, step, limit_ms = millis(limit), "Component did not finish a step of its stop in time");
}

pub(crate) fn shutdown_timed_out(limit: Duration) {
    error!(limit_ms = millis(limit), "Stop takes too long; what remains of it is cut");
}

pub(crate) fn hooks_not_finished(limit: Duration) {
    error!(limit_ms = millis(limit), "Hooks of loaded components did not end in time");
}

pub(crate) fn stopped(took: Duration) {
    info!(duration_ms = millis(took), "Service stopped");
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
