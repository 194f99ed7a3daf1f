//! The cell and its two owners. Nothing here calls C, so Miri can run it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use bytes::Bytes;

use super::{Delivered, Delivery, DeliveryError, Persistence, Ticket};
use crate::code::KafkaCode;

const ARRIVED: Delivered =
    Delivered { partition: 3, offset: Some(7), timestamp_ms: None, persistence: Persistence::Persisted };

const FAILED: DeliveryError = DeliveryError {
    code: KafkaCode::MSG_TIMED_OUT,
    persistence: Persistence::PossiblyPersisted,
    partition: Some(3),
};

/// A payload whose releases are counted.
struct Counted {
    bytes: Vec<u8>,
    released: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.released.fetch_add(1, Ordering::SeqCst);
    }
}

fn counted() -> (Option<Bytes>, Arc<AtomicUsize>) {
    let released = Arc::new(AtomicUsize::new(0));
    let owner = Counted { bytes: vec![7; 100], released: Arc::clone(&released) };
    (Some(Bytes::from_owner(owner)), released)
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn poll(delivery: &mut Delivery, waker: &Waker) -> Poll<Result<Delivered, DeliveryError>> {
    pin!(delivery).poll(&mut Context::from_waker(waker))
}

/// Sends the ticket through a raw pointer, as librdkafka does.
fn round_trip(ticket: Ticket) -> Ticket {
    let opaque = ticket.into_opaque();
    // SAFETY: it comes from the line above and is taken back once.
    unsafe { Ticket::from_opaque(opaque) }
}

#[test]
fn a_report_wakes_the_waiting_future_and_releases_the_payload() {
    let (payload, released) = counted();
    let (ticket, mut delivery) = Ticket::issue(payload);
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    assert!(poll(&mut delivery, &waker).is_pending());
    assert!(poll(&mut delivery, &waker).is_pending());

    round_trip(ticket).resolve(Ok(ARRIVED));
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    assert_eq!(released.load(Ordering::SeqCst), 1);
    assert_eq!(poll(&mut delivery, &waker), Poll::Ready(Ok(ARRIVED)));
}

#[test]
fn a_report_before_the_first_poll_is_kept() {
    let (ticket, mut delivery) = Ticket::issue(None);
    round_trip(ticket).resolve(Ok(ARRIVED));
    assert_eq!(poll(&mut delivery, Waker::noop()), Poll::Ready(Ok(ARRIVED)));
}

#[test]
fn the_last_task_to_poll_is_the_one_woken() {
    let (ticket, mut delivery) = Ticket::issue(None);
    let (first, second) = (Arc::new(Wakes::default()), Arc::new(Wakes::default()));
    assert!(poll(&mut delivery, &Waker::from(Arc::clone(&first))).is_pending());
    assert!(poll(&mut delivery, &Waker::from(Arc::clone(&second))).is_pending());
    ticket.resolve(Ok(ARRIVED));
    assert_eq!(first.0.load(Ordering::SeqCst), 0);
    assert_eq!(second.0.load(Ordering::SeqCst), 1);
}

#[test]
fn a_failed_delivery_says_why_and_releases_the_payload() {
    let (payload, released) = counted();
    let (ticket, mut delivery) = Ticket::issue(payload);
    round_trip(ticket).resolve(Err(FAILED));
    assert_eq!(poll(&mut delivery, Waker::noop()), Poll::Ready(Err(FAILED)));
    assert_eq!(released.load(Ordering::SeqCst), 1);
}

#[test]
fn a_dropped_future_keeps_the_payload_until_the_report() {
    let (payload, released) = counted();
    let (ticket, delivery) = Ticket::issue(payload);
    let opaque = ticket.into_opaque();
    drop(delivery);
    assert_eq!(released.load(Ordering::SeqCst), 0);
    // SAFETY: it comes from `into_opaque` above and is taken back once.
    unsafe { Ticket::from_opaque(opaque) }.resolve(Err(FAILED));
    assert_eq!(released.load(Ordering::SeqCst), 1);
}

#[test]
fn a_refused_payload_comes_back_untouched() {
    let (payload, released) = counted();
    let copy = payload.clone();
    let (ticket, delivery) = Ticket::issue(payload);
    assert_eq!(round_trip(ticket).refuse(), copy);
    drop((delivery, copy));
    assert_eq!(released.load(Ordering::SeqCst), 1);
}

#[test]
fn a_ticket_lost_fails_its_delivery() {
    let (ticket, mut delivery) = Ticket::issue(None);
    drop(ticket);
    let Poll::Ready(Err(error)) = poll(&mut delivery, Waker::noop()) else { panic!("it failed") };
    assert_eq!(error.code, KafkaCode::DESTROY);
}

#[test]
fn both_owners_may_go_at_the_same_time() {
    for _ in 0..200 {
        let (payload, released) = counted();
        let (ticket, mut delivery) = Ticket::issue(payload);
        thread::scope(|scope| {
            scope.spawn(|| round_trip(ticket).resolve(Ok(ARRIVED)));
            scope.spawn(|| {
                // Either answer is right; what counts is that the future then goes.
                let _either = poll(&mut delivery, Waker::noop());
                drop(delivery);
            });
        });
        assert_eq!(released.load(Ordering::SeqCst), 1);
    }
}
