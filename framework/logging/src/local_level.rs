//! A level of its own for a part of the work, as userver's spans have it: whatever is logged inside counts by that
//! level and not by the level of its logger.
//!
//! The level travels in a `tracing` span, so it follows the work across threads and into the tasks that it spawns.
//! `tracing` keeps one highest level for the whole process, which must not be computed anew at each request:
//! hence a [`LocalLevel`] is announced once, for as long as it lives, and makes spans cheaply.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tracing::field::{Field, Visit};
use tracing::span::Attributes;
use tracing::{Metadata, Span};

use crate::level::Level;
use crate::logging::{Shared, levels_changed};

/// The tracing target of the spans that carry a level.
const TARGET: &str = "mainspring_logging::local_level";

/// The least level that is written inside the spans of this, both below and above the levels of the loggers.
///
/// While it lives, call sites down to its level are looked at and not skipped at once: keep one for as long as it
/// may be needed, and none for what is never needed.
///
/// # Examples
///
/// ```
/// use mainspring_logging::{Level, Logging, LoggersConfig, RecentFilter};
/// # use mainspring_logging::Colors;
/// # let logging = Logging::new();
/// # let config: LoggersConfig = serde_json::from_str(r#"{"loggers": {"default": {"file_path": "@null"}}}"#)?;
/// # logging.configure(&config, Colors::Never)?;
///
/// let verbose = logging.local_level(Level::Debug);
/// tracing::dispatcher::with_default(&logging.dispatch(), || {
///     verbose.span().in_scope(|| tracing::debug!("Seen, although the logger is at `info`"));
///     tracing::debug!("Not seen");
/// });
/// assert_eq!(logging.recent(&RecentFilter::default()).len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct LocalLevel {
    shared: Arc<Shared>,
    level: Level,
}

impl LocalLevel {
    pub(crate) fn new(shared: Arc<Shared>, level: Level) -> LocalLevel {
        shared.local_levels.announced[level as usize].fetch_add(1, Relaxed);
        levels_changed();
        LocalLevel { shared, level }
    }

    /// The level.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// A span inside the current one. It adds no field to records.
    #[must_use]
    pub fn span(&self) -> Span {
        tracing::info_span!(target: TARGET, "local_level", level = self.level as u64)
    }
}

impl Drop for LocalLevel {
    /// Spans that are still open count for nothing when this was the last level of the service.
    fn drop(&mut self) {
        self.shared.local_levels.announced[self.level as usize].fetch_sub(1, Relaxed);
        levels_changed();
    }
}

impl fmt::Debug for LocalLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LocalLevel").field(&self.level).finish()
    }
}

/// How many [`LocalLevel`]s of each level there are.
#[derive(Debug, Default)]
pub(crate) struct LocalLevels {
    announced: [AtomicUsize; Level::ALL.len()],
}

impl LocalLevels {
    /// The least level announced; `None` when no span can carry one, and nobody need look.
    pub(crate) fn least(&self) -> Option<Level> {
        Level::ALL.into_iter().find(|level| self.announced[*level as usize].load(Relaxed) != 0)
    }
}

/// What a span and all spans inside it count by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Threshold(pub(crate) Level);

impl Threshold {
    /// The level that a new span carries itself.
    pub(crate) fn carried_by(attributes: &Attributes<'_>) -> Option<Threshold> {
        if !is_carrier(attributes.metadata()) {
            return None;
        }
        let mut found = LevelVisitor(None);
        attributes.record(&mut found);
        found.0.map(Threshold)
    }
}

pub(crate) fn is_carrier(metadata: &Metadata<'_>) -> bool {
    metadata.target() == TARGET
}

struct LevelVisitor(Option<Level>);

impl Visit for LevelVisitor {
    fn record_u64(&mut self, _: &Field, value: u64) {
        self.0 = Level::ALL.into_iter().find(|level| *level as u64 == value);
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}
