//! The future of one record.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use mainspring_kafka_ffi as ffi;

use crate::producer::error::{SendError, Target};
use crate::producer::handle::Inner;
use crate::producer::record::Delivery;

/// The fate of one record; see [`Producer::send_async`](crate::Producer::send_async).
///
/// # Cancel safety
/// Dropping it never stops a record that is in flight: only the answer is lost. While it waits for space in a full queue,
/// which it does only when polled, dropping it means that the record is not sent.
#[must_use = "without awaiting it nobody learns whether the record arrived"]
pub struct SendFuture(Stage);

enum Stage {
    Refused(SendError),
    Waiting(Pin<Box<dyn Future<Output = Result<InFlight, SendError>> + Send>>),
    InFlight(InFlight),
    Done,
}

/// A record that librdkafka has accepted.
pub(crate) struct InFlight {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: Option<i32>,
    pub(crate) producer: Arc<Inner>,
    pub(crate) delivery: ffi::Delivery,
}

impl SendFuture {
    pub(crate) fn refused(error: SendError) -> SendFuture {
        SendFuture(Stage::Refused(error))
    }

    pub(crate) fn in_flight(record: InFlight) -> SendFuture {
        SendFuture(Stage::InFlight(record))
    }

    pub(crate) fn waiting(
        space: impl Future<Output = Result<InFlight, SendError>> + Send + 'static,
    ) -> SendFuture {
        SendFuture(Stage::Waiting(Box::pin(space)))
    }

    /// Waits until the record is in the producer's queue, or was refused. From then on it is sent even if this future is
    /// dropped. Returns at once unless the queue is full.
    ///
    /// # Cancel safety
    /// May be given up and taken up again; a record that still waits for space stays in line only while polled.
    pub async fn enqueued(&mut self) {
        poll_fn(|cx| self.poll_enqueued(cx)).await;
    }

    fn poll_enqueued(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Stage::Waiting(space) = &mut self.0 {
            self.0 = match ready!(space.as_mut().poll(cx)) {
                Ok(record) => Stage::InFlight(record),
                Err(error) => Stage::Refused(error),
            };
        }
        Poll::Ready(())
    }
}

impl Future for SendFuture {
    type Output = Result<Delivery, SendError>;

    /// # Panics
    /// When polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(self.poll_enqueued(cx));
        let result = match &mut self.0 {
            Stage::InFlight(record) => Some(ready!(Pin::new(&mut record.delivery).poll(cx))),
            Stage::Refused(_) => None,
            Stage::Waiting(_) | Stage::Done => panic!("`SendFuture` polled after it was ready"),
        };
        Poll::Ready(match (std::mem::replace(&mut self.0, Stage::Done), result) {
            (Stage::InFlight(record), Some(Ok(delivered))) => Ok(Delivery::new(record.topic, delivered)),
            (Stage::InFlight(record), Some(Err(error))) => {
                let target = Target { topic: record.topic, partition: record.partition };
                Err(record.producer.error(error.code, target))
            }
            (Stage::Refused(error), _) => Err(error),
            _ => unreachable!("stages are as matched above"),
        })
    }
}

impl fmt::Debug for SendFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.0 {
            Stage::Refused(_) => "refused",
            Stage::Waiting(_) => "waiting for space",
            Stage::InFlight(_) => "in flight",
            Stage::Done => "done",
        };
        f.debug_tuple("SendFuture").field(&stage).finish()
    }
}
