//! What clients get.

use crate::handlers::list;
use crate::support::{LISTENERS, Running, get, request};

#[test]
fn a_json_handler_answers_with_json() {
    let service = Running::start(&list(), LISTENERS);
    let reply = request(service.main(), "POST /greet?title=Dr%2E+No", "", r#"{"names": ["Ada", "Alan"]}"#);
    let body = r#"{"greeting":"Hello, Ada and Alan","thread":"main-worker","path":null,"title":"Dr. No"}"#;
    assert_eq!((reply.status, reply.text().as_str()), (200, body));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("content-length"), Some(body.len().to_string().as_str()));
    assert!(reply.header("date").is_some());
}

#[test]
fn an_empty_body_is_null() {
    let service = Running::start(&list(), LISTENERS);
    let reply = get(service.main(), "/greet");
    assert_eq!(reply.status, 200);
    assert!(reply.text().starts_with(r#"{"greeting":"Hello, ""#), "{reply:?}");
}

#[test]
fn head_is_get_without_the_body() {
    let service = Running::start(&list(), LISTENERS);
    let (head, get) = (request(service.main(), "HEAD /greet", "", ""), get(service.main(), "/greet"));
    assert_eq!((head.status, head.body.as_slice()), (200, b"".as_slice()));
    assert_eq!(head.header("content-length"), get.header("content-length"));
}

#[test]
fn a_handler_takes_path_methods_and_own_keys_from_its_section() {
    let section = "
        handler-greet: {path: '/people/{who}/greet', method: [PUT, patch], greeting: Ahoy}";
    let service = Running::start(&list(), &format!("{LISTENERS}{section}"));
    let reply = request(service.main(), "PATCH /people/ada%20l/greet", "", "null");
    let body = r#"{"greeting":"Ahoy, ","thread":"main-worker","path":"ada l","title":null}"#;
    assert_eq!((reply.status, reply.text().as_str()), (200, body));
    assert_eq!(get(service.main(), "/greet").status, 404);
}

#[test]
fn a_handler_runs_on_its_task_processor() {
    let section = "
        handler-greet: {task_processor: other-task-processor}";
    let service = Running::start(&list(), &format!("{LISTENERS}{section}"));
    let reply = get(service.main(), "/greet");
    assert!(reply.text().contains(r#""thread":"other-worker""#), "{reply:?}");
}

#[test]
fn a_star_stands_for_everything_below() {
    let section = "
        handler-ping: {path: '/files/*'}";
    let service = Running::start(&list(), &format!("{LISTENERS}{section}"));
    assert_eq!(get(service.main(), "/files/a/b.txt").status, 200);
    assert_eq!(get(service.main(), "/file").status, 404);
}

#[test]
fn unknown_paths_and_methods_are_json_errors() {
    let service = Running::start(&list(), LISTENERS);
    let reply = get(service.main(), "/nowhere");
    assert_eq!((reply.status, reply.text().as_str()), (404, r#"{"code":"404","message":"Not Found"}"#));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let reply = request(service.main(), "DELETE /greet", "", "");
    assert_eq!(
        (reply.status, reply.text().as_str()),
        (405, r#"{"code":"405","message":"Method Not Allowed"}"#)
    );
    let mut allowed: Vec<_> = reply.header("allow").expect("405 says what is allowed").split(',').collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
}

#[test]
fn json_that_does_not_fit_is_refused_with_its_place() {
    let service = Running::start(&list(), LISTENERS);
    let refused = [
        (
            r#"{"names": ["Ada", 1]}"#,
            "`names[1]`: invalid type: integer `1`, expected a string at line 1 column 19",
        ),
        (r#"{"names": "#, "`names`: EOF while parsing a value at line 1 column 10"),
        ("{}", "missing field `names` at line 1 column 2"),
        ("null null", "trailing characters at line 1 column 6"),
    ];
    for (body, message) in refused {
        let reply = request(service.main(), "POST /greet", "", body);
        let expected = serde_json::json!({"code": "400", "message": format!("Invalid JSON body: {message}")});
        assert_eq!((reply.status, reply.text()), (400, expected.to_string()), "{body}");
    }
}

#[test]
fn a_handler_error_keeps_code_and_details() {
    let service = Running::start(&list(), LISTENERS);
    let reply = request(service.main(), "POST /greet", "", r#"{"names": [""]}"#);
    let body = r#"{"code":"EMPTY","details":{"names":[""]},"message":"a name is empty"}"#;
    assert_eq!((reply.status, reply.text().as_str()), (409, body));
}

#[test]
fn ping_is_an_empty_200() {
    let service = Running::start(&list(), LISTENERS);
    let reply = get(service.main(), "/ping");
    assert_eq!((reply.status, reply.text().as_str()), (200, ""));
}

#[test]
fn the_two_listeners_have_routes_of_their_own() {
    let section = "
        handler-ping: {monitor-handler: true}";
    let service = Running::start(&list(), &format!("{LISTENERS}{section}"));
    assert_eq!((get(service.monitor(), "/ping").status, get(service.main(), "/ping").status), (200, 404));
    assert_eq!((get(service.monitor(), "/greet").status, get(service.main(), "/greet").status), (404, 200));
}
