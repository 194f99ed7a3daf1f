//! What happens when a handler fails, or its client does.

use crate::handlers::list;
use crate::support::{LISTENERS, Running, connect, get, request, wait_for};
use std::io::Write;

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
    let active = |service: &Running| {
        let text = mainspring_metrics::prometheus_text(&service.handle.metrics().snapshot());
        text.lines()
            .find(|line| line.starts_with(r#"http_server_active_requests{component="handler-endless""#))
            .map(|line| line.ends_with(" 1"))
    };
    wait_for("the request is under way", || (active(&service) == Some(true)).then_some(()));
    drop(stream);
    wait_for("the request is given up", || (active(&service) == Some(false)).then_some(()));
    let lines = service.logged("handler-endless");
    assert!(lines.iter().any(|line| line.to_string().contains("499")), "{lines:?}");
    service.stop().expect("nothing holds the stop up");
}

#[test]
fn nonsense_instead_of_a_request_is_a_400() {
    let service = Running::start(&list(), LISTENERS);
    let mut stream = connect(service.main());
    write!(stream, "what's the weather?\r\n\r\n").unwrap();
    assert_eq!(crate::support::read(&mut stream).status, 400);
}
