//! Real brokers: what is written is read back, what is killed comes back, and nothing outlives its process.

mod certificates;
mod lifetime;
mod prerequisites;
mod records;
mod restarts;

use std::time::{Duration, Instant};

/// More than anything here takes on a machine that compiles at the same time.
const LIMIT: Duration = Duration::from_secs(60);

/// Looks until `look` sees what it wants; panics with what it saw instead after [`LIMIT`].
#[track_caller]
fn eventually(mut look: impl FnMut() -> Result<(), String>) {
    let deadline = Instant::now() + LIMIT;
    while let Err(seen) = look() {
        assert!(Instant::now() < deadline, "after {LIMIT:?} still: {seen}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}
