//! The log level of a handler, in force for whatever is logged while it answers.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use futures_util::future::BoxFuture;
use tracing::Instrument;

use super::{Middleware, Next};
use crate::events::RouteEvents;

/// Opens a span that carries the handler's `log-level`. Stands inside [`Isolate`](super::Isolate), so that the span
/// lies within that of the handler's component.
pub(crate) struct LogLevel {
    pub(crate) events: Arc<RouteEvents>,
}

impl Middleware for LogLevel {
    fn handle(&self, request: Request, next: Next) -> BoxFuture<'_, Response> {
        match self.events.log_span() {
            Some(span) => Box::pin(next.run(request).instrument(span)),
            None => next.run(request),
        }
    }
}
