//! `/metrics` of a small service: what there is, under which labels, and that both texts keep the rules.

use std::fmt::Write;

use expect_test::{Expect, expect};
use mainspring_core::ComponentList;
use mainspring_monitor::{MetricsHandler, SystemStatisticsCollector};
use mainspring_server::{HttpHandlerComponent, ServerComponent};

use crate::parser::{parse_openmetrics, parse_text};
use crate::support::{LISTENERS, Running, get, request};

/// Both texts of a service that has answered two requests.
fn scrape() -> (String, String) {
    let list = ComponentList::minimal()
        .append_default::<ServerComponent>()
        .append_default::<HttpHandlerComponent<MetricsHandler>>()
        .append_default::<SystemStatisticsCollector>();
    let service = Running::start(&list, LISTENERS);
    get(service.monitor(), "/metrics");
    get(service.main(), "/nowhere");
    let as_format = |accept: &str| {
        request(service.monitor(), "GET /metrics", &format!("accept: {accept}\r\n"), "").text()
    };
    (as_format("application/openmetrics-text"), as_format("text/plain"))
}

#[test]
fn both_texts_keep_the_rules_of_their_format() {
    let (openmetrics, text) = scrape();
    let samples = parse_openmetrics(&openmetrics).expect("OpenMetrics");
    let older = parse_text(&text).expect("text format 0.0.4");
    // The very same samples; only values move on between two scrapes, and bounds are spelt in another way.
    let series = |samples: &[crate::parser::ParsedSample]| {
        let series = samples.iter().map(|sample| {
            let labels = sample.labels.iter().map(|(name, value)| {
                let bound = value.parse::<f64>().ok().filter(|_| name == "le");
                format!("{name}={}", bound.map_or_else(|| value.clone(), |bound| bound.to_string()))
            });
            format!("{}{:?}", sample.name, labels.collect::<Vec<_>>())
        });
        series.collect::<Vec<_>>()
    };
    assert_eq!(series(&samples), series(&older));
    let rejected = samples.iter().filter(|sample| sample.name == "metrics_rejected_samples");
    assert!(
        rejected.clone().count() == 4 && rejected.clone().all(|sample| sample.value == "0"),
        "{openmetrics}"
    );
}

/// The families whose names begin with one of `prefixes`: descriptors, and series without their values. Of the
/// buckets only the last is shown.
#[track_caller]
fn check(prefixes: &[&str], expected: Expect) {
    let (openmetrics, _) = scrape();
    let mut shape = String::new();
    for line in openmetrics.lines() {
        let name = line.strip_prefix("# ").and_then(|rest| rest.split(' ').nth(1)).unwrap_or(line);
        let bucket = line.contains("_bucket{") && !line.contains("le=\"+Inf\"");
        if bucket || !prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let shown = if line.starts_with('#') { line } else { line.rsplit_once(' ').expect("a value").0 };
        // Infos tell of the machine through the values of their labels.
        let shown = if shown.contains("_info{") { without_values(shown) } else { shown.to_owned() };
        writeln!(shape, "{shown}").expect("writing to a string does not fail");
    }
    expected.assert_eq(&shape);
}

fn without_values(series: &str) -> String {
    let outside = series.split('"').step_by(2);
    outside.collect::<Vec<_>>().join("..")
}

