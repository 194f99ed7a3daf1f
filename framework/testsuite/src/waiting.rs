//! Waiting for an outcome under a deadline.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// How long a test waits for something that is going to happen: generous, because machines are slow at times and
/// a passing test never waits this long.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Looks again and again until `accept` is content with what `look` saw, and returns that.
///
/// # Panics
/// After [`DEADLINE`], with what was seen last.
#[track_caller]
pub fn eventually<T: Debug>(what: &str, mut look: impl FnMut() -> T, accept: impl Fn(&T) -> bool) -> T {
    let began = Instant::now();
    loop {
        let seen = look();
        if accept(&seen) {
            return seen;
        }
        assert!(began.elapsed() < DEADLINE, "{what}: not within {DEADLINE:?}; last seen: {seen:#?}");
        pause();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a pause between two looks, on a thread that belongs to the test"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}
