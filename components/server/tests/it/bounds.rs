//! Sizes and numbers that have a limit.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::handlers::list;
use crate::support::{LISTENERS, Running, connect, get, read, request};

const SMALL: &str = "
        handler-greet: {max_request_size: 20}";
const TOO_LARGE: &str = r#"{"code":"413","message":"the request body is too large"}"#;

#[test]
fn a_body_of_exactly_the_limit_is_read() {
    let service = Running::start(&list(), &format!("{LISTENERS}{SMALL}"));
    let fits = r#"{"names": ["Ada Lo"]}"#;
    let reply = request(service.main(), "POST /greet", "", &fits.replace(": ", ":"));
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(request(service.main(), "POST /greet", "", fits).status, 413);
}

#[test]
fn an_announced_body_that_is_too_large_is_refused_unread() {
    let service = Running::start(&list(), &format!("{LISTENERS}{SMALL}"));
    let reply = request(service.main(), "POST /greet", "content-length: 1000000\r\n", "");
    assert_eq!((reply.status, reply.text().as_str()), (413, TOO_LARGE));
    assert_rejected(&service, 1);
}

#[test]
fn an_unannounced_body_that_is_too_large_is_refused_while_it_streams() {
    let service = Running::start(&list(), &format!("{LISTENERS}{SMALL}"));
    let chunks = "a\r\n0123456789\r\nb\r\n0123456789A\r\n";
    let mut stream = connect(service.main());
    let head =
        "POST /greet HTTP/1.1\r\nhost: test\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    write!(stream, "{head}{chunks}").unwrap();
    // The body has no end, and the answer comes nevertheless.
    let reply = read(&mut stream);
    assert_eq!((reply.status, reply.text().as_str()), (413, TOO_LARGE));
    assert_rejected(&service, 1);
}

#[test]
fn a_client_that_sends_all_of_a_body_that_is_too_large_reads_the_answer_afterwards() {
    let service = Running::start(&list(), &format!("{LISTENERS}{SMALL}"));
    // More than the kernel's buffers hold, so that a server that stops reading resets the connection.
    let body = "x".repeat(8 << 20);
    for _ in 0..8 {
        let reply = request(service.main(), "POST /greet", "", &body);
        assert_eq!((reply.status, reply.text().as_str()), (413, TOO_LARGE));
        assert_eq!(request(service.main(), "POST /nothing", "", &body).status, 404);
    }
}

#[test]
fn a_client_that_asks_before_it_sends_is_refused_without_being_told_to_continue() {
    let service = Running::start(&list(), &format!("{LISTENERS}{SMALL}"));
    let asks = "content-length: 1000000\r\nexpect: 100-continue\r\n";
    let reply = request(service.main(), "POST /greet", asks, "");
    assert_eq!((reply.status, reply.text().as_str()), (413, TOO_LARGE));
}

#[test]
fn the_listener_sets_the_limit_of_handlers_that_set_none() {
    let listeners = "
        server:
            listener:
                address: 127.0.0.1
                port: 0
                task_processor: main-task-processor
                handler-defaults: {max_request_size: 3}";
    let service = Running::start(&list(), listeners);
    assert_eq!(request(service.main(), "POST /status", "", "0204").status, 413);
    assert_eq!(request(service.main(), "POST /status", "", "204").status, 204);
}

#[test]
fn a_head_of_too_many_headers_is_a_431() {
    let service = Running::start(&list(), LISTENERS);
    let headers = |n| "x-header: value\r\n".repeat(n);
    assert_eq!(request(service.main(), "GET /ping", &headers(90), "").status, 200);
    assert_eq!(request(service.main(), "GET /ping", &headers(110), "").status, 431);
    service.wait_for_metric(
        r#"http_server_rejected_requests_total{component="server",reason="head_size"}"#,
        1.0,
    );
}

#[test]
fn connections_over_the_limit_wait_for_their_turn() {
    let listeners = "
        server:
            listener: {address: 127.0.0.1, port: 0, task_processor: main-task-processor, max_connections: 1}";
    let service = Running::start(&list(), listeners);
    let opened = || {
        let series =
            r#"http_server_connection_events_total{component="server",event="opened",listener="main"}"#;
        service.metric(series).unwrap()
    };
    let mut first = connect(service.main());
    let ping = |stream: &mut TcpStream| {
        write!(stream, "GET /ping HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    };
    ping(&mut first);

    let mut second = connect(service.main());
    write!(second, "GET /ping HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").unwrap();
    // Time enough for a server that would take it, without a pause that a slow machine makes too short.
    for _ in 0..200 {
        ping(&mut first);
    }
    assert_eq!(opened(), 1.0, "the second waits in the backlog");
    drop(first);
    assert_eq!(read(&mut second).status, 200);
    assert_eq!(opened(), 2.0);
}

#[test]
fn one_connection_carries_many_requests() {
    let service = Running::start(&list(), LISTENERS);
    let mut stream = connect(service.main());
    let kept = "GET /ping HTTP/1.1\r\nhost: test\r\n\r\n";
    let last = "GET /nowhere HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
    write!(stream, "{kept}{kept}{last}").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 2, "{text}");
    assert_eq!(text.matches("HTTP/1.1 404").count(), 1, "{text}");
    assert_eq!(get(service.main(), "/ping").status, 200);
}

fn assert_rejected(service: &Running, expected: u64) {
    let text = mainspring_metrics::prometheus_text(&service.handle.metrics().snapshot());
    let line = format!(
        "http_server_rejected_requests_total{{component=\"handler-greet\",reason=\"body_size\"}} {expected}\n"
    );
    assert!(text.contains(&line), "no `{line}` in:\n{text}");
}
