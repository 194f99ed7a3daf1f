//! The hop to the handler's task processor, and the wall that a panic does not pass.

use axum::extract::Request;
use axum::response::Response;
use futures_util::future::BoxFuture;
use mainspring_core::ComponentContext;
use mainspring_engine::{TaskError, TaskProcessor};

use super::{Middleware, Next};
use crate::HandlerError;

/// Runs everything inside it as a task of the handler's component.
///
/// The task is cancelled when the client goes away. The engine has logged a panic, with its place, before this
/// answers with 500.
pub(crate) struct Isolate {
    pub(crate) cx: ComponentContext,
    pub(crate) processor: TaskProcessor,
}

impl Middleware for Isolate {
    fn handle(&self, request: Request, next: Next) -> BoxFuture<'_, Response> {
        Box::pin(async move {
            let task = self.cx.spawn_on(&self.processor, self.cx.name().to_owned(), next.run(request));
            match task.cancel_on_drop().await {
                Ok(response) => response,
                Err(TaskError::Cancelled) => {
                    HandlerError::service_unavailable("the service is stopping").into_response()
                }
                Err(_panicked) => {
                    HandlerError::internal("Internal Server Error").with_error_type("panic").into_response()
                }
            }
        })
    }
}
