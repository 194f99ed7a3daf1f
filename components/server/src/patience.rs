//! How long a client may keep us waiting: a limit on each single wait, which progress renews, and a shorter one once
//! the listener drains, because then a stop waits too.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Longest wait for a client that makes no progress while the listener drains.
pub(crate) const DRAIN_STALL_MAX: Duration = Duration::from_secs(3);

/// As good as for ever, and small enough to be added to a time.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

pub(crate) struct Patience {
    limit: Duration,
    draining: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Made when a wait really happens, which is seldom.
    sleep: Option<Pin<Box<Sleep>>>,
    waits: bool,
    drained: bool,
}

impl Patience {
    pub(crate) fn new(limit: Duration, draining: CancellationToken) -> Self {
        let draining = Box::pin(draining.cancelled_owned());
        Self { limit, draining, sleep: None, waits: false, drained: false }
    }

    /// Without a limit until the listener drains.
    pub(crate) fn until_drained(draining: CancellationToken) -> Self {
        Self::new(FOR_EVER, draining)
    }

    /// The client has made progress.
    pub(crate) fn renew(&mut self) {
        self.waits = false;
    }

    /// Ready when the client has made no progress for too long. The time runs from the first call after a renewal.
    pub(crate) fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.drained && self.draining.as_mut().poll(cx).is_ready() {
            self.drained = true;
            self.limit = self.limit.min(DRAIN_STALL_MAX);
            self.waits = false;
        }
        let limit = self.limit;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        if !self.waits {
            self.waits = true;
            sleep.as_mut().reset(Instant::now() + limit);
        }
        sleep.as_mut().poll(cx)
    }
}
