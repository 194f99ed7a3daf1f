//! The components of this crate keep what every component promises.

use mainspring_core::{Component, ComponentList};
use mainspring_monitor::{
    LivenessHandler, LogLevelHandler, LogsHandler, MetricsHandler, OnLogRotateHandler, ReadinessHandler,
    ServerMonitorHandler, StartupHandler, SystemStatisticsCollector,
};
use mainspring_server::{HttpHandlerComponent, ServerComponent};
use mainspring_testsuite::conformance;

const SERVER: &str = "{
    listener: {address: 127.0.0.1, port: 0, task_processor: main-task-processor},
    listener-monitor: {address: 127.0.0.1, port: 0, task_processor: monitor-task-processor}}";

#[test]
fn every_handler_conforms() {
    check::<HttpHandlerComponent<MetricsHandler>>("{}");
    check::<HttpHandlerComponent<ServerMonitorHandler>>("{format: json, common-labels: {dc: east}}");
    check::<HttpHandlerComponent<LivenessHandler>>("{log-level: none}");
    check::<HttpHandlerComponent<ReadinessHandler>>("{task_processor: main-task-processor}");
    check::<HttpHandlerComponent<StartupHandler>>("{path: /started}");
    check::<HttpHandlerComponent<LogLevelHandler>>("{max_request_size: 1KiB}");
    check::<HttpHandlerComponent<LogsHandler>>("{monitor-handler: false}");
    check::<HttpHandlerComponent<OnLogRotateHandler>>("{method: PUT}");
}

#[test]
fn the_collector_of_system_statistics_conforms() {
    check::<SystemStatisticsCollector>("{}");
}

#[track_caller]
fn check<C: Component>(section: &str) {
    let others = ComponentList::minimal().append_default::<ServerComponent>();
    conformance::check::<C>(&others, |service| service.with_component("server", SERVER), section);
}
