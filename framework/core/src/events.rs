//! Everything the component system reports, one function per event.

use std::time::Duration;

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

pub(crate) fn component_failed(component: &str, reason: &str) {
    error!(component, error = reason, "Component failed to start");
}

pub(crate) fn component_load_cancelled(component: &str) {
    debug!(component, "Component load cancelled");
}

pub(crate) fn component_unloading(component: &str) {
    info!(component, "Unloading component, because the start failed");
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

pub(crate) fn hooks_not_finished(limit: Duration) {
    error!(limit_ms = millis(limit), "Hooks of loaded components did not end in time");
}

pub(crate) fn stopped(took: Duration) {
    info!(duration_ms = millis(took), "Service stopped");
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
