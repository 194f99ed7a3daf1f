//! Bodies of requests, bounded while they stream.

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::HandlerError;

/// Value of the label `error_type`, and of `reason`, when a body is larger than its handler allows.
pub(crate) const BODY_SIZE: &str = "body_size";

/// The same body, ending in an error after `bytes_max`.
pub(crate) fn limited(body: Body, bytes_max: usize) -> Body {
    Body::new(Limited::new(body, bytes_max))
}

/// The whole body of a request. It is already bounded by the handler's `max_request_size`.
///
/// # Errors
/// 413 when it is larger than the handler allows, 400 when the client stops in the middle.
///
/// # Cancel safety
/// When dropped, what was read is lost.
pub async fn read_body(body: Body) -> Result<Bytes, HandlerError> {
    match body.collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if is_length_limit(&error) => Err(too_large()),
        Err(error) => Err(HandlerError::bad_request("the request body ended early").with_cause(error)),
    }
}

pub(crate) fn too_large() -> HandlerError {
    HandlerError::payload_too_large("the request body is too large").with_error_type(BODY_SIZE)
}

fn is_length_limit(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}
