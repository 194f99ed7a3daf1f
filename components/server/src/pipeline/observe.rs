//! Times a request and reports its end, be it an answer or a client that went away.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::Request;
use axum::response::Response;
use futures_util::future::BoxFuture;
use http::{Method, Uri};
use mainspring_metrics::Gauge;

use super::{Middleware, Next};
use crate::error::Failure;
use crate::events::{self, Outcome, RouteEvents};

/// The outermost middleware: everything inside it is measured.
pub(crate) struct Observe {
    pub(crate) events: Arc<RouteEvents>,
}

impl Middleware for Observe {
    fn handle(&self, request: Request, next: Next) -> BoxFuture<'_, Response> {
        Box::pin(async move {
            let observation = Observation::begin(Arc::clone(&self.events), &request);
            let mut response = next.run(request).await;
            let failure = response.extensions_mut().remove::<Failure>().unwrap_or_default();
            observation.end(&Outcome::Answered { status: response.status(), failure });
            response
        })
    }
}

/// A request under way. Dropped without an end, it reports that the client has gone.
struct Observation {
    events: Arc<RouteEvents>,
    method: Method,
    uri: Uri,
    active: Gauge,
    began: Instant,
    ended: bool,
}

impl Observation {
    fn begin(events: Arc<RouteEvents>, request: &Request) -> Self {
        let active = events.request_began(request.method());
        let (method, uri) = (request.method().clone(), request.uri().clone());
        Self { events, method, uri, active, began: Instant::now(), ended: false }
    }

    fn end(mut self, outcome: &Outcome) {
        self.report(outcome);
    }

    fn report(&mut self, outcome: &Outcome) {
        self.ended = true;
        let request = events::Request {
            method: &self.method,
            path: self.uri.path(),
            took: self.began.elapsed(),
            active: &self.active,
        };
        self.events.request_ended(&request, outcome);
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        if !self.ended {
            self.report(&Outcome::ClientClosed);
        }
    }
}
