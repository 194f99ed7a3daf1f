//! Waiting for what sends no event: look, pause, look again, and say what was last seen when time is up.

use std::time::{Duration, Instant};

use crate::BrokerError;

const PAUSE: Duration = Duration::from_millis(20);

/// Calls `look` until it finds something. `Err` is what it saw instead; the last one ends up in the error.
pub(crate) fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<T, String>,
) -> Result<T, BrokerError> {
    let started = Instant::now();
    loop {
        match look() {
            Ok(found) => return Ok(found),
            Err(seen) if limit <= started.elapsed() => {
                return Err(BrokerError::Deadline { what: what.to_owned(), waited: limit, seen });
            }
            Err(_) => pause(),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test thread of its own that has nothing else to do")]
fn pause() {
    std::thread::sleep(PAUSE);
}
