//! The future of one record.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use mainspring_kafka_ffi::{self as ffi, KafkaCode};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::producer::error::{SendError, Target};
use crate::producer::handle::Inner;
use crate::producer::line::Place;
use crate::producer::record::Delivery;

/// The fate of one record; see [`Producer::send_async`](crate::Producer::send_async).
///
/// # Cancel safety
/// Dropping it never stops a record that is in flight: only the answer is lost. While the record waits for space in a full
/// queue, dropping this means that it is not sent.
#[must_use = "without awaiting it nobody learns whether the record arrived"]
pub struct SendFuture(Stage);

enum Stage {
    Refused(SendError),
    Waiting(Waiting),
    InFlight(InFlight),
    Done,
}

/// Why a record is not sent, or not yet.
pub(crate) enum Unsent<'error> {
    Waiting,
    Refused(&'error SendError),
}

/// A record in line for space.
pub(crate) struct Waiting {
    target: Target,
    producer: Arc<Inner>,
    place: Place,
    answer: oneshot::Receiver<Result<InFlight, SendError>>,
    give_up: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

/// A record that librdkafka has accepted.
pub(crate) struct InFlight {
    pub(crate) topic: Arc<str>,
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

    pub(crate) fn waiting(waiting: Waiting) -> SendFuture {
        SendFuture(Stage::Waiting(waiting))
    }

    /// What of the record is lost when this is dropped: it waits for space, or was refused with this error.
    pub(crate) fn unsent(&self) -> Option<Unsent<'_>> {
        match &self.0 {
            Stage::Waiting(_) => Some(Unsent::Waiting),
            Stage::Refused(error) => Some(Unsent::Refused(error)),
            Stage::InFlight(_) | Stage::Done => None,
        }
    }

    /// Waits until the record is in the producer's queue, or was refused. From then on it is sent even if this future is
    /// dropped. Returns at once unless the queue is full.
    ///
    /// # Cancel safety
    /// May be given up and taken up again; the record keeps its place in line.
    pub async fn enqueued(&mut self) {
        poll_fn(|cx| self.poll_enqueued(cx)).await;
    }

    fn poll_enqueued(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Stage::Waiting(waiting) = &mut self.0 {
            self.0 = match ready!(waiting.poll(cx)) {
                Ok(record) => Stage::InFlight(record),
                Err(error) => Stage::Refused(error),
            };
        }
        Poll::Ready(())
    }
}

impl Waiting {
    pub(crate) fn new(
        producer: Arc<Inner>,
        target: Target,
        place: Place,
        answer: oneshot::Receiver<Result<InFlight, SendError>>,
    ) -> Waiting {
        let give_up = Instant::now() + producer.delivery_timeout();
        Waiting { target, producer, place, answer, give_up, timer: None }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<InFlight, SendError>> {
        loop {
            if let Poll::Ready(answer) = Pin::new(&mut self.answer).poll(cx) {
                // Without an answer the line is gone, and with it the producer.
                return Poll::Ready(answer.unwrap_or_else(|_| Err(self.error(KafkaCode::DESTROY))));
            }
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(self.give_up)));
            ready!(timer.as_mut().poll(cx));
            if self.producer.leave_line(self.place) {
                let Target { topic, partition } = self.target.clone();
                return Poll::Ready(Err(self.producer.refused(topic, partition, KafkaCode::QUEUE_FULL)));
            }
            // Its turn came this very moment, so the answer is there.
        }
    }

    fn error(&self, code: KafkaCode) -> SendError {
        self.producer.error(code, self.target.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.producer.leave_line(self.place);
    }
}

impl Future for SendFuture {
    type Output = Result<Delivery, SendError>;

    /// # Panics
    /// When polled again after it was ready. When polled outside of a Tokio runtime while the queue is full: waiting for
    /// space needs its timer.
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
                let target = Target { topic: record.topic, partition: error.partition };
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
