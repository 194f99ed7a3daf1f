//! The figures of the component system and of the loggers.

use std::time::UNIX_EPOCH;

use mainspring_logging::LoggerStats;
use mainspring_metrics::{Collector, Family, Snapshot, UserverView};

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
static SERVICE_SHUTDOWN: Family = Family::gauge(
    "service_shutdown_duration_seconds",
    "How long the stop of the service has taken so far; 0 before it.",
);

static LOGGER_MESSAGES: Family =
    Family::counter("logger_messages", "Log records, those dropped included, by logger and level.");
static LOGGER_DROPPED: Family = Family::counter(
    "logger_dropped_messages",
    "Log records that did not fit the queue or that the sink did not take, by logger and level.",
);
static LOGGER_QUEUE: Family = Family::gauge("logger_queue_messages", "Log records waiting to be written.");
static LOGGER_WRITE_ERRORS: Family =
    Family::counter("logger_write_errors", "Writes of log records that failed.");
static LOGGER_REOPENS: Family = Family::counter("logger_reopens", "Times the file was opened anew.");
static LOGGER_REOPEN_FAILED: Family =
    Family::gauge("logger_reopen_failed", "1 when the last attempt to open the file anew failed.");

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
            snapshot.state_set(
                &COMPONENT_STATE,
                &labels,
                &COMPONENT_STATES.map(|state| (state, state == status.state)),
            );
            if let Some(health) = &status.health {
                snapshot.state_set(
                    &COMPONENT_HEALTH,
                    &labels,
                    &HEALTHS.map(|name| (name, name == health.name())),
                );
            }
            if let Some(duration) = status.load_duration {
                snapshot.gauge(&COMPONENT_LOAD, &labels, duration.as_secs_f64());
            }
        }
        let phase = self.service.phase().name();
        let started = self.service.started_at().duration_since(UNIX_EPOCH).unwrap_or_default();
        snapshot.gauge(&SERVICE_READY, &[], f64::from(u8::from(self.service.is_ready())));
        snapshot.state_set(&SERVICE_PHASE, &[], &PHASES.map(|name| (name, name == phase)));
        snapshot.gauge(&SERVICE_START, &[], started.as_secs_f64());
        snapshot.gauge(&SERVICE_SHUTDOWN, &[], self.service.stopping_for().as_secs_f64());
        for stats in self.service.logging().stats() {
            collect_logger(snapshot, &stats);
        }
    }

    fn collect_userver(&self, view: &mut UserverView) {
        view.gauge("engine.uptime-seconds", &[], self.service.uptime().as_secs_f64().floor());
        for stats in self.service.logging().stats() {
            let logger = stats.logger.as_str();
            let own = [("logger", logger)];
            for (level, count) in &stats.messages {
                view.rate("logger.by_level", &[("level", level.as_str()), ("logger", logger)], *count);
            }
            view.rate("logger.total", &own, stats.messages.iter().map(|(_, count)| count).sum());
            view.rate("logger.dropped", &own, stats.dropped.iter().map(|(_, count)| count).sum());
            view.gauge("logger.has_reopening_error", &own, f64::from(u8::from(stats.reopen_failed)));
        }
    }
}

fn collect_logger(snapshot: &mut Snapshot, stats: &LoggerStats) {
    let logger = stats.logger.as_str();
    let own = [("logger", logger)];
    for (family, counts) in [(&LOGGER_MESSAGES, &stats.messages), (&LOGGER_DROPPED, &stats.dropped)] {
        for (level, count) in counts {
            snapshot.counter(family, &[("level", level.as_str()), ("logger", logger)], *count);
        }
    }
    snapshot.gauge(&LOGGER_QUEUE, &own, stats.queue_messages as f64);
    snapshot.counter(&LOGGER_WRITE_ERRORS, &own, stats.write_errors);
    snapshot.counter(&LOGGER_REOPENS, &own, stats.reopens);
    snapshot.gauge(&LOGGER_REOPEN_FAILED, &own, f64::from(u8::from(stats.reopen_failed)));
}
