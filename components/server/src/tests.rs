//! Facts about the parts that need no service around them.

use http::StatusCode;
use serde_json::json;

use crate::error::Failure;
use crate::path::PathTemplate;
use crate::{HandlerError, Methods};

#[test]
fn paths_become_patterns_of_the_router() {
    let patterns = [
        ("/", "/"),
        ("/orders", "/orders"),
        ("/orders/", "/orders/"),
        ("/orders/{id}/items/{item_no}", "/orders/{id}/items/{item_no}"),
        ("/files/*", "/files/{*path}"),
        ("/*", "/{*path}"),
    ];
    for (text, pattern) in patterns {
        let template = PathTemplate::parse(text).unwrap();
        assert_eq!((template.pattern(), template.to_string().as_str()), (pattern, text));
    }
}

#[test]
fn paths_that_the_router_would_misread_are_refused() {
    for text in ["", "orders", "/*/a", "/a*", "/{}", "/a{b}", "/{a}b", "/{a", "/:id", "/{*rest}"] {
        assert!(PathTemplate::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_last_segment_can_be_left_out() {
    let patterns = |path| PathTemplate::parse(path).unwrap().patterns_without_last();
    assert_eq!(patterns("/a/{b}"), ["/a/{b}", "/a/", "/a"]);
    assert_eq!(patterns("/{b}"), ["/{b}", "/"]);
}

#[test]
fn methods_are_a_list_or_text() {
    let methods = |value| serde_json::from_value::<Methods>(value).map(|methods| methods.to_string());
    assert_eq!(methods(json!("get, POST")).unwrap(), "GET,POST");
    assert_eq!(methods(json!(["PUT", "delete"])).unwrap(), "PUT,DELETE");
    assert_eq!(methods(json!("GET,get")).unwrap_err().to_string(), "method `GET` is named twice");
    assert_eq!(methods(json!([])).unwrap_err().to_string(), "expected at least one method");
    assert!(
        methods(json!("BREW")).unwrap_err().to_string().starts_with("unknown method `BREW`; known: `GET`")
    );
}

#[test]
fn each_kind_of_error_has_its_status() {
    let kinds = [
        (HandlerError::bad_request(""), 400),
        (HandlerError::unauthorized(""), 401),
        (HandlerError::forbidden(""), 403),
        (HandlerError::not_found(""), 404),
        (HandlerError::method_not_allowed(""), 405),
        (HandlerError::not_acceptable(""), 406),
        (HandlerError::conflict(""), 409),
        (HandlerError::payload_too_large(""), 413),
        (HandlerError::unsupported_media_type(""), 415),
        (HandlerError::too_many_requests(""), 429),
        (HandlerError::internal(""), 500),
        (HandlerError::bad_gateway(""), 502),
        (HandlerError::service_unavailable(""), 503),
        (HandlerError::gateway_timeout(""), 504),
    ];
    for (error, status) in kinds {
        assert_eq!(error.status(), status);
        assert_eq!(error.into_response().status(), status);
    }
}

#[test]
fn a_body_of_ones_own_replaces_the_usual_one() {
    let error =
        HandlerError::too_many_requests("ignored").with_code("ignored").with_body(json!({"error": "later"}));
    assert_eq!(body(error), (StatusCode::TOO_MANY_REQUESTS, r#"{"error":"later"}"#.to_owned()));
}

#[test]
fn an_error_keeps_its_causes_for_the_log() {
    #[derive(Debug, thiserror::Error)]
    #[error("cannot ask the database")]
    struct Outer(#[source] std::num::ParseIntError);

    let error = HandlerError::from(Outer("x".parse::<u8>().unwrap_err()));
    let response = error.into_response();
    let failure = response.extensions().get::<Failure>().unwrap();
    assert_eq!(failure.cause.as_deref(), Some("cannot ask the database: invalid digit found in string"));
}

#[test]
fn handles_can_cross_threads() {
    fn crosses<T: Send + Sync>() {}
    crosses::<crate::ServerComponent>();
    crosses::<crate::HttpHandlerComponent<crate::PingHandler>>();
    crosses::<crate::RequestContext>();
    crosses::<HandlerError>();
}

fn body(error: HandlerError) -> (StatusCode, String) {
    let response = error.into_response();
    let status = response.status();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let bytes = runtime.block_on(crate::read_body(response.into_body())).unwrap();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}
