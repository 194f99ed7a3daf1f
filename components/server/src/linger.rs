//! What is left of a request's body when its answer comes early is read and thrown away, for a while.
//!
//! Closing a connection on which data arrives resets it, and a reset may destroy an answer that the client has not
//! read yet: it would see a broken pipe in place of the 413. nginx names this a lingering close.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::Request;
use http::header::EXPECT;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use mainspring_core::ComponentContext;
use mainspring_engine::TaskProcessor;

/// Longest time to read what nobody wants.
const LINGER_TIME_MAX: Duration = Duration::from_secs(2);

/// Most bytes to read that nobody wants.
const LINGER_BYTES_MAX: usize = 16 << 20;

/// Where the rests of bodies are read.
#[derive(Clone)]
pub(crate) struct Linger {
    pub(crate) cx: ComponentContext,
    pub(crate) processor: TaskProcessor,
}

impl Linger {
    /// The same request, with a body whose rest is read when whoever answers drops it.
    pub(crate) fn over(&self, request: http::Request<Incoming>) -> Request {
        if request.body().is_end_stream() {
            return request.map(axum::body::Body::new);
        }
        let in_flight = !request.headers().contains_key(EXPECT);
        let linger = self.clone();
        request.map(|body| axum::body::Body::new(Lingering { body: Some(body), in_flight, linger }))
    }

    fn read_away(&self, rest: Incoming) {
        drop(self.cx.spawn_on(&self.processor, "linger", read_away(rest)));
    }
}

struct Lingering {
    /// Until it has ended.
    body: Option<Incoming>,
    /// A client that asks first (`Expect: 100-continue`) sends nothing until the body is read.
    in_flight: bool,
    linger: Linger,
}

impl Body for Lingering {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.in_flight = true;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        if let Some(rest) = self.body.take().filter(|body| self.in_flight && !body.is_end_stream()) {
            self.linger.read_away(rest);
        }
    }
}

async fn read_away(mut rest: Incoming) {
    let reading = async {
        let mut bytes = 0;
        while bytes < LINGER_BYTES_MAX {
            let Some(Ok(frame)) = rest.frame().await else { return };
            bytes += frame.data_ref().map_or(0, Bytes::len);
        }
    };
    // Whoever sends for longer is cut off.
    let _over = tokio::time::timeout(LINGER_TIME_MAX, reading).await;
}
