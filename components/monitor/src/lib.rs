//! Monitor handlers: metrics, health, log level, recent logs.
//!
//! Each is a component with a default path, so that a service which declares a `listener-monitor` has them all
//! without a line of configuration:
//!
//! | component | answers | what |
//! |---|---|---|
//! | `handler-metrics` | `GET /metrics` | OpenMetrics or Prometheus text, for scrapers |
//! | `handler-server-monitor` | `GET /service/monitor` | userver's view of the same facts |
//! | `handler-liveness` | `GET /health/live` | 200 while no component is fatal |
//! | `handler-readiness` | `GET /health/ready` | 200 while the service wants requests |
//! | `handler-startup` | `GET /health/started` | 200 once all components are loaded |
//! | `handler-log-level` | `GET`, `PUT /service/log-level/{level}` | the level of a logger |
//! | `handler-logs` | `GET /service/logs` | the last records |
//! | `handler-on-log-rotate` | `POST /service/on-log-rotate` | opens log files anew |
//! | `system-statistics-collector` | | `process_*`, `mainspring_build_info` and `target_info` |
//!
//! Without a `listener-monitor` those that the configuration does not mention are absent; one that it mentions
//! is an error, because somebody would wait for it in vain.
//!
//! All of them answer until every other component has stopped, so that a stop that takes its time can be watched.

mod metrics;
mod server_monitor;

mod probes;

mod log_level;
mod logs;
mod rotate;

mod process;

mod query;

#[cfg(test)]
mod tests;

use mainspring_core::ComponentList;
use mainspring_server::HttpHandlerComponent;

pub use crate::log_level::LogLevelHandler;
pub use crate::logs::LogsHandler;
pub use crate::metrics::MetricsHandler;
pub use crate::probes::{LivenessHandler, ReadinessHandler, StartupHandler};
pub use crate::process::SystemStatisticsCollector;
pub use crate::rotate::OnLogRotateHandler;
pub use crate::server_monitor::{FormatName, ServerMonitorConfig, ServerMonitorHandler};

/// All components of this crate under their default names.
#[must_use]
pub fn monitor_list() -> ComponentList {
    ComponentList::new()
        .append_default::<HttpHandlerComponent<MetricsHandler>>()
        .append_default::<HttpHandlerComponent<ServerMonitorHandler>>()
        .append_default::<HttpHandlerComponent<LivenessHandler>>()
        .append_default::<HttpHandlerComponent<ReadinessHandler>>()
        .append_default::<HttpHandlerComponent<StartupHandler>>()
        .append_default::<HttpHandlerComponent<LogLevelHandler>>()
        .append_default::<HttpHandlerComponent<LogsHandler>>()
        .append_default::<HttpHandlerComponent<OnLogRotateHandler>>()
        .append_default::<SystemStatisticsCollector>()
}
