//! The handle of a service's logging, from its first record to the last.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Metadata, Subscriber, span};
use tracing_subscriber::layer::SubscriberExt;

use crate::config::{FilePath, Format, LoggerConfig, LoggersConfig};
use crate::error::LoggingError;
use crate::format::Colors;
use crate::layer::LoggingLayer;
use crate::level::Level;
use crate::local_level::{LocalLevel, LocalLevels, Threshold};
use crate::logger::{Logger, LoggerLevels, LoggerStats};
use crate::recent::{Recent, RecentFilter, RecentRecord};
use crate::record::Record;
use crate::target_levels::TargetLevels;

/// Name of the logger that gets every record that no other logger is named after.
pub const DEFAULT_LOGGER: &str = "default";

/// Most records kept until the loggers are configured. Later ones are dropped and counted: the first ones
/// tell how a failure began.
const KEPT_RECORDS_MAX: usize = 4096;

/// Most bytes of kept records, as [`KEPT_RECORDS_MAX`]; what one record takes is an estimate.
const KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What is kept until the configured level is known.
const KEPT_LEVEL: Level = Level::Debug;

/// Spans of this level and above lend their fields to records whatever the level of a logger.
const SPAN_LEVEL: Level = Level::Info;

/// Longest wait for standard error when start-up failed.
const FALLBACK_FLUSH_MAX: Duration = Duration::from_secs(1);

/// The logging of one service. Clones share it.
#[derive(Clone)]
pub struct Logging {
    shared: Arc<Shared>,
    /// Beside `shared` and not in it, because it owns a reference to it.
    dispatch: Dispatch,
}

pub(crate) struct Shared {
    clock: fn() -> SystemTime,
    /// Does nothing but exist. While a process has a single dispatcher, `tracing` asks the default of whichever
    /// thread meets a call site first, and one outside the service would switch that call site off for good.
    /// With a second dispatcher it asks all of them.
    _second_dispatch: Dispatch,
    loggers: OnceLock<Loggers>,
    kept: Mutex<Kept>,
    recent: Mutex<Recent>,
    pub(crate) local_levels: LocalLevels,
    target_levels: TargetLevels,
}

struct Loggers {
    default: Arc<Logger>,
    /// All of them, `default` included.
    by_name: BTreeMap<String, Arc<Logger>>,
}

#[derive(Default)]
struct Kept {
    records: Vec<Record>,
    bytes: usize,
    /// By level.
    dropped: [u64; Level::OF_RECORDS.len()],
}

impl Logging {
    /// Logging that keeps records in memory until it is configured.
    #[must_use]
    pub fn new() -> Logging {
        Logging::with_clock(SystemTime::now)
    }

