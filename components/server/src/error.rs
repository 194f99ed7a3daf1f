//! What a handler answers instead of a result.
//!
//! The body is `{"code": .., "message": .., "details": ..}`. Nothing of an unforeseen error reaches the client;
//! its text goes into the request's log line, once.

use std::error::Error;
use std::fmt;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use mainspring_logging::Chain;
use serde_json::{Map, Value};

/// An answer that is no success.
///
/// Any error converts into it with `?` and becomes a 500 that tells the client nothing and the log everything.
/// Like other catch-all errors it is not an [`Error`] itself, or that conversion would not be possible.
///
/// ```
/// use mainspring_server::HandlerError;
///
/// fn parse(text: &str) -> Result<u16, HandlerError> {
///     let number: i64 = text.parse().map_err(|_| HandlerError::bad_request("not a number"))?;
///     Ok(u16::try_from(number)?)
/// }
///
/// assert_eq!(parse("x").unwrap_err().status(), 400);
/// assert_eq!(parse("-1").unwrap_err().status(), 500);
/// ```
#[derive(Debug)]
pub struct HandlerError {
    /// Boxed, so that results which hold no error stay small.
    parts: Box<Parts>,
}

#[derive(Debug)]
struct Parts {
    status: StatusCode,
    message: String,
    code: Option<String>,
    details: Option<Value>,
    body: Option<Value>,
    error_type: Option<&'static str>,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

/// What the observer has to know of a response that is no success; travels as an extension of the response.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failure {
    /// Value of the label `error_type`; the status when there is none.
    pub(crate) error_type: Option<&'static str>,
    /// What happened, for the log.
    pub(crate) cause: Option<String>,
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident = $status:ident;)*) => {
        impl HandlerError {
            $(
                $(#[$doc])*
                pub fn $name(message: impl Into<String>) -> Self {
                    Self::new(StatusCode::$status, message)
                }
            )*
        }
    };
}

constructors! {
    /// 400: the request cannot be understood.
    bad_request = BAD_REQUEST;
    /// 401: the client has not said who it is.
    unauthorized = UNAUTHORIZED;
    /// 403: the client may not do this.
    forbidden = FORBIDDEN;
    /// 404: there is no such thing.
    not_found = NOT_FOUND;
    /// 405: not in this way.
    method_not_allowed = METHOD_NOT_ALLOWED;
    /// 406: not in a form that the client accepts.
    not_acceptable = NOT_ACCEPTABLE;
    /// 409: it contradicts what is there.
    conflict = CONFLICT;
    /// 413: the request is too large.
    payload_too_large = PAYLOAD_TOO_LARGE;
    /// 415: the body is in a form that the service does not read.
    unsupported_media_type = UNSUPPORTED_MEDIA_TYPE;
    /// 429: later, please.
    too_many_requests = TOO_MANY_REQUESTS;
    /// 500: the service failed.
    internal = INTERNAL_SERVER_ERROR;
    /// 502: a service behind this one failed.
    bad_gateway = BAD_GATEWAY;
    /// 503: the service cannot do this now.
    service_unavailable = SERVICE_UNAVAILABLE;
    /// 504: a service behind this one did not answer in time.
    gateway_timeout = GATEWAY_TIMEOUT;
}

impl HandlerError {
    /// An answer with any status; `message` is for the client.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let parts = Parts {
            status,
            message: message.into(),
            code: None,
            details: None,
            body: None,
            error_type: None,
            cause: None,
        };
        Self { parts: Box::new(parts) }
    }

    /// With the service's own code in place of the status number.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.parts.code = Some(code.into());
        self
    }

    /// With facts that a client's code can read.
    #[must_use]
    pub fn with_details(mut self, details: Value) -> Self {
        self.parts.details = Some(details);
        self
    }

    /// With a body in the service's own form, which replaces code, message and details.
    #[must_use]
    pub fn with_body(mut self, body: Value) -> Self {
        self.parts.body = Some(body);
        self
    }

    /// With the error behind it, for the log alone.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.parts.cause = Some(cause.into());
        self
    }

    /// With what the label `error_type` says in place of the status.
    pub(crate) fn with_error_type(mut self, error_type: &'static str) -> Self {
        self.parts.error_type = Some(error_type);
        self
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.parts.status
    }

    /// The answer itself.
    #[must_use]
    pub fn into_response(self) -> Response {
        let Parts { status, message, code, details, body, error_type, cause } = *self.parts;
        let failure = Failure { error_type, cause: cause.as_deref().map(|cause| Chain(cause).to_string()) };
        let body = body.unwrap_or_else(|| {
            let mut body = Map::new();
            let code = code.unwrap_or_else(|| status.as_str().to_owned());
            body.insert("code".to_owned(), code.into());
            body.insert("message".to_owned(), message.into());
            if let Some(details) = details {
                body.insert("details".to_owned(), details);
            }
            body.into()
        });
        let mut response = json_response(status, body.to_string());
        response.extensions_mut().insert(failure);
        response
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::internal("Internal Server Error").with_cause(error)
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.parts.status.as_str(), self.parts.message)
    }
}

/// A response whose body is JSON text.
pub(crate) fn json_response(status: StatusCode, text: impl Into<Body>) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
