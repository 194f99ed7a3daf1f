//! The bound on the body of a request: by its announced length at once, otherwise while it streams. Also counts the
//! bodies that were refused.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use futures_util::future::BoxFuture;
use hyper::body::Body as _;

use super::{Middleware, Next};
use crate::body::{limited, too_large};
use crate::error::Failure;
use crate::events::RouteEvents;

/// Answers 413 to a body that is too large; counts it, and one that did not come in time.
pub(crate) struct BodyLimit {
    pub(crate) bytes_max: usize,
    pub(crate) events: Arc<RouteEvents>,
}

impl Middleware for BodyLimit {
    fn handle(&self, request: Request, next: Next) -> BoxFuture<'_, Response> {
        Box::pin(async move {
            let announced = request.body().size_hint().lower();
            let response = if usize::try_from(announced).is_ok_and(|announced| announced <= self.bytes_max) {
                next.run(request.map(|body| limited(body, self.bytes_max))).await
            } else {
                too_large().into_response()
            };
            if let Some(error_type) = response.extensions().get::<Failure>().and_then(|it| it.error_type) {
                self.events.failed(error_type);
            }
            response
        })
    }
}