    pub(crate) fn with_clock(clock: fn() -> SystemTime) -> Logging {
        let shared = Arc::new(Shared {
            clock,
            _second_dispatch: Dispatch::new(Silent),
            loggers: OnceLock::new(),
            kept: Mutex::default(),
            recent: Mutex::default(),
            local_levels: LocalLevels::default(),
            target_levels: TargetLevels::default(),
        });
        let layer = LoggingLayer { shared: Arc::clone(&shared) };
        let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer));
        Logging { shared, dispatch }
    }

    /// What `tracing`'s macros must find as the default on every thread of the service.
    #[must_use]
    pub fn dispatch(&self) -> Dispatch {
        self.dispatch.clone()
    }

    /// Opens the loggers and writes what was kept, in its order. Blocks while it opens files.
    ///
    /// # Errors
    ///
    /// When a file cannot be opened, a thread cannot be started, `default` is missing, or this was called
    /// before. Nothing is lost then: records are kept on.
    pub fn configure(&self, config: &LoggersConfig, colors: Colors) -> Result<(), LoggingError> {
        let open = |(name, config): (&String, &LoggerConfig)| {
            Ok((name.clone(), Arc::new(Logger::open(name, config, colors)?)))
        };
        self.install(config.loggers.iter().map(open).collect::<Result<_, _>>()?)
    }

    pub(crate) fn install(&self, by_name: BTreeMap<String, Arc<Logger>>) -> Result<(), LoggingError> {
        let default = by_name.get(DEFAULT_LOGGER).map(Arc::clone).ok_or(LoggingError::DefaultMissing)?;
        self.shared.install(Loggers { default, by_name })?;
        levels_changed();
        Ok(())
    }

    /// Writes what was kept to standard error: for a start-up that failed before `configure`. Does nothing
    /// when the loggers are configured already.
    pub fn configure_fallback(&self) {
        let mut config = LoggerConfig::new(FilePath::Stderr);
        config.format = Format::Pretty;
        if self.configure(&LoggersConfig::of_default(config), Colors::Never).is_ok() {
            self.flush(FALLBACK_FLUSH_MAX);
        }
    }

    /// Names of the configured loggers, sorted.
    #[must_use]
    pub fn loggers(&self) -> Vec<String> {
        self.shared.loggers().map(|logger| logger.name().to_owned()).collect()
    }

    /// The levels of a logger; `None` when there is no such logger.
    #[must_use]
    pub fn level(&self, logger: &str) -> Option<LoggerLevels> {
        Some(self.find(logger).ok()?.levels())
    }

    /// Changes the level of a logger, or puts it back to what was configured.
    ///
    /// # Errors
    ///
    /// When there is no such logger.
    pub fn set_level(&self, logger: &str, level: Option<Level>) -> Result<(), LoggingError> {
        self.find(logger)?.set_level(level);
        levels_changed();
        Ok(())
    }

    /// Gives records of some targets, mostly paths of modules, levels of their own instead of those of their loggers: a
    /// target named here and all modules below it. Replaces what was set before.
    pub fn set_target_levels(&self, levels: BTreeMap<String, Level>) {
        self.shared.target_levels.set(levels);
        levels_changed();
    }

    /// Announces that a part of the work is going to be logged by a level of its own.
    #[must_use = "the level counts for as long as this lives"]
    pub fn local_level(&self, level: Level) -> LocalLevel {
        LocalLevel::new(Arc::clone(&self.shared), level)
    }

    /// Opens all files anew by their paths, after a log rotation moved them away. Blocks until each logger
    /// writes to its new file. No line is lost.
    ///
    /// # Errors
    ///
    /// One per logger that failed and writes to its old file on.
    pub fn reopen(&self) -> Result<(), Vec<LoggingError>> {
        let errors: Vec<_> = self.shared.loggers().filter_map(|logger| logger.reopen().err()).collect();
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// The newest records that `filter` lets through, oldest first.
    #[must_use]
    pub fn recent(&self, filter: &RecentFilter) -> Vec<RecentRecord> {
        self.shared.recent.lock().unwrap_or_else(PoisonError::into_inner).find(filter)
    }

    /// The numbers of each logger.
    #[must_use]
    pub fn stats(&self) -> Vec<LoggerStats> {
        self.shared.loggers().map(|logger| logger.stats()).collect()
    }

    /// Blocks until what was logged before is written; false when `timeout` passes first.
    pub fn flush(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        self.shared.loggers().all(|logger| logger.flush(deadline))
    }

    /// Ends the writers after they have written everything. Later records are dropped and counted. False
    /// when `timeout` passes first.
    pub fn shutdown(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        self.shared.loggers().for_each(|logger| logger.close());
        self.shared.loggers().all(|logger| logger.wait_ended(deadline))
    }

    fn find(&self, name: &str) -> Result<&Arc<Logger>, LoggingError> {
        let found = self.shared.loggers.get().and_then(|loggers| loggers.by_name.get(name));
        found.ok_or_else(|| LoggingError::UnknownLogger {
            logger: name.to_owned(),
            configured: self.loggers(),
        })
    }
}

