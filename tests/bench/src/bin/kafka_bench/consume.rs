//! `consume`. The component commits by itself, once a second and when it stops.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mainspring::ServiceHandle;
use mainspring::kafka::{Batch, ConsumerError, ConsumerScope};
use mainspring_bench::{Meter, Op};

use crate::bench::{Work, finish};

/// What has been read so far.
#[derive(Debug, Default)]
struct Progress {
    meter: Option<Meter>,
    messages: usize,
    bytes: u64,
    /// Of the bytes that were looked at, so that looking is not optimised away.
    sum: u64,
}

/// Reads until there is enough, then ends the service.
pub(crate) fn start(work: Work, scope: &ConsumerScope, service: ServiceHandle) -> Result<(), ConsumerError> {
    let progress = Arc::new(Mutex::new(Progress::default()));
    scope.start(move |batch: Batch| {
        progress.lock().unwrap_or_else(PoisonError::into_inner).add(&batch, &work, &service);
        std::future::ready(Ok::<(), Infallible>(()))
    })
}

impl Progress {
    fn add(&mut self, batch: &Batch, work: &Work, service: &ServiceHandle) {
        let was_complete = work.messages <= self.messages;
        let meter = self.meter.get_or_insert_with(|| Meter::start("mainspring", Op::Consume));
        for message in batch {
            let payload = message.payload().unwrap_or_default();
            if let [first, .., last] = payload {
                self.sum += u64::from(*first) + u64::from(*last);
            }
            self.bytes += payload.len() as u64;
        }
        self.messages += batch.len();
        let until = Instant::now() + Duration::from_nanos(work.work_ns * batch.len() as u64);
        while 0 < work.work_ns && Instant::now() < until {
            std::hint::spin_loop();
        }
        if work.messages <= self.messages && !was_complete {
            assert_ne!(self.sum, 0, "payloads are text");
            finish(service, &meter.stop(self.messages, self.bytes));
        }
    }
}