#[test]
fn families_of_the_component_system() {
    check(
        &["component_", "service_"],
        expect![[r##"
            # TYPE component_health stateset
            # HELP component_health What the component says of itself.
            component_health{component="handler-metrics",component_health="ok"}
            component_health{component="handler-metrics",component_health="fallback"}
            component_health{component="handler-metrics",component_health="fatal"}
            component_health{component="logging",component_health="ok"}
            component_health{component="logging",component_health="fallback"}
            component_health{component="logging",component_health="fatal"}
            component_health{component="server",component_health="ok"}
            component_health{component="server",component_health="fallback"}
            component_health{component="server",component_health="fatal"}
            component_health{component="system-statistics-collector",component_health="ok"}
            component_health{component="system-statistics-collector",component_health="fallback"}
            component_health{component="system-statistics-collector",component_health="fatal"}
            # TYPE component_load_duration_seconds gauge
            # UNIT component_load_duration_seconds seconds
            # HELP component_load_duration_seconds How long the component took to load.
            component_load_duration_seconds{component="handler-metrics"}
            component_load_duration_seconds{component="logging"}
            component_load_duration_seconds{component="server"}
            component_load_duration_seconds{component="system-statistics-collector"}
            # TYPE component_state stateset
            # HELP component_state Where the component is in its life.
            component_state{component="handler-metrics",component_state="loading"}
            component_state{component="handler-metrics",component_state="loaded"}
            component_state{component="handler-metrics",component_state="failed"}
            component_state{component="handler-metrics",component_state="stopped"}
            component_state{component="logging",component_state="loading"}
            component_state{component="logging",component_state="loaded"}
            component_state{component="logging",component_state="failed"}
            component_state{component="logging",component_state="stopped"}
            component_state{component="server",component_state="loading"}
            component_state{component="server",component_state="loaded"}
            component_state{component="server",component_state="failed"}
            component_state{component="server",component_state="stopped"}
            component_state{component="system-statistics-collector",component_state="loading"}
            component_state{component="system-statistics-collector",component_state="loaded"}
            component_state{component="system-statistics-collector",component_state="failed"}
            component_state{component="system-statistics-collector",component_state="stopped"}
            # TYPE service_phase stateset
            # HELP service_phase Where the service is in its life.
            service_phase{service_phase="starting"}
            service_phase{service_phase="running"}
            service_phase{service_phase="shutting_down"}
            service_phase{service_phase="stopping"}
            service_phase{service_phase="stopped"}
            # TYPE service_ready gauge
            # HELP service_ready 1 while the service serves: running and no component fatal.
            service_ready
            # TYPE service_shutdown_duration_seconds gauge
            # UNIT service_shutdown_duration_seconds seconds
            # HELP service_shutdown_duration_seconds How long the stop of the service has taken so far; 0 before it.
            service_shutdown_duration_seconds
            # TYPE service_start_timestamp_seconds gauge
            # UNIT service_start_timestamp_seconds seconds
            # HELP service_start_timestamp_seconds When the service began to start, as a Unix time.
            service_start_timestamp_seconds
        "##]],
    );
}

#[test]
fn families_of_logging() {
    check(
        &["logger_"],
        expect![[r##"
        # TYPE logger_dropped_messages counter
        # HELP logger_dropped_messages Log records that did not fit the queue or that the sink did not take, by logger and level.
        logger_dropped_messages_total{level="debug",logger="default"}
        logger_dropped_messages_total{level="error",logger="default"}
        logger_dropped_messages_total{level="info",logger="default"}
        logger_dropped_messages_total{level="trace",logger="default"}
        logger_dropped_messages_total{level="warning",logger="default"}
        # TYPE logger_messages counter
        # HELP logger_messages Log records, those dropped included, by logger and level.
        logger_messages_total{level="debug",logger="default"}
        logger_messages_total{level="error",logger="default"}
        logger_messages_total{level="info",logger="default"}
        logger_messages_total{level="trace",logger="default"}
        logger_messages_total{level="warning",logger="default"}
        # TYPE logger_queue_messages gauge
        # HELP logger_queue_messages Log records waiting to be written.
        logger_queue_messages{logger="default"}
        # TYPE logger_reopen_failed gauge
        # HELP logger_reopen_failed 1 when the last attempt to open the file anew failed.
        logger_reopen_failed{logger="default"}
        # TYPE logger_reopens counter
        # HELP logger_reopens Times the file was opened anew.
        logger_reopens_total{logger="default"}
        # TYPE logger_write_errors counter
        # HELP logger_write_errors Writes of log records that failed.
        logger_write_errors_total{logger="default"}
    "##]],
    );
}

#[test]
fn families_of_the_task_processors() {
    check(
        &["engine_"],
        expect![[r##"
            # TYPE engine_task_processor_busy_seconds counter
            # UNIT engine_task_processor_busy_seconds seconds
            # HELP engine_task_processor_busy_seconds Time that the worker threads spent running tasks.
            engine_task_processor_busy_seconds_total{task_processor="main-task-processor"}
            engine_task_processor_busy_seconds_total{task_processor="monitor-task-processor"}
            engine_task_processor_busy_seconds_total{task_processor="other-task-processor"}
            # TYPE engine_task_processor_poll_duration_seconds histogram
            # UNIT engine_task_processor_poll_duration_seconds seconds
            # HELP engine_task_processor_poll_duration_seconds Time a task ran until it next gave its thread back; long ones hold up the others.
            engine_task_processor_poll_duration_seconds_bucket{task_processor="main-task-processor",le="+Inf"}
            engine_task_processor_poll_duration_seconds_sum{task_processor="main-task-processor"}
            engine_task_processor_poll_duration_seconds_count{task_processor="main-task-processor"}
            engine_task_processor_poll_duration_seconds_bucket{task_processor="monitor-task-processor",le="+Inf"}
            engine_task_processor_poll_duration_seconds_sum{task_processor="monitor-task-processor"}
            engine_task_processor_poll_duration_seconds_count{task_processor="monitor-task-processor"}
            engine_task_processor_poll_duration_seconds_bucket{task_processor="other-task-processor",le="+Inf"}
            engine_task_processor_poll_duration_seconds_sum{task_processor="other-task-processor"}
            engine_task_processor_poll_duration_seconds_count{task_processor="other-task-processor"}
            # TYPE engine_task_processor_queue_wait_seconds histogram
            # UNIT engine_task_processor_queue_wait_seconds seconds
            # HELP engine_task_processor_queue_wait_seconds Time from spawning a task to its first run.
            engine_task_processor_queue_wait_seconds_bucket{task_processor="main-task-processor",le="+Inf"}
            engine_task_processor_queue_wait_seconds_sum{task_processor="main-task-processor"}
            engine_task_processor_queue_wait_seconds_count{task_processor="main-task-processor"}
            engine_task_processor_queue_wait_seconds_bucket{task_processor="monitor-task-processor",le="+Inf"}
            engine_task_processor_queue_wait_seconds_sum{task_processor="monitor-task-processor"}
            engine_task_processor_queue_wait_seconds_count{task_processor="monitor-task-processor"}
            engine_task_processor_queue_wait_seconds_bucket{task_processor="other-task-processor",le="+Inf"}
            engine_task_processor_queue_wait_seconds_sum{task_processor="other-task-processor"}
            engine_task_processor_queue_wait_seconds_count{task_processor="other-task-processor"}
            # TYPE engine_task_processor_task_events counter
            # HELP engine_task_processor_task_events Tasks of the task processor, by what became of them.
            engine_task_processor_task_events_total{event="cancelled",task_processor="main-task-processor"}
            engine_task_processor_task_events_total{event="cancelled",task_processor="monitor-task-processor"}
            engine_task_processor_task_events_total{event="cancelled",task_processor="other-task-processor"}
            engine_task_processor_task_events_total{event="created",task_processor="main-task-processor"}
            engine_task_processor_task_events_total{event="created",task_processor="monitor-task-processor"}
            engine_task_processor_task_events_total{event="created",task_processor="other-task-processor"}
            engine_task_processor_task_events_total{event="finished",task_processor="main-task-processor"}
            engine_task_processor_task_events_total{event="finished",task_processor="monitor-task-processor"}
            engine_task_processor_task_events_total{event="finished",task_processor="other-task-processor"}
            engine_task_processor_task_events_total{event="panicked",task_processor="main-task-processor"}
            engine_task_processor_task_events_total{event="panicked",task_processor="monitor-task-processor"}
            engine_task_processor_task_events_total{event="panicked",task_processor="other-task-processor"}
            # TYPE engine_task_processor_tasks gauge
            # HELP engine_task_processor_tasks Tasks of the task processor, by state.
            engine_task_processor_tasks{state="alive",task_processor="main-task-processor"}
            engine_task_processor_tasks{state="alive",task_processor="monitor-task-processor"}
            engine_task_processor_tasks{state="alive",task_processor="other-task-processor"}
            engine_task_processor_tasks{state="queued",task_processor="main-task-processor"}
            engine_task_processor_tasks{state="queued",task_processor="monitor-task-processor"}
            engine_task_processor_tasks{state="queued",task_processor="other-task-processor"}
            engine_task_processor_tasks{state="running",task_processor="main-task-processor"}
            engine_task_processor_tasks{state="running",task_processor="monitor-task-processor"}
            engine_task_processor_tasks{state="running",task_processor="other-task-processor"}
            # TYPE engine_task_processor_worker_threads gauge
            # HELP engine_task_processor_worker_threads Worker threads of the task processor.
            engine_task_processor_worker_threads{task_processor="main-task-processor"}
            engine_task_processor_worker_threads{task_processor="monitor-task-processor"}
            engine_task_processor_worker_threads{task_processor="other-task-processor"}
        "##]],
    );
}

#[test]
fn families_of_the_server() {
    check(
        &["http_server_"],
        expect![[r##"
            # TYPE http_server_active_requests gauge
            # HELP http_server_active_requests Requests that are being answered.
            http_server_active_requests{component="handler-metrics",http_request_method="GET",url_scheme="http"}
            http_server_active_requests{component="server",http_request_method="GET",url_scheme="http"}
            # TYPE http_server_connection_events counter
            # HELP http_server_connection_events Connections opened, closed, failed to be accepted, broken, and given up on because the client stalled.
            http_server_connection_events_total{component="server",event="accept_failed",listener="main"}
            http_server_connection_events_total{component="server",event="accept_failed",listener="monitor"}
            http_server_connection_events_total{component="server",event="broken",listener="main"}
            http_server_connection_events_total{component="server",event="broken",listener="monitor"}
            http_server_connection_events_total{component="server",event="closed",listener="main"}
            http_server_connection_events_total{component="server",event="closed",listener="monitor"}
            http_server_connection_events_total{component="server",event="opened",listener="main"}
            http_server_connection_events_total{component="server",event="opened",listener="monitor"}
            http_server_connection_events_total{component="server",event="stalled",listener="main"}
            http_server_connection_events_total{component="server",event="stalled",listener="monitor"}
            # TYPE http_server_connections gauge
            # HELP http_server_connections Open connections.
            http_server_connections{component="server",listener="main"}
            http_server_connections{component="server",listener="monitor"}
            # TYPE http_server_rejected_requests counter
            # HELP http_server_rejected_requests Requests refused before their handler had read them.
            http_server_rejected_requests_total{component="handler-metrics",reason="body_size"}
            http_server_rejected_requests_total{component="handler-metrics",reason="body_timeout"}
            http_server_rejected_requests_total{component="handler-metrics",reason="max_requests_in_flight"}
            http_server_rejected_requests_total{component="handler-metrics",reason="max_requests_per_second"}
            http_server_rejected_requests_total{component="server",reason="body_size"}
            http_server_rejected_requests_total{component="server",reason="body_timeout"}
            http_server_rejected_requests_total{component="server",reason="head_size"}
            http_server_rejected_requests_total{component="server",reason="head_timeout"}
            http_server_rejected_requests_total{component="server",reason="malformed"}
            http_server_rejected_requests_total{component="server",reason="max_requests_in_flight"}
            http_server_rejected_requests_total{component="server",reason="max_requests_per_second"}
            # TYPE http_server_request_duration_seconds histogram
            # UNIT http_server_request_duration_seconds seconds
            # HELP http_server_request_duration_seconds Time from the head of a request to the head of its answer.
            http_server_request_duration_seconds_bucket{component="handler-metrics",error_type="",http_request_method="GET",http_response_status_code="200",http_route="/metrics",url_scheme="http",le="+Inf"}
            http_server_request_duration_seconds_sum{component="handler-metrics",error_type="",http_request_method="GET",http_response_status_code="200",http_route="/metrics",url_scheme="http"}
            http_server_request_duration_seconds_count{component="handler-metrics",error_type="",http_request_method="GET",http_response_status_code="200",http_route="/metrics",url_scheme="http"}
            http_server_request_duration_seconds_bucket{component="server",error_type="",http_request_method="GET",http_response_status_code="404",http_route="",url_scheme="http",le="+Inf"}
            http_server_request_duration_seconds_sum{component="server",error_type="",http_request_method="GET",http_response_status_code="404",http_route="",url_scheme="http"}
            http_server_request_duration_seconds_count{component="server",error_type="",http_request_method="GET",http_response_status_code="404",http_route="",url_scheme="http"}
        "##]],
    );
}

#[test]
fn families_of_the_process_and_of_scraping_itself() {
    check(
        &["target", "mainspring_", "process_", "metrics_"],
        expect![[r##"
        # TYPE target info
        # HELP target What is scraped, as OpenTelemetry describes a resource.
        target_info{host_arch=..,host_name=..,os_type=..,process_executable_name=..,process_pid=..,telemetry_sdk_language=..,telemetry_sdk_name=..,telemetry_sdk_version=..}
        # TYPE mainspring_build info
        # HELP mainspring_build The framework's build this service contains.
        mainspring_build_info{revision=..,rustc=..,target=..,version=..}
        # TYPE metrics_rejected_samples gauge
        # HELP metrics_rejected_samples Samples left out of this scrape, by what was wrong with them.
        metrics_rejected_samples{reason="bad_label"}
        metrics_rejected_samples{reason="collector_panic"}
        metrics_rejected_samples{reason="duplicate_series"}
        metrics_rejected_samples{reason="family_conflict"}
        # TYPE process_cpu_seconds counter
        # UNIT process_cpu_seconds seconds
        # HELP process_cpu_seconds User and system CPU time spent.
        process_cpu_seconds_total
        # TYPE process_max_fds gauge
        # HELP process_max_fds Most file descriptors that may be open.
        process_max_fds
        # TYPE process_open_fds gauge
        # HELP process_open_fds Open file descriptors.
        process_open_fds
        # TYPE process_resident_memory_bytes gauge
        # UNIT process_resident_memory_bytes bytes
        # HELP process_resident_memory_bytes Resident memory size.
        process_resident_memory_bytes
        # TYPE process_start_time_seconds gauge
        # UNIT process_start_time_seconds seconds
        # HELP process_start_time_seconds Start of the process since the Unix epoch.
        process_start_time_seconds
        # TYPE process_threads gauge
        # HELP process_threads Threads of the process.
        process_threads
    "##]],
    );
}

#[test]
fn no_family_is_in_none_of_these_lists() {
    let known = [
        "component_",
        "service_",
        "logger_",
        "engine_",
        "http_server_",
        "target",
        "mainspring_",
        "process_",
        "metrics_",
    ];
    let (openmetrics, _) = scrape();
    let families = openmetrics.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let unknown: Vec<_> =
        families.filter(|name| !known.iter().any(|prefix| name.starts_with(prefix))).collect();
    assert_eq!(unknown, Vec::<&str>::new());
}
