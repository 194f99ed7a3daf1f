//! The limits on how many requests a handler takes; see [`Throttle`].

use std::sync::Arc;
use std::time::Instant;

use axum::extract::Request;
use axum::response::Response;
use futures_util::future::BoxFuture;
use http::{HeaderName, HeaderValue, header};

use super::{Middleware, Next};
use crate::HandlerError;
use crate::events::RouteEvents;
use crate::throttle::{Exceeded, Throttle};

/// userver's header for why a request was refused.
const REASON: HeaderName = HeaderName::from_static("x-yataxi-ratelimit-reason");

/// Answers 429 to a request that is one too many, before anything is done for it.
pub(crate) struct Limit {
    pub(crate) throttle: Arc<Throttle>,
    pub(crate) events: Arc<RouteEvents>,
}

impl Middleware for Limit {
    fn handle(&self, request: Request, next: Next) -> BoxFuture<'_, Response> {
        match self.throttle.admit(Instant::now()) {
            Ok(admitted) => Box::pin(async move {
                let _until_it_is_answered = admitted;
                next.run(request).await
            }),
            Err(exceeded) => {
                self.events.throttled(exceeded);
                Box::pin(std::future::ready(refusal(exceeded)))
            }
        }
    }
}

fn refusal(exceeded: Exceeded) -> Response {
    let (message, reason) = match exceeded {
        Exceeded::InFlight => ("too many requests at the same time", "max-requests-in-flight"),
        Exceeded::PerSecond(_) => ("too many requests per second", "global-ratelimit"),
    };
    let mut response = HandlerError::too_many_requests(message).into_response();
    response.headers_mut().insert(REASON, HeaderValue::from_static(reason));
    if let Exceeded::PerSecond(wait) = exceeded {
        // Whole seconds (RFC 9110, 10.2.3), so never too early.
        let seconds = wait.as_secs() + u64::from(0 < wait.subsec_nanos());
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}
