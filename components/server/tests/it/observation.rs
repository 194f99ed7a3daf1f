//! What operators see of requests.

use mainspring_logging::Level;
use mainspring_metrics::userver::Format;
use mainspring_metrics::{openmetrics, prometheus_text};

use crate::handlers::list;
use crate::support::{LISTENERS, Running, get, request};

#[test]
fn every_request_is_measured_by_route_method_and_status() {
    let service = Running::start(&list(), LISTENERS);
    get(service.main(), "/ping");
    get(service.main(), "/ping?x=1");
    get(service.main(), "/nowhere/17");
    request(service.main(), "BREW /pot", "", "");
    request(service.main(), "POST /status", "", "503");
    get(service.main(), "/careless");
    let snapshot = service.handle.metrics().snapshot();
    assert_eq!(snapshot.rejected().count(), 0);
    let text = prometheus_text(&snapshot);
    let counts: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("http_server_request_duration_seconds_count"))
        .collect();
    expect_test::expect![[r#"
        {component="handler-careless",error_type="panic",http_request_method="GET",http_response_status_code="500",http_route="/careless",url_scheme="http"} 1
        {component="handler-ping",error_type="",http_request_method="GET",http_response_status_code="200",http_route="/ping",url_scheme="http"} 2
        {component="handler-status",error_type="503",http_request_method="POST",http_response_status_code="503",http_route="/status",url_scheme="http"} 1
        {component="server",error_type="",http_request_method="GET",http_response_status_code="404",http_route="",url_scheme="http"} 1
        {component="server",error_type="",http_request_method="_OTHER",http_response_status_code="404",http_route="",url_scheme="http"} 1"#]]
    .assert_eq(&counts.join("\n"));
    assert!(openmetrics(&snapshot).ends_with("# EOF\n"));
}

#[test]
fn connections_are_counted() {
    let service = Running::start(&list(), LISTENERS);
    get(service.main(), "/ping");
    let text = crate::support::wait_for("the connection is closed", || {
        let text = prometheus_text(&service.handle.metrics().snapshot());
        let closed = "http_server_connection_events_total{component=\"server\",event=\"closed\",listener=\"main\"} 1\n";
        text.contains(closed).then_some(text)
    });
    for line in [
        r#"http_server_connection_events_total{component="server",event="opened",listener="main"} 1"#,
        r#"http_server_connection_events_total{component="server",event="accept_failed",listener="main"} 0"#,
        r#"http_server_connection_events_total{component="server",event="opened",listener="monitor"} 0"#,
        r#"http_server_connections{component="server",listener="main"} 0"#,
    ] {
        assert!(text.contains(&format!("{line}\n")), "no `{line}` in:\n{text}");
    }
}

#[test]
fn userver_names_tell_the_same() {
    let service = Running::start(&list(), LISTENERS);
    get(service.main(), "/ping");
    request(service.main(), "POST /status", "", "503");
    let text = Format::Pretty.encode(&service.handle.metrics().userver(), std::time::SystemTime::now());
    for line in [
        "http.handler.in-flight: http_handler=handler-ping, http_path=/ping, version=2\tGAUGE\t0",
        "http.handler.reply-codes: http_code=200, http_handler=handler-ping, http_path=/ping, version=2\tRATE\t1",
        "http.handler.reply-codes: http_code=503, http_handler=handler-status, http_path=/status, version=2\tRATE\t1",
        "http.handler.rps: http_handler=handler-ping, http_path=/ping, version=2\tRATE\t1",
        "http.handler.total.in-flight: version=2\tGAUGE\t0",
        "http.handler.total.rps: version=2\tRATE\t2",
        "http.handler.total.reply-codes: http_code=503, version=2\tRATE\t1",
        "server.connections.opened: listener=main\tRATE\t2",
    ] {
        assert!(text.contains(&format!("{line}\n")), "no `{line}` in:\n{text}");
    }
}

#[test]
fn a_request_leaves_one_line_at_the_level_of_its_status() {
    let sections = "
        handler-ping: {status-codes-log-level: {200: debug}}
        handler-careless: {status-codes-log-level: {500: none}}
        handler-status: {status-codes-log-level: {404: info, 200: error}}";
    let service = Running::start(&list(), &format!("{LISTENERS}{sections}"));
    get(service.main(), "/ping");
    get(service.main(), "/greet?password=hush");
    get(service.main(), "/nowhere");
    get(service.main(), "/careless");
    request(service.main(), "POST /status", "", "503");
    request(service.main(), "POST /status", "", "404");
    let lines = service.logged("Request handled");
    let seen: Vec<_> = lines
        .iter()
        .map(|line| {
            ["level", "component", "method", "path", "route", "status"]
                .map(|key| line[key].to_string())
                .join(" ")
        })
        .collect();
    expect_test::expect![[r#"
        "DEBUG" "handler-ping" "GET" "/ping" "/ping" 200
        "INFO" "handler-greet" "GET" "/greet" "/greet" 200
        "WARNING" "server" "GET" "/nowhere" "" 404
        "ERROR" "handler-status" "POST" "/status" "/status" 503
        "INFO" "handler-status" "POST" "/status" "/status" 404"#]]
    .assert_eq(&seen.join("\n"));
    assert!(lines.iter().all(|line| line["duration_ms"].is_number()), "{lines:?}");
    assert!(service.logged("hush").is_empty(), "queries are not logged");
}

/// What one request to `/chatty` leaves, with the logger and the handler at these levels.
fn chat(logger: Level, section: &str) -> Vec<String> {
    let service = Running::start(&list(), &format!("{LISTENERS}\n        handler-chatty: {section}"));
    service.handle.logging().set_level("default", Some(logger)).expect("there is a logger");
    get(service.main(), "/chatty");
    get(service.main(), "/ping");
    let lines = service.logged("");
    let of_requests = lines.iter().filter(|line| {
        let text = line["text"].as_str().unwrap_or_default();
        text.starts_with("Chat") || text == "Request handled"
    });
    of_requests
        .map(|line| format!("{} {}", line["component"].as_str().unwrap_or_default(), line["text"]))
        .collect()
}

#[test]
fn the_log_level_of_a_handler_counts_for_all_of_its_requests_and_for_no_others() {
    const LINE: &str = r#"handler-chatty "Request handled""#;
    const DEBUG: &str = r#"handler-chatty "Chat at debug""#;
    const INFO: &str = r#"handler-chatty "Chat at info""#;
    const WARNING: &str = r#"handler-chatty "Chat at warning""#;
    // Tasks that the request makes are part of it.
    const BACKGROUND: &str = r#"handler-chatty "Chat in the background""#;
    const OTHER: &str = r#"handler-ping "Request handled""#;
    assert_eq!(chat(Level::Info, "{}"), [INFO, WARNING, LINE, OTHER]);
    assert_eq!(chat(Level::Info, "{log-level: debug}"), [DEBUG, INFO, WARNING, BACKGROUND, LINE, OTHER]);
    assert_eq!(chat(Level::Error, "{log-level: debug}"), [DEBUG, INFO, WARNING, BACKGROUND, LINE]);
    assert_eq!(chat(Level::Info, "{log-level: warning}"), [WARNING, OTHER]);
    assert_eq!(chat(Level::Debug, "{log-level: warning}"), [WARNING, OTHER]);
    assert_eq!(chat(Level::Info, "{log-level: none}"), [OTHER]);
    let line_above = "{log-level: warning, status-codes-log-level: {200: warning}}";
    assert_eq!(chat(Level::Info, line_above), [WARNING, LINE, OTHER]);
}

#[test]
fn a_long_path_is_cut_in_the_line_of_its_request() {
    let service = Running::start(&list(), LISTENERS);
    get(service.main(), &format!("/{}", "x".repeat(5000)));
    let lines = service.logged("Request handled");
    assert_eq!(lines[0]["path"].as_str().map(str::len), Some(300), "{lines:?}");
}

#[test]
fn each_listener_says_where_it_is() {
    let service = Running::start(&list(), LISTENERS);
    let lines = service.logged("Listening");
    let seen: Vec<_> = lines
        .iter()
        .map(|line| [&line["level"], &line["listener"], &line["address"]].map(ToString::to_string))
        .collect();
    let line = |listener: &str, address: std::net::SocketAddr| {
        ["\"INFO\"".to_owned(), format!("{listener:?}"), format!("\"{address}\"")]
    };
    assert_eq!(seen, [line("monitor", service.monitor()), line("main", service.main())]);
}

#[test]
fn handlers_that_nobody_has_asked_have_their_gauge_at_zero() {
    let service = Running::start(&list(), LISTENERS);
    let text = prometheus_text(&service.handle.metrics().snapshot());
    let line = "http_server_active_requests{component=\"handler-greet\",http_request_method=\"POST\",url_scheme=\"http\"} 0\n";
    assert!(text.contains(line), "{text}");
}
