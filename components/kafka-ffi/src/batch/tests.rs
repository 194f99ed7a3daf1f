//! Slots and their owners. Nothing here calls C, so Miri can run it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use bytes::Bytes;

use super::{Outcomes, Reported, batch};
use crate::code::KafkaCode;
use crate::delivery::{Delivered, DeliveryError, Persistence};

const ARRIVED: Delivered =
    Delivered { partition: 3, offset: Some(7), timestamp_ms: None, persistence: Persistence::Persisted };

const TIMED_OUT: DeliveryError = DeliveryError {
    code: KafkaCode::MSG_TIMED_OUT,
    persistence: Persistence::PossiblyPersisted,
    partition: Some(3),
};

const NOT_SENT: DeliveryError =
    DeliveryError { code: KafkaCode::DESTROY, persistence: Persistence::NotPersisted, partition: None };

/// A payload whose releases are counted.
struct Counted(Arc<AtomicUsize>);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        b"counted"
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn ready(poll: Poll<Outcomes>) -> Outcomes {
    let Poll::Ready(outcomes) = poll else { panic!("every record has its outcome") };
    outcomes
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

#[test]
fn the_last_report_wakes_once_and_each_releases_its_payload() {
    let released = Arc::new(AtomicUsize::new(0));
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let (mut sender, delivery) = batch(3);
    let opaques: Vec<_> =
        (0..3).map(|_| sender.issue(Some(Bytes::from_owner(Counted(Arc::clone(&released)))))).collect();
    assert!(sender.is_complete());
    drop(sender);
    assert!(delivery.poll_outcomes(&mut Context::from_waker(&waker)).is_pending());

    let mut reported = Reported::new();
    for (idx, outcome) in [(2, Ok(ARRIVED)), (0, Err(TIMED_OUT)), (1, Ok(ARRIVED))] {
        assert!(Reported::is_slot(opaques[idx]));
        // SAFETY: it was issued above and is resolved once.
        unsafe { reported.resolve(opaques[idx], outcome) };
    }
    assert_eq!(released.load(Ordering::SeqCst), 3);
    assert_eq!(wakes.0.load(Ordering::SeqCst), 0, "reports of one batch are counted together");
    drop(reported);
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    let outcomes = ready(delivery.poll_outcomes(&mut context()));
    assert_eq!(
        [outcomes.get(0), outcomes.get(1), outcomes.get(2)],
        [Err(TIMED_OUT), Ok(ARRIVED), Ok(ARRIVED)]
    );
}

#[test]
fn reports_of_two_batches_in_turn_finish_both() {
    let (mut first, first_delivery) = batch(2);
    let (mut second, second_delivery) = batch(2);
    let mut reported = Reported::new();
    for _ in 0..2 {
        for sender in [&mut first, &mut second] {
            let opaque = sender.issue(None);
            // SAFETY: it was issued above and is resolved once.
            unsafe { reported.resolve(opaque, Ok(ARRIVED)) };
        }
    }
    drop(reported);
    for delivery in [first_delivery, second_delivery] {
        assert_eq!(ready(delivery.poll_outcomes(&mut context())).get(1), Ok(ARRIVED));
    }
}

#[test]
fn a_batch_of_nothing_is_done_at_once() {
    let (sender, delivery) = batch(0);
    assert!(sender.is_complete());
    ready(delivery.poll_outcomes(&mut context()));
}

#[test]
fn records_that_are_not_sent_fail_when_their_sender_goes() {
    let (mut sender, delivery) = batch(3);
    let opaque = sender.issue(None);
    drop(sender);
    assert!(delivery.poll_outcomes(&mut context()).is_pending());
    // SAFETY: it was issued above and is resolved once.
    unsafe { Reported::new().resolve(opaque, Ok(ARRIVED)) };
    let outcomes = ready(delivery.poll_outcomes(&mut context()));
    assert_eq!(
        [outcomes.get(0), outcomes.get(1), outcomes.get(2)],
        [Ok(ARRIVED), Err(NOT_SENT), Err(NOT_SENT)]
    );
}

#[test]
fn a_payload_taken_back_can_be_sent_in_the_same_slot() {
    let released = Arc::new(AtomicUsize::new(0));
    let (mut sender, delivery) = batch(1);
    let _refused = sender.issue(Some(Bytes::from_owner(Counted(Arc::clone(&released)))));
    // SAFETY: it was issued last, and nobody else has it.
    let payload = unsafe { sender.take_back() };
    assert_eq!((sender.n_sent(), released.load(Ordering::SeqCst)), (0, 0));
    let opaque = sender.issue(payload);
    // SAFETY: it was issued above and is resolved once.
    unsafe { Reported::new().resolve(opaque, Ok(ARRIVED)) };
    assert_eq!(released.load(Ordering::SeqCst), 1);
    assert_eq!(ready(delivery.poll_outcomes(&mut context())).get(0), Ok(ARRIVED));
}

#[test]
fn a_dropped_future_keeps_payloads_until_their_reports() {
    let released = Arc::new(AtomicUsize::new(0));
    let (mut sender, delivery) = batch(1);
    let opaque = sender.issue(Some(Bytes::from_owner(Counted(Arc::clone(&released)))));
    drop((sender, delivery));
    assert_eq!(released.load(Ordering::SeqCst), 0);
    // SAFETY: it was issued above and is resolved once.
    unsafe { Reported::new().resolve(opaque, Err(TIMED_OUT)) };
    assert_eq!(released.load(Ordering::SeqCst), 1);
}

#[test]
fn reports_and_the_waiter_may_meet_at_any_moment() {
    for _ in 0..200 {
        let released = Arc::new(AtomicUsize::new(0));
        let (mut sender, delivery) = batch(4);
        let opaques: Vec<_> = (0..4)
            .map(|_| {
                sender.issue(Some(Bytes::from_owner(Counted(Arc::clone(&released))))).expose_provenance()
            })
            .collect();
        thread::scope(|scope| {
            scope.spawn(|| drop(sender));
            for half in opaques.chunks(2) {
                scope.spawn(move || {
                    for opaque in half {
                        let opaque = std::ptr::with_exposed_provenance_mut(*opaque);
                        // SAFETY: it was issued above and is resolved once, by this thread.
                        unsafe { Reported::new().resolve(opaque, Ok(ARRIVED)) };
                    }
                });
            }
            scope.spawn(|| {
                while delivery.poll_outcomes(&mut context()).is_pending() {
                    thread::yield_now();
                }
                assert_eq!(ready(delivery.poll_outcomes(&mut context())).get(3), Ok(ARRIVED));
            });
        });
        assert_eq!(released.load(Ordering::SeqCst), 4);
    }
}
