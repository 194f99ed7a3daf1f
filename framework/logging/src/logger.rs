//! One logger: its level, its style, its queue and its numbers.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::config::{FilePath, LoggerConfig};
use crate::error::LoggingError;
use crate::format::{Colors, Style};
use crate::level::Level;
use crate::queue::{Line, Pushed, Queue, Sink};
use crate::record::Record;

/// Longest wait for a writer to let go of its old file.
const REOPEN_WAIT_MAX: Duration = Duration::from_secs(5);

/// The levels of a logger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoggerLevels {
    /// As configured.
    pub init: Level,
    /// In force.
    pub current: Level,
}

/// The numbers of a logger; counts are since the start.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoggerStats {
    /// Its name.
    pub logger: String,
    /// Records per level, dropped ones included.
    pub messages: Vec<(Level, u64)>,
    /// Records per level that did not fit the queue.
    pub dropped: Vec<(Level, u64)>,
    /// Records waiting to be written.
    pub queue_messages: usize,
    /// Writes that failed.
    pub write_errors: u64,
    /// Times its file was opened anew.
    pub reopens: u64,
    /// Whether the last attempt to do so failed.
    pub reopen_failed: bool,
}

pub(crate) struct Logger {
    name: String,
    path: Option<PathBuf>,
    style: Style,
    flush_level: Level,
    init: Level,
    current: AtomicU8,
    /// `None` for `@null`.
    queue: Option<Arc<Queue>>,
    messages: [AtomicU64; Level::OF_RECORDS.len()],
    dropped: [AtomicU64; Level::OF_RECORDS.len()],
    reopens: AtomicU64,
    reopen_failed: AtomicBool,
}

impl Logger {
    /// Opens the sink and starts the writer.
    pub(crate) fn open(name: &str, config: &LoggerConfig, colors: Colors) -> Result<Logger, LoggingError> {
        let (sink, path, terminal): (Option<Sink>, _, _) = match &config.file_path {
            FilePath::File(path) => (Some(Box::new(open_file(name, path)?)), Some(path.clone()), false),
            FilePath::Stdout => (Some(Box::new(io::stdout())), None, io::stdout().is_terminal()),
            FilePath::Stderr => (Some(Box::new(io::stderr())), None, io::stderr().is_terminal()),
            FilePath::Null => (None, None, false),
        };
        let style = Style::of(config.format, colors == Colors::Auto && terminal);
        Logger::with_sink(name, config, sink, path, style)
    }

    pub(crate) fn with_sink(
        name: &str,
        config: &LoggerConfig,
        sink: Option<Sink>,
        path: Option<PathBuf>,
        style: Style,
    ) -> Result<Logger, LoggingError> {
        let lines_max = usize::try_from(config.message_queue_size.get()).unwrap_or(usize::MAX);
        let start = |sink| Queue::start(name, sink, lines_max, config.overflow_behavior);
        let queue = sink.map(start).transpose();
        let queue = queue.map_err(|source| LoggingError::Thread { logger: name.to_owned(), source })?;
        Ok(Logger {
            name: name.to_owned(),
            path,
            style,
            flush_level: config.flush_level,
            init: config.level,
            current: AtomicU8::new(config.level as u8),
            queue,
            messages: Default::default(),
            dropped: Default::default(),
            reopens: AtomicU64::new(0),
            reopen_failed: AtomicBool::new(false),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn allows(&self, level: Level) -> bool {
        self.current.load(Relaxed) <= level as u8
    }

    pub(crate) fn levels(&self) -> LoggerLevels {
        let current = self.current.load(Relaxed);
        let current = Level::ALL.into_iter().find(|level| *level as u8 == current);
        LoggerLevels { init: self.init, current: current.expect("only levels are stored") }
    }

    pub(crate) fn set_level(&self, level: Option<Level>) {
        self.current.store(level.unwrap_or(self.init) as u8, Relaxed);
    }

    pub(crate) fn log(&self, record: &Record) {
        self.log_with(record, Queue::push);
    }

    /// For a record made before the logger existed.
    pub(crate) fn log_kept(&self, record: &Record) {
        self.log_with(record, Queue::push_kept);
    }

    pub(crate) fn count_dropped(&self, level: Level, n: u64) {
        self.messages[level as usize].fetch_add(n, Relaxed);
        self.dropped[level as usize].fetch_add(n, Relaxed);
    }

    /// Opens the file anew by its path, after something else moved it away.
    pub(crate) fn reopen(&self) -> Result<(), LoggingError> {
        let (Some(queue), Some(path)) = (&self.queue, &self.path) else { return Ok(()) };
        let outcome = open_file(&self.name, path).and_then(|file| {
            let swapped = queue.replace_sink(Box::new(file), Instant::now() + REOPEN_WAIT_MAX);
            if swapped { Ok(()) } else { Err(LoggingError::Stuck { logger: self.name.clone() }) }
        });
        self.reopens.fetch_add(u64::from(outcome.is_ok()), Relaxed);
        self.reopen_failed.store(outcome.is_err(), Relaxed);
        outcome
    }

    pub(crate) fn flush(&self, deadline: Instant) -> bool {
        self.queue.as_ref().is_none_or(|queue| queue.flush(deadline))
    }

    pub(crate) fn close(&self) {
        if let Some(queue) = &self.queue {
            queue.close();
        }
    }

    pub(crate) fn wait_ended(&self, deadline: Instant) -> bool {
        self.queue.as_ref().is_none_or(|queue| queue.wait_ended(deadline))
    }

    pub(crate) fn stats(&self) -> LoggerStats {
        let by_level = |counts: &[AtomicU64]| {
            Level::OF_RECORDS.into_iter().zip(counts).map(|(level, n)| (level, n.load(Relaxed))).collect()
        };
        LoggerStats {
            logger: self.name.clone(),
            messages: by_level(&self.messages),
            dropped: by_level(&self.dropped),
            queue_messages: self.queue.as_ref().map_or(0, |queue| queue.len()),
            write_errors: self.queue.as_ref().map_or(0, |queue| queue.write_errors()),
            reopens: self.reopens.load(Relaxed),
            reopen_failed: self.reopen_failed.load(Relaxed),
        }
    }

    fn log_with(&self, record: &Record, push: impl Fn(&Queue, Line) -> Pushed) {
        let level = record.level();
        self.messages[level as usize].fetch_add(1, Relaxed);
        let Some(queue) = &self.queue else { return };
        let line = Line { text: self.style.line(record), flush: self.flush_level <= level };
        if push(queue, line) == Pushed::Dropped {
            self.dropped[level as usize].fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Logger {
    /// Does not wait: the writer ends by itself once everything is written.
    fn drop(&mut self) {
        self.close();
    }
}

/// For appending, so that several processes or loggers can share a file.
fn open_file(logger: &str, path: &Path) -> Result<File, LoggingError> {
    let error =
        |path: &Path, source| LoggingError::Open { logger: logger.to_owned(), path: path.into(), source };
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(|source| error(directory, source))?;
    }
    let opened = OpenOptions::new().append(true).create(true).mode(0o644).open(path);
    opened.map_err(|source| error(path, source))
}
