//! The cell a record lives in while librdkafka has it, shared with the future that awaits its fate.
//!
//! One allocation with two owners: [`Delivery`], which the caller may drop at any time, and [`Ticket`], which travels
//! through librdkafka as the record's opaque and comes back in the delivery report. Only the ticket lets go of the payload,
//! so a dropped future never frees memory that librdkafka still reads. Nothing here calls C.

use std::error::Error;
use std::ffi::c_void;
use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use crate::code::KafkaCode;

/// What to send; the topic is named when sending.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// The partition; `None` leaves the choice to the configured partitioner.
    pub partition: Option<i32>,
    /// The key; an empty one is not the same as none.
    pub key: Option<Bytes>,
    /// The payload, never copied; `None` is a tombstone.
    pub payload: Option<Bytes>,
    /// Names with their values, in order; a name may repeat.
    pub headers: Vec<(String, Option<Bytes>)>,
    /// Milliseconds since the Unix epoch; `None` is the time of sending.
    pub timestamp_ms: Option<i64>,
}

impl Record {
    /// A record with a payload and nothing else.
    #[must_use]
    pub fn new(payload: impl Into<Bytes>) -> Record {
        Record { payload: Some(payload.into()), ..Record::default() }
    }

    /// The same with a key.
    #[must_use]
    pub fn with_key(self, key: impl Into<Bytes>) -> Record {
        Record { key: Some(key.into()), ..self }
    }

    /// The same for a chosen partition.
    #[must_use]
    pub fn with_partition(self, partition: i32) -> Record {
        Record { partition: Some(partition), ..self }
    }
}

impl fmt::Debug for Record {
    /// Where it goes and how large it is; never what it says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = |bytes: &Option<Bytes>| bytes.as_ref().map(Bytes::len);
        f.debug_struct("Record")
            .field("partition", &self.partition)
            .field("key_len", &len(&self.key))
            .field("payload_len", &len(&self.payload))
            .field("headers", &self.headers.len())
            .field("timestamp_ms", &self.timestamp_ms)
            .finish()
    }
}

/// How far a record got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Persistence {
    /// It was never sent, or the broker refused it: sending it again cannot duplicate it.
    NotPersisted,
    /// It was sent, but the answer is missing or was not asked for (`acks=0`).
    PossiblyPersisted,
    /// The broker acknowledged it.
    Persisted,
}

/// A record that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivered {
    /// The partition it went to.
    pub partition: i32,
    /// Its offset; `None` when the broker was not asked to acknowledge.
    pub offset: Option<i64>,
    /// Its timestamp in milliseconds since the Unix epoch, if the broker keeps one.
    pub timestamp_ms: Option<i64>,
    /// [`Persistence::Persisted`] unless `acks=0`.
    pub persistence: Persistence,
}

/// A record that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryError {
    /// Why.
    pub code: KafkaCode,
    /// Whether it may have been stored nevertheless.
    pub persistence: Persistence,
    /// The partition, if one was chosen by then.
    pub partition: Option<i32>,
}

/// What became of a record.
pub(crate) type Outcome = Result<Delivered, DeliveryError>;

impl DeliveryError {
    /// Nobody reports the record any more.
    pub(crate) const LOST: DeliveryError = DeliveryError {
        code: KafkaCode::DESTROY,
        persistence: Persistence::PossiblyPersisted,
        partition: None,
    };

    /// The record never reached librdkafka's queue.
    pub(crate) fn refused(code: KafkaCode, partition: Option<i32>) -> DeliveryError {
        DeliveryError { code, persistence: Persistence::NotPersisted, partition }
    }
}

impl fmt::Display for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (`{}`)", self.code.description(), self.code)
    }
}

impl Error for DeliveryError {}

/// The fate of a record that was accepted for sending.
///
/// # Cancel safety
/// Dropping it never stops the record and never frees what librdkafka reads: only the answer is lost.
#[must_use = "without awaiting it nobody learns whether the record arrived"]
pub struct Delivery(Arc<Cell>);

impl Future for Delivery {
    type Output = Result<Delivered, DeliveryError>;

    /// # Panics
    /// When polled again after it was ready.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.lock();
        if let State::InFlight { waker, .. } = &mut *state {
            match waker {
                Some(waker) => waker.clone_from(cx.waker()),
                None => *waker = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        }
        match mem::replace(&mut *state, State::Taken) {
            State::Done(outcome) => Poll::Ready(outcome),
            State::InFlight { .. } | State::Taken => panic!("`Delivery` polled after it was ready"),
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &*self.0.lock() {
            State::InFlight { .. } => "in flight",
            State::Done(_) => "done",
            State::Taken => "taken",
        };
        f.debug_tuple("Delivery").field(&state).finish()
    }
}

struct Cell(Mutex<State>);

enum State {
    InFlight { payload: Option<Bytes>, waker: Option<Waker> },
    Done(Outcome),
    Taken,
}

impl Cell {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// librdkafka's half of a cell. Dropping it unresolved fails the delivery with [`KafkaCode::DESTROY`].
pub(crate) struct Ticket(Option<Arc<Cell>>);

impl Ticket {
    /// Both halves of a new cell, which keeps the payload.
    pub(crate) fn issue(payload: Option<Bytes>) -> (Ticket, Delivery) {
        let cell = Arc::new(Cell(Mutex::new(State::InFlight { payload, waker: None })));
        (Ticket(Some(Arc::clone(&cell))), Delivery(cell))
    }

    /// Gives this half away as a pointer; [`Ticket::from_opaque`] takes it back, once.
    pub(crate) fn into_opaque(mut self) -> *mut c_void {
        let cell = self.0.take().expect("a ticket holds its cell until it is used up");
        Arc::into_raw(cell).cast_mut().cast()
    }

    /// Takes back what [`Ticket::into_opaque`] gave away.
    ///
    /// # Safety
    /// `opaque` came from `into_opaque` and is not used again.
    pub(crate) unsafe fn from_opaque(opaque: *mut c_void) -> Ticket {
        // SAFETY: the caller upholds that this pointer is that of an `Arc<Cell>` with one count to give back.
        Ticket(Some(unsafe { Arc::from_raw(opaque.cast_const().cast::<Cell>()) }))
    }

    /// Resolves the delivery and lets go of the payload.
    pub(crate) fn resolve(mut self, outcome: Outcome) {
        self.finish(outcome);
    }

    /// Undoes the issue: the payload goes back to whoever wanted to send it.
    pub(crate) fn refuse(mut self) -> Option<Bytes> {
        let cell = self.0.take().expect("a ticket holds its cell until it is used up");
        let state = mem::replace(&mut *cell.lock(), State::Taken);
        match state {
            State::InFlight { payload, .. } => payload,
            State::Done(_) | State::Taken => {
                unreachable!("only a ticket ends the flight, and this one had not")
            }
        }
    }

    fn finish(&mut self, outcome: Outcome) {
        let Some(cell) = self.0.take() else { return };
        let mut state = cell.lock();
        let State::InFlight { payload, waker } = mem::replace(&mut *state, State::Done(outcome)) else {
            return;
        };
        drop(state);
        // Both run foreign code (a waker, the owner of a payload), so the lock is released first.
        drop(payload);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.finish(Err(DeliveryError::LOST));
    }
}

#[cfg(test)]
mod tests;