/// Makes `tracing` ask for the highest level again. Its answer is one number for the whole process, and of two
/// threads that compute it at once the slower one may store what is no longer true: hence the lock.
pub(crate) fn levels_changed() {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    tracing::callsite::rebuild_interest_cache();
}

impl Default for Logging {
    fn default() -> Logging {
        Logging::new()
    }
}

impl fmt::Debug for Logging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logging").field("loggers", &self.loggers()).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn now(&self) -> SystemTime {
        (self.clock)()
    }

    /// `threshold` is asked only when there can be one.
    pub(crate) fn enabled(
        &self,
        metadata: &Metadata<'_>,
        threshold: impl FnOnce() -> Option<Threshold>,
    ) -> bool {
        let level = Level::of(*metadata.level());
        if metadata.is_span() && SPAN_LEVEL <= level {
            return true;
        }
        let Some(loggers) = self.loggers.get() else { return KEPT_LEVEL <= level };
        match self.local_levels.least().and_then(|_| threshold()) {
            Some(Threshold(least)) => least <= level,
            None => match self.target_levels.of(metadata.target()) {
                Some(least) => least <= level,
                None => loggers.of(metadata).allows(level),
            },
        }
    }

    /// The least level anyone may want.
    pub(crate) fn max_level(&self) -> Level {
        let lowest = self.loggers().map(|logger| logger.levels().current).min();
        let local = self.local_levels.least().unwrap_or(Level::None);
        let of_targets = self.target_levels.least().unwrap_or(Level::None);
        lowest.unwrap_or(KEPT_LEVEL).min(local).min(of_targets).min(SPAN_LEVEL)
    }

    pub(crate) fn log(&self, record: Record) {
        if let Some(loggers) = self.loggers.get() {
            return self.log_to(loggers, record, Logger::log);
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // The loggers may have come while this thread waited for the lock; they have what was kept by now.
        if let Some(loggers) = self.loggers.get() {
            drop(kept);
            return self.log_to(loggers, record, Logger::log);
        }
        let size = record.size_bytes();
        if kept.records.len() < KEPT_RECORDS_MAX && kept.bytes + size <= KEPT_BYTES_MAX {
            kept.bytes += size;
            kept.records.push(record);
        } else {
            kept.dropped[record.level() as usize] += 1;
        }
    }

    fn install(&self, loggers: Loggers) -> Result<(), LoggingError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if self.loggers.get().is_some() {
            return Err(LoggingError::AlreadyConfigured);
        }
        let Kept { records, dropped, .. } = std::mem::take(&mut *kept);
        for record in records {
            if loggers.of(record.metadata).allows(record.level()) {
                self.log_to(&loggers, record, Logger::log_kept);
            }
        }
        for (level, n) in Level::OF_RECORDS.into_iter().zip(dropped) {
            loggers.default.count_dropped(level, n);
        }
        // Set while the lock is held: a record made meanwhile waits for it, so none overtakes the kept ones.
        self.loggers.set(loggers).map_err(|_| LoggingError::AlreadyConfigured)
    }

    fn log_to(&self, loggers: &Loggers, record: Record, log: impl Fn(&Logger, &Record)) {
        log(loggers.of(record.metadata), &record);
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(record));
    }

    fn loggers(&self) -> impl Iterator<Item = &Arc<Logger>> {
        self.loggers.get().into_iter().flat_map(|loggers| loggers.by_name.values())
    }
}

impl Loggers {
    fn of(&self, metadata: &Metadata<'_>) -> &Logger {
        self.by_name.get(metadata.target()).unwrap_or(&self.default)
    }
}

/// Wants nothing, and says so: without a hint of its own the highest level of the process would be `TRACE`, and
/// every disabled call site would ask [`Shared::enabled`].
struct Silent;

impl Subscriber for Silent {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::never()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::OFF)
    }

    fn enabled(&self, _: &Metadata<'_>) -> bool {
        false
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        // Never called, because nothing is enabled; any number will do.
        span::Id::from_u64(u64::MAX)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
