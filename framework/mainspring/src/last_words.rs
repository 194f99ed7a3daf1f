//! Speaking on standard error when the process is about to end, whether or not anybody listens.
//!
//! Standard error may be a pipe that nobody reads, and a log writer that waits for it holds its lock: whoever writes
//! there then waits for ever. So a thread of its own speaks, and the process ends without it when it takes too long.

use std::io::{self, Write};
use std::sync::mpsc;
use std::time::Duration;

/// How long somebody who listens may take when somebody waits for the process to end at once.
const HURRIED_LIMIT: Duration = Duration::from_millis(200);

/// How long it may take otherwise: a machine may be busy.
const LIMIT: Duration = Duration::from_secs(3);

/// Longest wait for what comes before hurried words, such as emptying the queues of the log.
pub(crate) const BEFORE_LIMIT: Duration = Duration::from_millis(200);

/// Does `before`, then writes a line to standard error; gives up soon when that takes too long.
pub(crate) fn say_hurriedly(line: String, before: impl FnOnce() + Send + 'static) {
    say_within(BEFORE_LIMIT + HURRIED_LIMIT, line, before);
}

/// Writes a line to standard error; gives up when nobody takes it.
pub(crate) fn say(line: String) {
    say_within(LIMIT, line, || {});
}

fn say_within(limit: Duration, line: String, before: impl FnOnce() + Send + 'static) {
    let (said, is_said) = mpsc::channel();
    let speak = move || {
        before();
        let _nobody_listens = writeln!(io::stderr(), "{line}").is_err();
        let _given_up_on = said.send(()).is_err();
    };
    if std::thread::Builder::new().name("last-words".to_owned()).spawn(speak).is_ok() {
        let _too_late = is_said.recv_timeout(limit).is_err();
    }
}
