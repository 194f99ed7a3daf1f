//! Bodies of requests, bounded while they stream.

use axum::body::Body;
use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::HandlerError;

/// Value of the label `error_type`, and of `reason`, when a body is larger than its handler allows.
pub(crate) const BODY_SIZE: &str = "body_size";

/// The same when a client stalls in the middle of a body.
pub(crate) const BODY_TIMEOUT: &str = "body_timeout";

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The client sent nothing for too long.
    #[error("the client stopped sending")]
    Stalled,
    /// The connection broke, or what came is no body.
    #[error(transparent)]
    Broken(hyper::Error),
}

/// The same body, ending in an error after `bytes_max`.
pub(crate) fn limited(body: Body, bytes_max: usize) -> Body {
    Body::new(Limited::new(body, bytes_max))
}

/// The whole body of a request. It is already bounded by the handler's `max_request_size`, and each wait for more of
/// it by the listener's `read_timeout`.
///
/// # Errors
/// 413 when it is larger than the handler allows, 408 when the client stalls, 400 when it stops in the middle.
///
/// # Cancel safety
/// When dropped, what was read is lost.
pub async fn read_body(body: Body) -> Result<Bytes, HandlerError> {
    match body.collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if has_cause(&error, |cause| cause.is::<LengthLimitError>()) => Err(too_large()),
        Err(error) if has_cause(&error, is_stall) => Err(stalled()),
        Err(error) => Err(HandlerError::bad_request("the request body ended early").with_cause(error)),
    }
}

pub(crate) fn too_large() -> HandlerError {
    HandlerError::payload_too_large("the request body is too large").with_error_type(BODY_SIZE)
}

fn stalled() -> HandlerError {
    HandlerError::new(StatusCode::REQUEST_TIMEOUT, "the request body did not come in time")
        .with_error_type(BODY_TIMEOUT)
}

fn is_stall(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(BodyError::Stalled))
}

fn has_cause(
    error: &(dyn std::error::Error + 'static),
    is_wanted: impl Fn(&(dyn std::error::Error + 'static)) -> bool,
) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(is_wanted)
}
