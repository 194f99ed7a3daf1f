//! One slab for the records of a whole batch, with one waiter, shared with librdkafka record by record.
//!
//! Each record has a slot, whose address travels through librdkafka as the record's opaque. A slot belongs to the sender
//! until its record is handed over, to librdkafka until the delivery report, and to whoever waits once no slot of the slab
//! is open; the count of open slots hands them on, so no slot needs a lock. The open slots together own one reference to
//! the slab: dropping the future never frees what librdkafka still reads. Nothing here calls C.

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::fmt;
use std::mem;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::task::AtomicWaker;

use crate::code::KafkaCode;
use crate::delivery::{Delivered, DeliveryError, Outcome};

/// The lowest bit of an opaque says that it is a slot; slots and cells are aligned to more than that.
const SLOT: usize = 1;

struct Slab {
    /// Slots without an outcome.
    open: AtomicUsize,
    waker: AtomicWaker,
    slots: Box<[Slot]>,
}

struct Slot(UnsafeCell<Content>);

struct Content {
    slab: *const Slab,
    state: State,
}

enum State {
    Unsent,
    InFlight(Option<Bytes>),
    Done(Outcome),
}

// SAFETY: payloads and outcomes are `Send`; the pointer inside is to the slab itself, which outlives its slots.
unsafe impl Send for Slab {}
// SAFETY: the contents of a slot are touched by one owner at a time, as the head of this file says; the hand-overs are
// librdkafka's locks and the count of open slots. Everything else is `Sync`.
unsafe impl Sync for Slab {}

impl Slab {
    /// Finishes `count` slots, each of which has its outcome. The last ones wake whoever waits.
    ///
    /// # Safety
    /// `slab` has at least `count` open slots that the caller has given their outcomes, and that nobody has counted.
    unsafe fn close(slab: *const Slab, count: usize) {
        // SAFETY: the open slots own a reference, so the slab is live.
        let open = unsafe { &(*slab).open };
        if open.fetch_sub(count, Ordering::AcqRel) == count {
            // SAFETY: these were the last open slots, whose reference came from `Arc::into_raw` and is given back once.
            let slab = unsafe { Arc::from_raw(slab) };
            slab.waker.wake();
        }
    }
}

/// The side of a batch that hands its records over, one after the other. Dropping it fails those that it has not.
pub struct BatchSender {
    slab: Arc<Slab>,
    next: usize,
}

/// The side of a batch that waits for the fate of its records.
///
/// # Cancel safety
/// Dropping it never stops a record and never frees what librdkafka reads: only the answers are lost.
#[must_use = "without waiting for it nobody learns whether the records arrived"]
pub struct BatchDelivery(Arc<Slab>);

/// What became of the records of a batch.
pub struct Outcomes(Arc<Slab>);

/// Both sides of a batch of at most `len` records: one waiter and one slab, whatever `len` is.
pub fn batch(len: usize) -> (BatchSender, BatchDelivery) {
    let unsent = || Slot(UnsafeCell::new(Content { slab: ptr::null(), state: State::Unsent }));
    let slots = std::iter::repeat_with(unsent).take(len).collect();
    let slab = Arc::new(Slab { open: AtomicUsize::new(len), waker: AtomicWaker::new(), slots });
    if 0 < len {
        // The reference of the open slots; `close` takes it back.
        let _slots = Arc::into_raw(Arc::clone(&slab));
    }
    (BatchSender { slab: Arc::clone(&slab), next: 0 }, BatchDelivery(slab))
}

impl BatchSender {
    /// How many slots were used: the number of the next record in its batch.
    #[must_use]
    pub fn n_sent(&self) -> usize {
        self.next
    }

    /// Whether every slot was used.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.next == self.slab.slots.len()
    }

    /// Gives the next record its outcome without sending it.
    ///
    /// # Panics
    /// When every slot was used.
    pub fn fail(&mut self, code: KafkaCode, partition: Option<i32>) {
        let slot = &self.slab.slots[self.next];
        // SAFETY: a slot that was not issued is the sender's.
        unsafe { (*slot.0.get()).state = State::Done(Err(DeliveryError::refused(code, partition))) };
        self.next += 1;
        // SAFETY: one open slot was given its outcome above.
        unsafe { Slab::close(Arc::as_ptr(&self.slab), 1) };
    }

    /// The opaque of the next record, whose payload stays in its slot until the report.
    ///
    /// The slot is then librdkafka's: it comes back with [`Reported::resolve`], or with [`BatchSender::take_back`].
    ///
    /// # Panics
    /// When every slot was used.
    pub(crate) fn issue(&mut self, payload: Option<Bytes>) -> *mut c_void {
        let slot = &self.slab.slots[self.next];
        // SAFETY: a slot that was not issued is the sender's.
        let content = unsafe { &mut *slot.0.get() };
        content.slab = Arc::as_ptr(&self.slab);
        content.state = State::InFlight(payload);
        self.next += 1;
        ptr::from_ref(slot).cast_mut().cast::<c_void>().map_addr(|addr| addr | SLOT)
    }

    /// Undoes the last issue: the payload goes back to whoever wanted to send it.
    ///
    /// # Safety
    /// The last slot was issued, and librdkafka has refused its record.
    pub(crate) unsafe fn take_back(&mut self) -> Option<Bytes> {
        self.next -= 1;
        // SAFETY: the caller upholds that librdkafka does not have the slot.
        let content = unsafe { &mut *self.slab.slots[self.next].0.get() };
        match mem::replace(&mut content.state, State::Unsent) {
            State::InFlight(payload) => payload,
            State::Unsent | State::Done(_) => {
                unreachable!("only a report ends the flight, and there was none")
            }
        }
    }
}

