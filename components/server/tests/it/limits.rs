//! How many requests a handler takes, as configured and as changed while it runs.

use std::io::Write;

use mainspring_config::Source;

use crate::handlers::{Gate, list};
use crate::support::{LISTENERS, Reply, Running, connect, get, read, wait_for};

const ACTIVE: &str =
    r#"http_server_active_requests{component="handler-held",http_request_method="GET",url_scheme="http"}"#;

fn start(limits: &str) -> Running {
    Running::start(&list(), &format!("{LISTENERS}\n        handler-held: {{{limits}}}"))
}

/// Makes these the limits of handlers; they count when this returns.
fn tune(service: &Running, handlers: &str) {
    let text = format!("{{MAINSPRING_HTTP_HANDLER: {handlers}}}");
    let values = mainspring_config::parse(&Source::new("values.yaml", text)).expect("it is YAML");
    let store = || service.handle.dynamic_config().store(&[&values]).expect("the values are right");
    let _changed = tracing::dispatcher::with_default(&service.handle.logging().dispatch(), store);
}

/// What is said to a request that comes while `held` others are under way, which are let go afterwards.
fn reply_beside(service: &Running, held: u32) -> Reply {
    let ask = || {
        let mut stream = connect(service.main());
        write!(stream, "GET /held HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").expect("it reads");
        stream
    };
    let held_now = |n: u32| service.metric(ACTIVE) == Some(n.into());
    let others: Vec<_> = (0..held).map(|_| ask()).collect();
    wait_for("the others are held", || held_now(held).then_some(()));
    let mut one_more = ask();
    one_more.set_nonblocking(true).expect("sockets can");
    wait_for("it is refused, or held too", || {
        (one_more.peek(&mut [0]).is_ok() || held_now(held + 1)).then_some(())
    });
    one_more.set_nonblocking(false).expect("sockets can");
    Gate::open(service);
    assert!(others.into_iter().all(|mut other| read(&mut other).status == 200));
    let reply = read(&mut one_more);
    Gate::close(service);
    reply
}

#[test]
fn one_request_too_many_at_the_same_time_is_refused_and_counted() {
    let service = start("max_requests_in_flight: 2");
    assert_eq!(reply_beside(&service, 1).status, 200);
    let refused = reply_beside(&service, 2);
    assert_eq!(
        (refused.status, refused.text().as_str(), refused.header("x-yataxi-ratelimit-reason")),
        (
            429,
            r#"{"code":"429","message":"too many requests at the same time"}"#,
            Some("max-requests-in-flight")
        )
    );
    assert_eq!(refused.header("retry-after"), None);
    let counted =
        r#"http_server_rejected_requests_total{component="handler-held",reason="max_requests_in_flight"}"#;
    assert_eq!(service.metric(counted), Some(1.0));
}

#[test]
fn more_requests_per_second_than_allowed_are_refused_and_told_when_to_come_again() {
    let service = Running::start(
        &list(),
        &format!("{LISTENERS}\n        handler-ping: {{max_requests_per_second: 1}}"),
    );
    assert_eq!(get(service.main(), "/ping").status, 200);
    let refused = get(service.main(), "/ping");
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("x-yataxi-ratelimit-reason"), Some("global-ratelimit"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    let counted =
        r#"http_server_rejected_requests_total{component="handler-ping",reason="max_requests_per_second"}"#;
    assert_eq!(service.metric(counted), Some(1.0));
}

#[test]
fn limits_are_changed_while_the_service_runs() {
    let service = start("max_requests_in_flight: 3");
    tune(&service, "{handler-held: {max_requests_in_flight: 1}, handler-other: {throttling_enabled: false}}");
    assert_eq!(reply_beside(&service, 1).status, 429);
    tune(&service, "{handler-held: {throttling_enabled: false}}");
    assert_eq!(reply_beside(&service, 3).status, 200);
    tune(&service, "{}");
    assert_eq!(reply_beside(&service, 3).status, 429, "as configured again");
    assert_eq!(service.logged("Limits of a handler changed").len(), 3);
}

#[test]
fn limits_that_would_let_nobody_in_are_wrong() {
    let sections = format!(
        "{LISTENERS}\n        handler-held: {{max_requests_in_flight: 0, max_requests_per_second: 0}}"
    );
    let problems = crate::support::check(&list(), &sections).expect_err("nobody could come").to_string();
    expect_test::expect![[r#"
        test.yaml:14:48: handler-held.max_requests_in_flight: expected an integer of at least 1, found `0`
        test.yaml:14:76: handler-held.max_requests_per_second: expected an integer from 1 to 4294967295, found `0`"#]].assert_eq(&problems);
    let service = start("");
    let values = "{MAINSPRING_HTTP_HANDLER: {handler-held: {max_requests_per_second: 0}}}";
    let values = mainspring_config::parse(&Source::new("values.yaml", values)).expect("it is YAML");
    let problems = service.handle.dynamic_config().store(&[&values]).expect_err("nobody could come");
    expect_test::expect!["values.yaml:1:68: MAINSPRING_HTTP_HANDLER.handler-held.max_requests_per_second: expected an integer from 1 to 4294967295, found `0`"].assert_eq(&problems.to_string());
}
