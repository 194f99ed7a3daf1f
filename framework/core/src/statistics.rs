//! The figures of the component system and of the loggers.

use std::time::UNIX_EPOCH;

use mainspring_metrics::{Collector, Family, Snapshot};

use crate::ServiceHandle;

static COMPONENT_STATE: Family = Family::state_set("component_state", "Where the component is in its life.");
static COMPONENT_HEALTH: Family = Family::state_set("component_health", "What the component says of itself.");
static COMPONENT_LOAD: Family =
    Family::gauge("component_load_duration_seconds", "How long the component took to load.");
static SERVICE_READY: Family =
    Family::gauge("service_ready", "1 while the service serves: running and no component fatal.");
static SERVICE_PHASE: Family = Family::state_set("service_phase", "Where the service is in its life.");
static SERVICE_START: Family =
    Family::gauge("service_start_timestamp_seconds", "When the service began to start, as a Unix time.");

const COMPONENT_STATES: [&str; 4] = ["loading", "loaded", "failed", "stopped"];
const HEALTHS: [&str; 3] = ["ok", "fallback", "fatal"];
const PHASES: [&str; 5] = ["starting", "running", "shutting_down", "stopping", "stopped"];

/// Writes the `component_*`, `service_*` and `logger_*` families.
#[derive(Debug)]
pub(crate) struct ServiceCollector {
    service: ServiceHandle,
}

impl ServiceCollector {
    pub(crate) fn new(service: ServiceHandle) -> Self {
        Self { service }
    }
}

impl Collector for ServiceCollector {
    fn collect(&self, snapshot: &mut Snapshot) {
        for status in self.service.components() {
            let labels = [("component", status.name.as_str())];
            snapshot.state_set(&COMPONENT_STATE, &labels, &COMPONENT_STATES.map(|state| (state, state == status.state)));
            if let Some(health) = &status.health {
                snapshot.state_set(&COMPONENT_HEALTH, &labels, &HEALTHS.map(|name| (name, name == health.name())));
            }
            if let Some(duration) = status.load_duration {
                snapshot.gauge(&COMPONENT_LOAD, &labels, duration.as_secs_f64());
            }
        }
        let phase = self.service.phase().name();
        let started = self.service.started_at().duration_since(UNIX_EPOCH).unwrap_or_default();
        snapshot.gauge(&SERVICE_READY, &[], if self.service.is_ready() { 1.0 } else { 0.0 });
        snapshot.state_set(&SERVICE_PHASE, &[], &PHASES.map(|name| (name, name == phase)));
        snapshot.gauge(&SERVICE_START, &[], started.as_secs_f64());
    }
}