impl BatchSender {
    /// Gives a record that was issued, and then refused, its outcome.
    ///
    /// # Safety
    /// `opaque` came from [`BatchSender::issue`] of this batch, librdkafka has refused its record, and it is not used again.
    pub(crate) unsafe fn refuse(&self, opaque: *mut c_void, code: KafkaCode, partition: Option<i32>) {
        // SAFETY: the caller upholds what a report would.
        unsafe { Reported::new().resolve(opaque, Err(DeliveryError::refused(code, partition))) };
    }
}

impl Drop for BatchSender {
    fn drop(&mut self) {
        while !self.is_complete() {
            self.fail(KafkaCode::DESTROY, None);
        }
    }
}

impl BatchDelivery {
    /// Waits until every record has its outcome.
    pub fn poll_outcomes(&self, cx: &mut Context<'_>) -> Poll<Outcomes> {
        if self.is_open() {
            self.0.waker.register(cx.waker());
            // The last report may have come in between, and then it woke nobody.
            if self.is_open() {
                return Poll::Pending;
            }
        }
        Poll::Ready(Outcomes(Arc::clone(&self.0)))
    }

    fn is_open(&self) -> bool {
        self.0.open.load(Ordering::Acquire) != 0
    }
}

impl Outcomes {
    /// What became of a record, by its number in the batch.
    ///
    /// # Errors
    /// [`DeliveryError`] of the record.
    ///
    /// # Panics
    /// When the batch is not as long.
    pub fn get(&self, idx: usize) -> Result<Delivered, DeliveryError> {
        // SAFETY: no slot is open, so nobody writes any more, and what was written is visible: `poll_outcomes` has read the
        // count with `Acquire`.
        match unsafe { &(*self.0.slots[idx].0.get()).state } {
            State::Done(outcome) => *outcome,
            State::Unsent | State::InFlight(_) => unreachable!("a slot that is not open has its outcome"),
        }
    }
}

/// Resolves slots, and counts those of one slab that come one after the other at once.
pub(crate) struct Reported {
    slab: *const Slab,
    count: usize,
}

impl Reported {
    pub(crate) fn new() -> Reported {
        Reported { slab: ptr::null(), count: 0 }
    }

    /// Whether an opaque came from [`BatchSender::issue`].
    pub(crate) fn is_slot(opaque: *mut c_void) -> bool {
        opaque.addr() & SLOT != 0
    }

    /// Gives a record its outcome and lets go of its payload.
    ///
    /// # Safety
    /// `opaque` came from [`BatchSender::issue`] and is not used again.
    pub(crate) unsafe fn resolve(&mut self, opaque: *mut c_void, outcome: Outcome) {
        let slot = opaque.map_addr(|addr| addr & !SLOT).cast::<Slot>();
        // SAFETY: the slot is open, so its slab is live.
        let slot = unsafe { &*slot };
        // SAFETY: the report makes its contents ours.
        let content = unsafe { &mut *slot.0.get() };
        if content.slab != self.slab {
            self.close();
            self.slab = content.slab;
        }
        let payload = mem::replace(&mut content.state, State::Done(outcome));
        self.count += 1;
        // Foreign code, should it be the last owner of the memory; a panic in there finds everything counted.
        drop(payload);
    }

    fn close(&mut self) {
        let count = mem::take(&mut self.count);
        if 0 < count {
            // SAFETY: `resolve` has given as many slots of this slab their outcomes.
            unsafe { Slab::close(self.slab, count) };
        }
    }
}

impl Drop for Reported {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for BatchSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.slab.slots.len();
        f.debug_struct("BatchSender").field("len", &len).field("next", &self.next).finish()
    }
}

impl fmt::Debug for BatchDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = self.0.open.load(Ordering::Relaxed);
        let len = self.0.slots.len();
        f.debug_struct("BatchDelivery").field("len", &len).field("open", &open).finish()
    }
}

impl fmt::Debug for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outcomes").field("len", &self.0.slots.len()).finish()
    }
}

#[cfg(test)]
mod tests;
