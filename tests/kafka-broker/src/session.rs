//! The process-wide part: one temporary directory, and one guardian that ends everything when this process is gone.
//!
//! The guardian is a shell that reads a pipe whose other end only this process holds. Whatever ends the process (return,
//! panic, Ctrl-C, SIGKILL) closes the pipe, and the guardian kills every node and removes the directory. It sits in a
//! process group of its own, so that Ctrl-C in the terminal does not reach it, and holds none of the test's output open.
//!
//! A node cannot slip through: its process waits for a line on its own pipe before it becomes Java, and gets that line
//! only after its `pid` file exists where the guardian looks.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::BrokerError;
use crate::error::with_causes;
use crate::setup::last_lines;

/// `$1` is the session's directory. Removal is tried for a while because a killed process may still be writing into it.
const GUARDIAN: &str = r#"
cat >/dev/null
for file in "$1"/*/pid; do
    [ -f "$file" ] && kill -9 "$(cat "$file")"
done
[ -e "$1/keep" ] && exit
tries=0
until rm -rf "$1" || [ $((tries += 1)) -gt 100 ]; do sleep 0.1; done
"#;

thread_local! {
    /// Whether the test on this thread uses a broker, so that its panic is a reason to keep the logs.
    static USES_BROKER: Cell<bool> = const { Cell::new(false) };
}

/// The session of this process, once there is one. Never dropped, as statics are not: the guardian does what a
/// destructor would.
static SESSION: Mutex<Option<Arc<Session>>> = Mutex::new(None);

/// The directory of all nodes of this process.
#[derive(Debug)]
pub(crate) struct Session {
    directory: PathBuf,
    nodes: AtomicUsize,
    /// Its open stdin is what keeps the nodes alive.
    _guardian: Child,
}

impl Session {
    /// The session of this process; the calling thread's test is from now on one that uses a broker.
    pub(crate) fn get() -> Result<Arc<Self>, BrokerError> {
        USES_BROKER.set(true);
        let mut session = SESSION.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = &*session {
            return Ok(Arc::clone(session));
        }
        let opened = Arc::new(Self::open()?);
        Ok(Arc::clone(session.insert(opened)))
    }

    fn open() -> Result<Self, BrokerError> {
        let temporary = std::env::temp_dir();
        let directory = tempfile::Builder::new()
            .prefix("mainspring-kafka-")
            .tempdir_in(&temporary)
            .map_err(BrokerError::io("create a directory in", &temporary))?
            .keep();
        let guardian = Command::new("sh")
            .args(["-c", GUARDIAN, "sh"])
            .arg(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(BrokerError::io("run", Path::new("sh")))?;
        let session = Self { directory, nodes: AtomicUsize::new(0), _guardian: guardian };
        if std::env::var_os("MAINSPRING_KEEP_BROKER").is_some_and(|value| value == "1") {
            keep(&session.directory);
        }
        keep_on_panic(session.directory.clone());
        Ok(session)
    }

    /// A new directory for one node.
    pub(crate) fn node_directory(&self, name: &str) -> Result<PathBuf, BrokerError> {
        let n = self.nodes.fetch_add(1, Ordering::Relaxed);
        let directory = self.directory.join(format!("{n:02}-{name}"));
        fs::create_dir(&directory).map_err(BrokerError::io("create", &directory))?;
        Ok(directory)
    }

    /// Keeps the directories, and shows the end of the logs beside the test that failed.
    pub(crate) fn keep(&self) {
        keep(&self.directory);
    }

    /// Whether the directories are kept.
    pub(crate) fn keeps(&self) -> bool {
        self.directory.join("keep").exists()
    }
}

/// Chains a panic hook that keeps the directory when the panicking thread's test uses a broker. Panics of other threads,
/// such as a service's callback that fails on purpose, change nothing.
fn keep_on_panic(directory: PathBuf) {
    let next = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        next(info);
        // A thread that is being torn down has no flag any more, and no test either.
        if USES_BROKER.try_with(Cell::get).unwrap_or(false) {
            keep(&directory);
        }
    }));
}

#[expect(clippy::print_stderr, reason = "libtest shows it beside the failed test")]
fn keep(directory: &Path) {
    match fs::write(directory.join("keep"), "") {
        Ok(()) => eprintln!("note: the broker's files are kept in {}", directory.display()),
        Err(error) => eprintln!("note: the broker's files cannot be kept: {error}"),
    }
    for node in fs::read_dir(directory).into_iter().flatten().flatten() {
        let Ok(log) = fs::read(node.path().join("log")) else { continue };
        let tail = last_lines(&String::from_utf8_lossy(&log));
        eprintln!("the end of the log of {}:\n{tail}", node.file_name().display());
    }
}

/// What a test that uses brokers returns. A failure keeps the logs and shows their end, as a panic does.
pub type TestResult = Result<(), TestFailure>;

/// Made by `?` from any error, at the moment that a test fails.
pub struct TestFailure(String);

impl<E: Error> From<E> for TestFailure {
    fn from(error: E) -> Self {
        if let Some(session) = &*SESSION.lock().unwrap_or_else(PoisonError::into_inner) {
            session.keep();
        }
        Self(with_causes(&error))
    }
}

/// The text for people, which libtest prints.
impl fmt::Debug for TestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
