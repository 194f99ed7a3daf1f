//! The stream of one connection, as hyper reads and writes it: a client that stalls is given up on.
//!
//! hyper itself bounds the time for the head of a request and nothing else. Bodies have their bound where they are
//! read; here are the answers that a client does not take, and heads that do not come while the listener drains.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::Response;
use crate::patience::Patience;

/// What a connection is at.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    /// Requests whose head has come and whose answer has not been handed over whole: none or one.
    requests: AtomicUsize,
    /// Something of the next head has come.
    head_begun: AtomicBool,
}

impl Activity {
    /// A head has come.
    pub(crate) fn begin(self: &Arc<Self>) -> RequestUnderWay {
        self.head_begun.store(false, Relaxed);
        self.requests.fetch_add(1, Relaxed);
        RequestUnderWay(Arc::clone(self))
    }

    /// Whether a part of a head has come, and not yet the whole.
    pub(crate) fn is_in_head(&self) -> bool {
        self.head_begun.load(Relaxed)
    }

    fn is_in_request(&self) -> bool {
        self.requests.load(Relaxed) != 0
    }
}

/// A request is under way for as long as this lives.
#[must_use]
pub(crate) struct RequestUnderWay(Arc<Activity>);

impl RequestUnderWay {
    /// Lets the request last until the body of its answer is handed over.
    pub(crate) fn until_sent(self, response: Response) -> Response {
        response.map(|body| Body::new(Answer { body, _under_way: self }))
    }
}

impl Drop for RequestUnderWay {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Relaxed);
    }
}

struct Answer {
    body: Body,
    _under_way: RequestUnderWay,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A client's connection.
pub(crate) struct ClientStream {
    stream: TcpStream,
    activity: Arc<Activity>,
    heads: Patience,
    writes: Patience,
}

impl ClientStream {
    /// Gives up on a client that takes nothing of an answer for `write_max`.
    pub(crate) fn new(
        stream: TcpStream,
        activity: Arc<Activity>,
        write_max: Duration,
        draining: &CancellationToken,
    ) -> Self {
        let heads = Patience::until_drained(draining.clone());
        Self { stream, activity, heads, writes: Patience::new(write_max, draining.clone()) }
    }

    fn progress<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_pending() {
            ready!(self.writes.poll_lost(cx));
            return Poll::Ready(Err(stalled()));
        }
        self.writes.renew();
        self.heads.renew();
        written
    }
}

fn stalled() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the client made no progress for too long")
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        let in_request = this.activity.is_in_request();
        match read {
            Poll::Ready(_) => {
                if !in_request && before < buf.filled().len() {
                    this.activity.head_begun.store(true, Relaxed);
                }
                this.heads.renew();
                read
            }
            // The rest of the body has its own limit, and the handler may take its time.
            Poll::Pending if in_request => {
                this.heads.renew();
                Poll::Pending
            }
            Poll::Pending => {
                ready!(this.heads.poll_lost(cx));
                Poll::Ready(Err(stalled()))
            }
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.progress(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.progress(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
