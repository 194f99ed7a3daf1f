//! Requests and their answers, word by word.

use expect_test::{Expect, expect};
use mainspring_it::{ServiceConfig, ServiceProcess};

use crate::{BINARY, CONFIG, hello_service};

#[track_caller]
fn check_hello(bodies: &[&str], expected: Expect) {
    let service = hello_service();
    let answers = bodies.iter().map(|body| {
        let answer = service.post("/hello", body);
        format!("{} {} {}\n", answer.status.as_u16(), answer.header("content-type"), answer.body)
    });
    expected.assert_eq(&answers.collect::<String>());
}

#[test]
fn hello_is_answered_in_the_configured_words() {
    check_hello(
        &[r#"{"name": "Ada"}"#],
        expect![[r#"
        200 application/json {"message":"Hello, Ada!"}
    "#]],
    );
}

#[test]
fn wrong_body_is_answered_with_the_reason() {
    let bodies =
        ["", "{", "[]", r#"{"nam": "Ada"}"#, r#"{"name": 1}"#, r#"{"name": "Ada"} x"#, r#"{"name": ""}"#];
    check_hello(
        &bodies,
        expect![[r#"
        400 application/json {"code":"400","message":"Invalid JSON body: invalid type: null, expected struct HelloRequest at line 1 column 4"}
        400 application/json {"code":"400","message":"Invalid JSON body: EOF while parsing an object at line 1 column 1"}
        400 application/json {"code":"400","message":"Invalid JSON body: invalid length 0, expected struct HelloRequest with 1 element at line 1 column 2"}
        400 application/json {"code":"400","message":"Invalid JSON body: missing field `name` at line 1 column 14"}
        400 application/json {"code":"400","message":"Invalid JSON body: `name`: invalid type: integer `1`, expected a string at line 1 column 10"}
        400 application/json {"code":"400","message":"Invalid JSON body: trailing characters at line 1 column 17"}
        400 application/json {"code":"400","message":"a name is not empty"}
    "#]],
    );
}

#[test]
fn other_paths_and_methods_are_refused() {
    let service = hello_service();
    assert_eq!(service.get("/ping").brief(), (200, ""));
    assert_eq!(service.get("/nothing").brief(), (404, r#"{"code":"404","message":"Not Found"}"#));
    let refused = service.get("/hello");
    assert_eq!(refused.brief(), (405, r#"{"code":"405","message":"Method Not Allowed"}"#));
    assert_eq!(refused.header("allow"), "POST");
}

#[test]
fn body_that_is_too_large_is_refused() {
    let config = ServiceConfig::of(CONFIG);
    let config = config.with("path: /hello\n", "path: /hello\n            max_request_size: 1KiB\n");
    let service = ServiceProcess::start(BINARY, &config, &[]);
    let body = format!(r#"{{"name": "{}"}}"#, "x".repeat(1 << 10));
    let refused = service.post("/hello", &body);
    assert_eq!(refused.brief(), (413, r#"{"code":"413","message":"the request body is too large"}"#));
}

#[test]
fn requests_are_counted() {
    let service = hello_service();
    service.post("/hello", r#"{"name": "Ada"}"#);
    service.post("/hello", "{");
    let metrics = service.metrics();
    let count = |status: &str| {
        let labels = [("component", "handler-hello"), ("http_response_status_code", status)];
        metrics.sum("http_server_request_duration_seconds_count", &labels)
    };
    assert_eq!((count("200"), count("400"), count("500")), (1.0, 1.0, 0.0));
}

#[test]
fn probes_answer_on_the_monitor_listener_only() {
    let service = hello_service();
    for path in ["/health/live", "/health/ready", "/health/started", "/metrics"] {
        assert_eq!(service.monitor(path).status, 200, "{path} on the monitor listener");
        assert_eq!(service.get(path).status, 404, "{path} on the main listener");
    }
}
