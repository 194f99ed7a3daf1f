//! Waiting in order, without a clock and without librdkafka.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use super::Space;

const NEVER_EMPTY: fn() -> bool = || false;

/// As many places as were freed; each attempt that succeeds takes one.
struct Places(Cell<u32>);

impl Places {
    fn take(&self) -> Option<()> {
        let free = self.0.get().checked_sub(1)?;
        self.0.set(free);
        Some(())
    }

    fn free(&self, space: &Space) {
        self.0.set(self.0.get() + 1);
        space.freed();
    }
}

#[test]
fn waiters_are_served_in_order_of_arrival() {
    let (space, places) = (Space::default(), Places(Cell::new(0)));
    let served = RefCell::new(Vec::new());
    let waiter = |name| {
        let (space, places, served) = (&space, &places, &served);
        async move {
            space.until(NEVER_EMPTY, || places.take()).await;
            served.borrow_mut().push(name);
        }
    };
    let (mut first, mut second) = (pin!(waiter("first")), pin!(waiter("second")));
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(first.as_mut().poll(cx).is_pending());
    assert!(second.as_mut().poll(cx).is_pending());
    assert!(space.is_contended());

    places.free(&space);
    // The second comes first to be polled, but it is not its turn.
    assert!(second.as_mut().poll(cx).is_pending());
    assert!(first.as_mut().poll(cx).is_ready());
    places.free(&space);
    assert!(second.as_mut().poll(cx).is_ready());
    assert_eq!(*served.borrow(), ["first", "second"]);
    assert!(!space.is_contended());
}

#[test]
fn dropping_a_waiter_passes_its_turn_on() {
    let (space, places) = (Space::default(), Places(Cell::new(0)));
    let cx = &mut Context::from_waker(Waker::noop());
    let mut second = pin!(space.until(NEVER_EMPTY, || places.take()));
    {
        let mut first = pin!(space.until(NEVER_EMPTY, || places.take()));
        assert!(first.as_mut().poll(cx).is_pending());
        assert!(second.as_mut().poll(cx).is_pending());
        // It is told of the space and goes away before it can use it.
        places.free(&space);
    }
    assert!(second.as_mut().poll(cx).is_ready());
    assert!(!space.is_contended());
}

#[test]
fn space_freed_before_anybody_waits_is_found_by_trying() {
    let (space, places) = (Space::default(), Places(Cell::new(0)));
    places.free(&space);
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(pin!(space.until(NEVER_EMPTY, || places.take())).poll(cx).is_ready());
    // The notice left over costs one try in vain and nothing else.
    assert!(pin!(space.until(NEVER_EMPTY, || places.take())).poll(cx).is_pending());
}

#[test]
fn a_waiter_that_is_kept_but_not_polled_holds_up_nobody() {
    let (space, places) = (Space::default(), Places(Cell::new(0)));
    let cx = &mut Context::from_waker(Waker::noop());
    let mut kept = pin!(space.until(NEVER_EMPTY, || places.take()));
    assert!(kept.as_mut().poll(cx).is_pending());
    let mut second = pin!(space.until(NEVER_EMPTY, || places.take()));
    assert!(second.as_mut().poll(cx).is_pending());

    // The first of these is told to the one that never looks.
    places.free(&space);
    places.free(&space);
    assert!(second.as_mut().poll(cx).is_ready());
    assert!(kept.as_mut().poll(cx).is_ready());
}

#[test]
fn an_empty_queue_makes_nobody_wait() {
    let (space, places) = (Space::default(), Places(Cell::new(0)));
    let cx = &mut Context::from_waker(Waker::noop());
    let [mut kept, mut second, mut third] =
        [(); 3].map(|()| Box::pin(space.until(|| 0 < places.0.get(), || places.take())));
    assert!(kept.as_mut().poll(cx).is_pending());
    assert!(second.as_mut().poll(cx).is_pending());

    places.0.set(2);
    space.emptied();
    assert!(second.as_mut().poll(cx).is_ready());
    assert!(third.as_mut().poll(cx).is_ready(), "it came later and finds the queue empty");
    places.0.set(1);
    assert!(kept.as_mut().poll(cx).is_ready());
}
