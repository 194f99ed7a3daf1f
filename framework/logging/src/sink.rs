//! Where lines end up: a file or a standard stream, written without a buffer of our own.
//!
//! A sink knows whether it stands in the middle of a line, because a write failed half-way or the file was found
//! that way; what comes next then begins on a line of its own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::config::FilePath;
use crate::error::LoggingError;

/// A directory that is just being replaced, or a full table of open files, is often gone a moment later.
const OPEN_ATTEMPTS: u32 = 5;
const OPEN_RETRY_DELAY: Duration = Duration::from_millis(10);

/// Pause before a write that would have blocked is tried again: a standard stream that others have made
/// non-blocking cannot be waited for in another way.
const BLOCKED_RETRY_DELAY: Duration = Duration::from_millis(10);

/// Pauses in a row after which such a write counts as failed, which makes 5 s.
const BLOCKED_RETRIES_MAX: u32 = 500;

pub(crate) struct Sink {
    write: Box<dyn Write + Send>,
    mid_line: bool,
}

/// A sink as the configuration asks for it; without one, records are counted only.
pub(crate) struct Opened {
    pub(crate) sink: Option<Sink>,
    /// What a rotation may move away.
    pub(crate) path: Option<PathBuf>,
    pub(crate) is_terminal: bool,
}

impl Opened {
    pub(crate) fn open(logger: &str, path: &FilePath) -> Result<Opened, LoggingError> {
        let stream = |name: &str, stream: &dyn AsFd, is_terminal| {
            // A descriptor of our own: the standard library's handles have locks, which others may hold, and buffers.
            let file = stream.as_fd().try_clone_to_owned().map(File::from);
            let file = file.map_err(|source| LoggingError::Open {
                logger: logger.to_owned(),
                path: name.into(),
                source,
            })?;
            Ok(Opened { sink: Some(Sink::new(file)), path: None, is_terminal })
        };
        match path {
            FilePath::File(path) => {
                let sink = Some(Sink::open_file(logger, path)?);
                Ok(Opened { sink, path: Some(path.clone()), is_terminal: false })
            }
            FilePath::Stdout => stream("@stdout", &io::stdout(), io::stdout().is_terminal()),
            FilePath::Stderr => stream("@stderr", &io::stderr(), io::stderr().is_terminal()),
            FilePath::Null => Ok(Opened { sink: None, path: None, is_terminal: false }),
        }
    }
}

impl Sink {
    /// At the beginning of a line.
    pub(crate) fn new(write: impl Write + Send + 'static) -> Sink {
        Sink { write: Box::new(write), mid_line: false }
    }

    /// Opens a file, and its directories, for appending, so that several processes or loggers can share it.
    pub(crate) fn open_file(logger: &str, path: &Path) -> Result<Sink, LoggingError> {
        retried(|| open_once(path)).map_err(|(path, source)| LoggingError::Open {
            logger: logger.to_owned(),
            path,
            source,
        })
    }

    /// Writes whole lines; how many bytes of them were taken, and what stopped it.
    pub(crate) fn write_lines(&mut self, lines: &[u8]) -> (usize, io::Result<()>) {
        if self.mid_line {
            let (written, outcome) = self.write_all(b"\n");
            self.mid_line = written == 0;
            if outcome.is_err() {
                return (0, outcome);
            }
        }
        let (written, outcome) = self.write_all(lines);
        if let Some(last) = lines.get(..written).and_then(<[u8]>::last) {
            self.mid_line = *last != b'\n';
        }
        (written, outcome)
    }

    fn write_all(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        let (mut written, mut retries) = (0, 0);
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match self.write.write(rest) {
                Ok(0) => return (written, Err(ErrorKind::WriteZero.into())),
                Ok(n) => (written, retries) = (written + n, 0),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock && retries < BLOCKED_RETRIES_MAX => {
                    retries += 1;
                    pause(BLOCKED_RETRY_DELAY);
                }
                Err(error) => return (written, Err(error)),
            }
        }
        (written, Ok(()))
    }
}

/// On failure also what could not be opened: the file or its directory.
fn open_once(path: &Path) -> Result<Sink, (PathBuf, io::Error)> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(|error| (directory.to_owned(), error))?;
    }
    let opened = OpenOptions::new().append(true).create(true).mode(0o644).open(path);
    let file = opened.map_err(|error| (path.to_owned(), error))?;
    let mid_line = ends_mid_line(path, &file);
    Ok(Sink { write: Box::new(file), mid_line })
}

/// Whether a file that is appended to has a last line without an end, as a killed process leaves it.
fn ends_mid_line(path: &Path, file: &File) -> bool {
    if !file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() != 0) {
        return false;
    }
    let last_byte = || {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        Ok::<u8, io::Error>(last[0])
    };
    // Of what may be written and not read, an empty line is the lesser evil.
    last_byte().map_or(true, |last| last != b'\n')
}

/// Asks again for a while when `open` fails.
pub(crate) fn retried<T, E>(open: impl Fn() -> Result<T, E>) -> Result<T, E> {
    for _ in 1..OPEN_ATTEMPTS {
        match open() {
            Ok(opened) => return Ok(opened),
            Err(_) => pause(OPEN_RETRY_DELAY),
        }
    }
    open()
}

#[expect(
    clippy::disallowed_methods,
    reason = "on a thread that may block: the writer's, or one that opens files"
)]
fn pause(delay: Duration) {
    thread::sleep(delay);
}
