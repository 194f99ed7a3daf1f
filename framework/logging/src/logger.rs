//! One logger: its level, its style, its queue and its numbers.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::LoggerConfig;
use crate::counts::ByLevel;
use crate::error::LoggingError;
use crate::format::{Colors, Style};
use crate::level::Level;
use crate::queue::{Bounds, Line, Pushed, QUEUE_BYTES_MAX, Queue};
use crate::record::Record;
use crate::sink::{Opened, Sink};

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
    /// Records per level that did not fit the queue, or that the sink did not take whole.
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
    messages: ByLevel,
    dropped: Arc<ByLevel>,
    /// Held from opening a file to writing to it: of two reopenings at once the later one must have the last word.
    reopening: Mutex<()>,
}

impl Logger {
    /// Opens the sink and starts the writer.
    pub(crate) fn open(name: &str, config: &LoggerConfig, colors: Colors) -> Result<Logger, LoggingError> {
        let Opened { sink, path, is_terminal } = Opened::open(name, &config.file_path)?;
        let style = Style::of(config.format, colors == Colors::Auto && is_terminal);
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
        let bounds = Bounds { lines_max, bytes_max: QUEUE_BYTES_MAX, overflow: config.overflow_behavior };
        let dropped = Arc::<ByLevel>::default();
        let start = |sink| Queue::start(name, sink, bounds, Arc::clone(&dropped));
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
            messages: ByLevel::default(),
            dropped,
            reopening: Mutex::default(),
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
        self.messages.add(level, n);
        self.dropped.add(level, n);
    }

    /// Opens the file anew by its path, after something else moved it away.
    pub(crate) fn reopen(&self) -> Result<(), LoggingError> {
        let (Some(queue), Some(path)) = (&self.queue, &self.path) else { return Ok(()) };
        let _one_at_a_time = self.reopening.lock().unwrap_or_else(PoisonError::into_inner);
        let sink = Sink::open_file(&self.name, path).inspect_err(|_| queue.reopen_failed())?;
        if queue.replace_sink(sink, Instant::now() + REOPEN_WAIT_MAX) {
            Ok(())
        } else {
            Err(LoggingError::Stuck { logger: self.name.clone() })
        }
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
        let queue = self.queue.as_deref();
        let reopens = queue.map(Queue::reopens).unwrap_or_default();
        LoggerStats {
            logger: self.name.clone(),
            messages: self.messages.get(),
            dropped: self.dropped.get(),
            queue_messages: queue.map_or(0, Queue::len),
            write_errors: queue.map_or(0, Queue::write_errors),
            reopens: reopens.count,
            reopen_failed: reopens.failed,
        }
    }

    fn log_with(&self, record: &Record, push: impl Fn(&Queue, Line) -> Pushed) {
        let level = record.level();
        self.messages.add(level, 1);
        let Some(queue) = &self.queue else { return };
        let line = Line { text: self.style.line(record), level, flush: self.flush_level <= level };
        if push(queue, line) == Pushed::Dropped {
            self.dropped.add(level, 1);
        }
    }
}

impl Drop for Logger {
    /// Does not wait: the writer ends by itself once everything is written.
    fn drop(&mut self) {
        self.close();
    }
}
