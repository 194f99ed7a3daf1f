//! The hop to the handler's task processor, and the wall that a panic does not pass.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::response::Response;
use futures_util::future::BoxFuture;
use mainspring_core::ComponentContext;
use mainspring_engine::{Task, TaskError, TaskProcessor};

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
            match CancelOnDrop(task).await {
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

/// A task that ends when nobody waits for it any more.
struct CancelOnDrop<T>(Task<T>);

impl<T> Future for CancelOnDrop<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<T> Drop for CancelOnDrop<T> {
    fn drop(&mut self) {
        // Without effect on a task that has ended.
        self.0.cancel();
    }
}
