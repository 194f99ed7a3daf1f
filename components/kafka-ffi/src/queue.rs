//! Queues with a wake-up that cannot be lost.
//!
//! librdkafka calls back only when a queue goes from empty to non-empty. So a reader registers its waker first and then
//! drains until the queue says it is empty; whatever arrives later finds the waker. A drain cut short must be followed by
//! another one, never by waiting.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::task::Waker;

use futures_util::task::AtomicWaker;

use crate::client::Client;
use crate::error::KafkaError;
use crate::event::Event;
use crate::sys;

/// An armed queue and the one task that waits for it.
pub(crate) struct Queue {
    raw: NonNull<sys::rd_kafka_queue_t>,
    waker: Arc<AtomicWaker>,
    client: Client,
}

// SAFETY: queue functions lock inside librdkafka and may be called from any thread.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Queue {
    /// The queue that a producer's reports and events arrive on.
    pub(crate) fn main(client: &Client) -> Queue {
        // SAFETY: the client is live; the returned reference is ours.
        Queue::arm(client, unsafe { sys::rd_kafka_queue_get_main(client.as_ptr()) })
    }

    /// The queue of the consumer group, which also gets the events after `rd_kafka_poll_set_consumer`.
    pub(crate) fn consumer(client: &Client) -> Option<Queue> {
        // SAFETY: the client is live; the returned reference is ours, or null without a group.
        let raw = unsafe { sys::rd_kafka_queue_get_consumer(client.as_ptr()) };
        (!raw.is_null()).then(|| Queue::arm(client, raw))
    }

    /// A queue of our own that others are forwarded to.
    pub(crate) fn create(client: &Client) -> Queue {
        // SAFETY: the client is live; the new queue is ours.
        Queue::arm(client, unsafe { sys::rd_kafka_queue_new(client.as_ptr()) })
    }

    fn arm(client: &Client, raw: *mut sys::rd_kafka_queue_t) -> Queue {
        let raw = NonNull::new(raw).expect("librdkafka aborts when out of memory");
        let waker = Arc::new(AtomicWaker::new());
        let opaque = Arc::as_ptr(&waker).cast_mut().cast::<c_void>();
        // SAFETY: the queue is live; the waker stays where it is until `Drop` has disarmed the queue.
        unsafe { sys::rd_kafka_queue_cb_event_enable(raw.as_ptr(), Some(wake), opaque) };
        Queue { raw, waker, client: client.clone() }
    }

    /// Has the client's log lines arrive here (with `log.queue`).
    pub(crate) fn receive_logs(&self) -> Result<(), KafkaError> {
        // SAFETY: the client and the queue are live.
        KafkaError::check(unsafe {
            sys::int::rd_kafka_set_log_queue(self.client.as_ptr(), self.raw.as_ptr())
        })
    }

    /// From here on `waker` is woken when the queue stops being empty. The last one registered wins.
    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// The next event, if there is one; never waits.
    pub(crate) fn next_event(&self) -> Option<Event<'_>> {
        self.wait_event(0)
    }

    /// The next event within `timeout_ms`; blocks.
    pub(crate) fn wait_event(&self, timeout_ms: i32) -> Option<Event<'_>> {
        // SAFETY: the queue and its client are live; the event is ours.
        let raw = unsafe { sys::rd_kafka_queue_poll(self.raw.as_ptr(), timeout_ms) };
        NonNull::new(raw).map(|raw| Event::new(raw, &self.client))
    }

    /// Takes up to `raws.len()` messages without waiting; the first of them are filled and ours.
    pub(crate) fn take_messages(&self, raws: &mut [*mut sys::rd_kafka_message_t]) -> usize {
        // SAFETY: the queue is live and `raws` has room for as many pointers as said.
        let count =
            unsafe { sys::rd_kafka_consume_batch_queue(self.raw.as_ptr(), 0, raws.as_mut_ptr(), raws.len()) };
        usize::try_from(count).unwrap_or(0)
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::rd_kafka_queue_t {
        self.raw.as_ptr()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the queue is live. Disarming takes the lock under which callbacks run, so none runs once it returns. It
        // is never called from such a callback: queues are dropped on the reaper thread.
        unsafe { sys::rd_kafka_queue_cb_event_enable(self.raw.as_ptr(), None, ptr::null_mut()) };
        // SAFETY: `self` owns one reference, given back once, while `client` keeps the client alive.
        unsafe { sys::rd_kafka_queue_destroy(self.raw.as_ptr()) };
    }
}

/// Runs on a librdkafka thread that holds the queue's lock: wakes and returns.
unsafe extern "C" fn wake(_: *mut sys::rd_kafka_t, opaque: *mut c_void) {
    // SAFETY: `opaque` is the waker that `arm` passed; `Drop for Queue` disarms before it lets go of it.
    let waker = unsafe { &*opaque.cast::<AtomicWaker>() };
    // A waker is foreign code, and unwinding into C would abort the process.
    drop(catch_unwind(AssertUnwindSafe(|| waker.wake())));
}
