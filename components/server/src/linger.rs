//! The bodies of requests as handlers get them: a client that stalls in the middle ends them with an error, and what
//! is left when an answer comes early is read and thrown away, for a while.
//!
//! Closing a connection on which data arrives resets it, and a reset may destroy an answer that the client has not
//! read yet: it would see a broken pipe in place of the 413. nginx names this a lingering close.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::Request;
use http::header::EXPECT;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use mainspring_core::ComponentContext;
use mainspring_engine::TaskProcessor;
use tokio_util::sync::CancellationToken;

use crate::body::BodyError;
use crate::patience::{DRAIN_STALL_MAX, Patience};

/// Longest time to read what nobody wants, and to wait for more of it; nginx has the same.
const LINGER_TIME_MAX: Duration = Duration::from_secs(30);
const LINGER_STALL_MAX: Duration = Duration::from_secs(5);

/// Most bytes to read that nobody wants.
const LINGER_BYTES_MAX: usize = 16 << 20;

/// How bodies are read.
#[derive(Clone)]
pub(crate) struct Linger {
    pub(crate) cx: ComponentContext,
    pub(crate) processor: TaskProcessor,
    /// Longest wait for more of a body.
    pub(crate) stall_max: Duration,
    pub(crate) draining: CancellationToken,
}

impl Linger {
    /// The same request, with a body whose rest is read when whoever answers drops it.
    pub(crate) fn over(&self, request: http::Request<Incoming>) -> Request {
        if request.body().is_end_stream() {
            return request.map(axum::body::Body::new);
        }
        let in_flight = !request.headers().contains_key(EXPECT);
        request.map(|body| {
            let patience = Patience::new(self.stall_max, self.draining.clone());
            axum::body::Body::new(Lingering { body: Some(body), in_flight, patience, linger: self.clone() })
        })
    }

    fn read_away(&self, rest: Incoming) {
        let reading = read_away(rest, self.draining.clone());
        drop(self.cx.spawn_on(&self.processor, "linger", reading));
    }
}

struct Lingering {
    /// Until it has ended.
    body: Option<Incoming>,
    /// A client that asks first (`Expect: 100-continue`) sends nothing until the body is read.
    in_flight: bool,
    patience: Patience,
    linger: Linger,
}

impl Body for Lingering {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        this.in_flight = true;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        let frame = match Pin::new(body).poll_frame(cx) {
            Poll::Ready(frame) => frame.map(|frame| frame.map_err(BodyError::Broken)),
            Poll::Pending => {
                ready!(this.patience.poll_lost(cx));
                Some(Err(BodyError::Stalled))
            }
        };
        this.patience.renew();
        if !matches!(frame, Some(Ok(_))) {
            this.body = None;
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

/// Whoever sends for longer, or stalls, is cut off.
async fn read_away(mut rest: Incoming, draining: CancellationToken) {
    let mut patience = Patience::new(LINGER_STALL_MAX, draining.clone());
    let mut bytes = 0;
    let reading = poll_fn(|cx| {
        while bytes < LINGER_BYTES_MAX {
            match Pin::new(&mut rest).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    bytes += frame.data_ref().map_or(0, Bytes::len);
                    patience.renew();
                }
                Poll::Ready(_) => break,
                Poll::Pending => return patience.poll_lost(cx),
            }
        }
        Poll::Ready(())
    });
    let drained = async {
        draining.cancelled().await;
        tokio::time::sleep(DRAIN_STALL_MAX).await;
    };
    tokio::select! {
        () = reading => {}
        () = drained => {}
        () = tokio::time::sleep(LINGER_TIME_MAX) => {}
    }
}
