//! Calls that block, on threads kept for that, again and again until they are answered.

use std::sync::Arc;
use std::time::Duration;

use mainspring_engine::TaskProcessor;
use mainspring_kafka_ffi::{self as ffi, KafkaCode, KafkaError};
use tokio::time::{Instant, sleep};

use crate::producer::Live;

/// Longest time that one call blocks its thread. What takes longer goes on in librdkafka and is taken up by the next call, so
/// that a stop need not wait for it.
const CALL_MAX: Duration = Duration::from_secs(1);

/// Waits before a refused call is made again.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Whether librdkafka goes on with a call that ran out of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resumes {
    Yes,
    No,
}

/// Makes a call until it succeeds, fails with an error that is not retriable, or `deadline` has passed. It is made once at
/// least.
///
/// # Cancel safety
/// Dropped, the call under way ends by itself. The next call of another kind is refused until then, as retriable.
pub(crate) async fn until_answered(
    processor: &TaskProcessor,
    live: &Arc<Live>,
    deadline: Instant,
    resumes: Resumes,
    call: impl Fn(&ffi::Producer, Duration) -> Result<(), KafkaError> + Send + Sync + 'static,
) -> Result<(), KafkaError> {
    let call = Arc::new(call);
    let mut backoff = BACKOFF_MIN;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let limit = if resumes == Resumes::Yes { left.min(CALL_MAX) } else { left };
        let (live, call) = (Arc::clone(live), Arc::clone(&call));
        let called =
            processor.spawn_blocking("kafka-transaction-call", move || call(live.client(), limit)).await;
        let error = match called {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            // The task processor shuts down.
            Err(_) => return Err(ended()),
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if !error.retriable || left.is_zero() {
            return Err(error);
        }
        if error.code != KafkaCode::TIMED_OUT {
            sleep(backoff.min(left)).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }
}

fn ended() -> KafkaError {
    let code = KafkaCode::DESTROY;
    let text = code.description();
    KafkaError { code, text, fatal: false, retriable: false, txn_requires_abort: false }
}
