//! What happens when a handler fails, or its client does.

use std::io::{Read, Write};

use crate::handlers::{Large, list};
use crate::support::{LISTENERS, Running, connect, get, request};

const INTERNAL: &str = r#"{"code":"500","message":"Internal Server Error"}"#;

#[test]
fn a_panic_is_a_500_and_logged_once_with_its_place() {
    let service = Running::start(&list(), LISTENERS);
    let reply = get(service.main(), "/careless");
    assert_eq!((reply.status, reply.text().as_str()), (500, INTERNAL));
    let panics = service.logged("the handler lost its head");
    assert_eq!(panics.len(), 1, "{panics:?}");
    assert!(panics[0].to_string().contains("tests/it/handlers.rs"), "{}", panics[0]);
    assert!(panics[0].to_string().contains("handler-careless"), "{}", panics[0]);
    assert_eq!(get(service.main(), "/ping").status, 200, "the service lives on");
}

#[test]
fn an_unforeseen_error_is_logged_once_and_tells_the_client_nothing() {
    let service = Running::start(&list(), LISTENERS);
    let reply = request(service.main(), "POST /status", "", "secret");
    assert_eq!((reply.status, reply.text().as_str()), (500, INTERNAL));
    let lines = service.logged("invalid digit found in string");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(service.logged("secret").is_empty(), "bodies are never logged");
}

#[test]
fn a_client_that_goes_away_cancels_its_request() {
    let service = Running::start(&list(), LISTENERS);
    let mut stream = connect(service.main());
    write!(stream, "GET /endless HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    let active = r#"http_server_active_requests{component="handler-endless",http_request_method="GET",url_scheme="http"}"#;
    service.wait_for_metric(active, 1.0);
    drop(stream);
    // Everything else is reported before the gauge falls.
    service.wait_for_metric(active, 0.0);
    let measured = r#"http_server_request_duration_seconds_count{component="handler-endless",error_type="client_closed",http_request_method="GET",http_response_status_code="",http_route="/endless",url_scheme="http"}"#;
    assert_eq!(service.metric(measured), Some(1.0), "nothing was sent, so there is no status");
    let lines = service.logged("handler-endless");
    assert!(lines.iter().any(|line| line.to_string().contains("499")), "{lines:?}");
    service.stop().expect("nothing holds the stop up");
}

#[test]
fn nonsense_instead_of_a_request_is_a_400_and_counted() {
    let service = Running::start(&list(), LISTENERS);
    let mut stream = connect(service.main());
    write!(stream, "what's the weather?\r\n\r\n").unwrap();
    assert_eq!(crate::support::read(&mut stream).status, 400);
    service.wait_for_metric(&rejected("malformed"), 1.0);
    let lines = service.logged("Request refused");
    assert_eq!(
        (lines.len(), &lines[0]["level"], &lines[0]["reason"]),
        (1, &"DEBUG".into(), &"malformed".into())
    );
}

#[test]
fn a_head_that_does_not_come_whole_is_counted_and_a_connection_that_nobody_uses_is_not() {
    let service = Running::start(&list(), &impatient("read_timeout: 2s"));
    let mut silent = connect(service.main());
    assert_eq!(silent.read(&mut [0]).unwrap(), 0, "the service closes it");
    let mut begun = connect(service.main());
    write!(begun, "GET /ping HTTP/1.1\r\nhos").unwrap();
    begun.read_to_end(&mut Vec::new()).unwrap();
    service.wait_for_metric(r#"http_server_connections{component="server",listener="main"}"#, 0.0);
    assert_eq!(service.metric(&rejected("head_timeout")), Some(1.0));
}

#[test]
fn a_body_that_stalls_is_a_408_and_frees_its_handler_and_connection() {
    let service = Running::start(&list(), &impatient("read_timeout: 2s"));
    let mut stream = connect(service.main());
    write!(stream, "POST /status HTTP/1.1\r\nhost: test\r\ncontent-length: 100\r\n\r\n2").unwrap();
    let reply = crate::support::read(&mut stream);
    let body = r#"{"code":"408","message":"the request body did not come in time"}"#;
    assert_eq!((reply.status, reply.text().as_str()), (408, body));
    let rejected = r#"http_server_rejected_requests_total{component="handler-status",reason="body_timeout"}"#;
    assert_eq!(service.metric(rejected), Some(1.0));
    service.wait_for_metric(r#"http_server_connections{component="server",listener="main"}"#, 0.0);
}

#[test]
fn a_client_that_does_not_take_its_answer_is_given_up_on() {
    let service = Running::start(&list(), &impatient("write_timeout: 3s"));
    let mut stream = connect(service.main());
    write!(stream, "GET /large HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    let stalled =
        r#"http_server_connection_events_total{component="server",event="stalled",listener="main"}"#;
    service.wait_for_metric(stalled, 1.0);
    service.wait_for_metric(r#"http_server_connections{component="server",listener="main"}"#, 0.0);
    drop(stream);
    assert_eq!(get(service.main(), "/large").body.len(), Large::BYTES, "who takes it gets it");
    assert_eq!(service.metric(stalled), Some(1.0));
}

fn impatient(timeout: &str) -> String {
    format!(
        "
        server:
            listener: {{address: 127.0.0.1, port: 0, task_processor: main-task-processor, {timeout}}}"
    )
}

fn rejected(reason: &str) -> String {
    format!(r#"http_server_rejected_requests_total{{component="server",reason="{reason}"}}"#)
}
