//! `/metrics` and `/service/monitor`.

use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::services::start;
use crate::support::{get, request};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

#[test]
fn a_scraper_gets_the_format_that_it_accepts() {
    let service = start("");
    let scrape = |accept: &str| request(service.monitor(), "GET /metrics", accept, "");
    for accept in ["", "accept: */*\r\n", "accept: text/plain\r\n"] {
        let reply = scrape(accept);
        assert_eq!((reply.status, reply.header("content-type")), (200, Some(TEXT)), "{accept}");
        assert_eq!(reply.header("content-encoding"), None);
    }
    let reply =
        scrape("accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5\r\n");
    assert_eq!(reply.header("content-type"), Some(OPENMETRICS));
    assert_eq!(reply.header("vary"), Some("Accept, Accept-Encoding"));
    assert!(reply.text().ends_with("# EOF\n"));
}

#[test]
fn a_scraper_that_accepts_gzip_gets_gzip() {
    let service = start("");
    let reply = request(service.monitor(), "GET /metrics", "accept-encoding: gzip\r\n", "");
    assert_eq!((reply.status, reply.header("content-encoding")), (200, Some("gzip")));
    let mut text = String::new();
    GzDecoder::new(reply.body.as_slice()).read_to_string(&mut text).expect("the body is gzip");
    assert!(text.contains("# TYPE process_cpu_seconds_total counter\n"), "{text}");
}

#[test]
fn head_of_metrics_has_no_body() {
    let service = start("");
    let reply = request(service.monitor(), "HEAD /metrics", "", "");
    assert_eq!((reply.status, reply.body.len(), reply.header("content-type")), (200, 0, Some(TEXT)));
}

#[test]
fn common_labels_are_on_every_metric_and_can_be_asked_for() {
    let service = start("\n        handler-server-monitor: {common-labels: {dc: east}, format: json}");
    let monitor = |query: &str| get(service.monitor(), &format!("/service/monitor{query}")).text();
    let path = "engine.uptime-seconds";
    assert!(monitor(&format!("?path={path}")).contains(r#""labels":{"dc":"east"}"#));
    assert!(monitor(&format!("?path={path}&labels=%7B%22dc%22:%22east%22%7D")).contains(path));
    assert_eq!(monitor(&format!("?path={path}&labels=%7B%22dc%22:%22west%22%7D")), "{}");
}

#[test]
fn the_monitor_tells_metrics_in_the_format_that_is_asked_for() {
    let service = start("");
    let monitor = |query: &str| get(service.monitor(), &format!("/service/monitor{query}"));
    let path = "engine.task-processors.worker-threads";
    let labels = "labels=%7B%22task_processor%22:%22other-task-processor%22%7D";
    let reply = monitor(&format!("?format=json&path={path}&{labels}"));
    let expected = r#"{"engine.task-processors.worker-threads":[{"labels":{"task_processor":"other-task-processor"},"type":"GAUGE","value":1}]}"#;
    assert_eq!((reply.status, reply.text().as_str()), (200, expected));
    let reply = monitor(&format!("?format=pretty&prefix={path}&path={path}&{labels}"));
    assert_eq!(reply.text(), format!("{path}: task_processor=other-task-processor\tGAUGE\t1\n"));
    for format in ["prometheus", "prometheus-untyped", "graphite", "solomon"] {
        let reply = monitor(&format!("?format={format}&prefix=engine"));
        assert!(reply.status == 200 && reply.text().contains("other-task-processor"), "{reply:?}");
    }
}

#[test]
fn queries_that_the_monitor_cannot_answer_are_a_400() {
    let service = start("");
    for (query, message) in [
        ("", "query parameter `format` is missing, such as `format=json`"),
        ("?format=", "query parameter `format` is missing, such as `format=json`"),
        ("?format=json&path=a&prefix=b", "`path` and `prefix` exclude each other; give one of them"),
        ("?format=json&format=json", "query parameter `format` is given twice"),
        ("?fromat=json", "unknown query parameter `fromat`; known: `format`, `path`, `prefix`, `labels`"),
        (
            "?format=xml",
            "query parameter `format`: unknown format `xml`; expected `json`, `pretty`, `prometheus`, \
             `prometheus-untyped`, `graphite` or `solomon`",
        ),
        (
            "?format=json&labels=1",
            "`labels` must be a JSON object with text values such as `{\"topic\":\"orders\"}`, found `1`",
        ),
    ] {
        let reply = get(service.monitor(), &format!("/service/monitor{query}"));
        let body: Value = serde_json::from_slice(&reply.body).expect("the body is JSON");
        assert_eq!((reply.status, body["message"].as_str()), (400, Some(message)), "{query}");
    }
}

#[test]
fn the_format_of_the_monitor_can_be_configured() {
    let service = start("\n        handler-server-monitor: {path: /mon, format: graphite}");
    let reply = get(service.monitor(), "/mon?path=engine.task-processors.worker-threads");
    assert!(reply.text().starts_with("engine.task-processors.worker-threads;task_processor="), "{reply:?}");
    let sections = format!(
        "{}\n        fragile: {{}}\n        handler-server-monitor: {{format: xml}}",
        crate::support::LISTENERS
    );
    let problems = crate::support::check(&crate::services::list(), &sections).expect_err("there is no xml");
    assert!(problems.to_string().contains("handler-server-monitor.format: expected"), "{problems}");
}
