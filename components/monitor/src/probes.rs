//! Liveness, readiness and startup: three questions to the same facts.

use mainspring_core::{
    ComponentContext, ComponentStatus, Dependencies, Health, LoadError, NoConfig, Phase, ServiceHandle,
    ServiceOutline,
};
use mainspring_logging::Level;
use mainspring_server::{HandlerDefaults, HandlerError, HttpHandler, Request, Response, StatusCode};
use serde_json::{Value, json};

use crate::query::text_response;

/// A probe at this path: silent in the log unless it fails.
const fn probe(path: &'static str) -> HandlerDefaults {
    HandlerDefaults::new().with_path(path).with_method("GET").with_line_level(Level::Debug).on_monitor()
}

/// 200 while the process answers and no component is fatal; a restart may help when it fails.
#[derive(Debug)]
pub struct LivenessHandler {
    service: ServiceHandle,
}

/// 200 while the service is running and no component is fatal; otherwise it wants no requests.
#[derive(Debug)]
pub struct ReadinessHandler {
    service: ServiceHandle,
}

/// 200 once the service has been ready, whatever became of it since.
#[derive(Debug)]
pub struct StartupHandler {
    service: ServiceHandle,
}

macro_rules! probes {
    ($($handler:ident = $name:literal at $path:literal answers $holds:expr;)*) => {$(
        impl HttpHandler for $handler {
            const DEFAULT_NAME: &'static str = $name;
            const DEFAULTS: HandlerDefaults = probe($path);
            type Config = NoConfig;

            fn dependencies(_: &NoConfig, _: &ServiceOutline) -> Dependencies {
                Dependencies::none()
            }

            async fn load(_config: NoConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
                Ok(Self { service: cx.service().clone() })
            }

            async fn handle(&self, _request: Request) -> Result<Response, HandlerError> {
                let report = Report::of(&self.service);
                let holds: fn(&Report) -> bool = $holds;
                Ok(report.response(holds(&report)))
            }
        }
    )*};
}

probes! {
    LivenessHandler = "handler-liveness" at "/health/live" answers |report| !report.has_fatal();
    ReadinessHandler = "handler-readiness" at "/health/ready"
        answers |report| report.phase == Phase::Running && !report.has_fatal();
    StartupHandler = "handler-startup" at "/health/started" answers |report| report.has_been_ready;
}

/// The facts of one moment, so that an answer does not contradict itself.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) phase: Phase,
    /// A stop can come before the service was ever up, so the phase alone does not tell.
    has_been_ready: bool,
    pub(crate) components: Vec<ComponentStatus>,
}

impl Report {
    fn of(service: &ServiceHandle) -> Self {
        Self {
            phase: service.phase(),
            has_been_ready: service.has_been_ready(),
            components: service.components(),
        }
    }

    pub(crate) fn has_fatal(&self) -> bool {
        self.components.iter().any(|component| component.health.as_ref().is_some_and(Health::is_fatal))
    }

    fn response(&self, holds: bool) -> Response {
        let mut response = text_response("application/json", self.body(holds).to_string());
        if !holds {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        response
    }

    fn body(&self, holds: bool) -> Value {
        let components: serde_json::Map<_, _> = self
            .components
            .iter()
            .map(|component| {
                let mut facts = json!({"state": component.state});
                if let Some(health) = &component.health {
                    facts["health"] = health.name().into();
                    if let Some(reason) = health.reason() {
                        facts["reason"] = reason.into();
                    }
                }
                (component.name.clone(), facts)
            })
            .collect();
        let status = if holds { "ok" } else { "failed" };
        json!({"status": status, "phase": self.phase.name(), "components": components})
    }
}
