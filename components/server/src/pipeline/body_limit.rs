//! The bound on the body of a request: by its announced length at once, otherwise while it streams.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use futures_util::future::BoxFuture;
use hyper::body::Body as _;

use super::{Middleware, Next};
use crate::body::{BODY_SIZE, limited, too_large};
use crate::error::Failure;
use crate::events::RouteEvents;

/// Answers 413 to a body that is too large, and counts it.
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
            let failure = response.extensions().get::<Failure>();
            if failure.is_some_and(|failure| failure.error_type == Some(BODY_SIZE)) {
                self.events.body_rejected();
            }
            response
        })
    }
}
