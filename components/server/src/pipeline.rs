//! What happens to a request between the router and its handler: an ordered list of middlewares.

mod body_limit;
mod isolate;
mod limit;
mod log_level;
mod observe;

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use futures_util::future::BoxFuture;

pub(crate) use body_limit::BodyLimit;
pub(crate) use isolate::Isolate;
pub(crate) use limit::Limit;
pub(crate) use log_level::LogLevel;
pub(crate) use observe::Observe;

/// One step around the handling of a request. It passes the request on with [`Next::run`], or answers itself.
pub(crate) trait Middleware: Send + Sync {
    /// Answers `request`.
    fn handle(&self, request: Request, next: Next) -> BoxFuture<'_, Response>;
}

/// The innermost step: calls the handler.
pub(crate) trait Endpoint: Send + Sync {
    /// Answers `request`.
    fn call(&self, request: Request) -> BoxFuture<'_, Response>;
}

/// The middlewares of one route, outermost first, and its endpoint.
pub(crate) struct Pipeline {
    middlewares: Vec<Box<dyn Middleware>>,
    endpoint: Box<dyn Endpoint>,
}

/// The rest of a pipeline.
pub(crate) struct Next {
    pipeline: Arc<Pipeline>,
    position: usize,
}

impl Pipeline {
    pub(crate) fn new(middlewares: Vec<Box<dyn Middleware>>, endpoint: Box<dyn Endpoint>) -> Arc<Self> {
        Arc::new(Self { middlewares, endpoint })
    }

    pub(crate) fn handle(self: Arc<Self>, request: Request) -> BoxFuture<'static, Response> {
        Next { pipeline: self, position: 0 }.run(request)
    }
}

impl Next {
    pub(crate) fn run(self, request: Request) -> BoxFuture<'static, Response> {
        Box::pin(async move {
            let Self { pipeline, position } = self;
            match pipeline.middlewares.get(position) {
                Some(middleware) => {
                    let next = Self { pipeline: Arc::clone(&pipeline), position: position + 1 };
                    middleware.handle(request, next).await
                }
                None => pipeline.endpoint.call(request).await,
            }
        })
    }
}
