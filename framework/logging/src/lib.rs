//! Loggers over tracing-subscriber: formats, sinks, levels, reopening, recent records.
//!
//! Code logs with `tracing`'s macros. A service owns one [`Logging`] and makes its [`Logging::dispatch`] the
//! default of each of its threads, so several services in one process do not mix. A [`Logging`] starts by
//! keeping records in memory; [`Logging::configure`] opens the loggers and writes what was kept, so nothing of
//! the start-up is lost and it appears in the configured format.
//!
//! A record goes to the logger whose name is the record's tracing target, otherwise to the logger `default`.
//! It is formatted where it is made and written by the logger's own thread; the queue between is bounded.
//! Fields of the spans around a record are part of the record. Spans of level `info` and above count whatever
//! the level of the logger is, so that `component` is on every line. A [`LocalLevel`] replaces the level of the
//! logger for a part of the work, such as one request.
//!
//! A sink that fails is counted and never waited for: what it did not take whole counts as dropped, and the next
//! line begins on a line of its own.
//!
//! Left to others: metrics (see [`Logging::stats`]), signals, HTTP handlers.
//!
//! # Examples
//!
//! ```
//! use mainspring_logging::{Colors, Logging, LoggersConfig, RecentFilter};
//!
//! let logging = Logging::new();
//! let config: LoggersConfig = serde_json::from_str(r#"{"loggers": {"default": {"file_path": "@null"}}}"#)?;
//! logging.configure(&config, Colors::Never)?;
//! tracing::dispatcher::with_default(&logging.dispatch(), || tracing::info!(orders = 3, "Loaded"));
//! assert_eq!(logging.recent(&RecentFilter::default())[0].text(), "Loaded");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod chain;
mod config;
mod counts;
mod error;
mod format;
mod layer;
mod level;
mod local_level;
mod logger;
mod logging;
mod queue;
mod recent;
mod record;
mod sink;
mod target_levels;

pub use crate::chain::Chain;
pub use crate::config::{FilePath, Format, LoggerConfig, LoggersConfig, OverflowBehavior};
pub use crate::error::LoggingError;
pub use crate::format::Colors;
pub use crate::level::{Level, UnknownLevel};
pub use crate::local_level::LocalLevel;
pub use crate::logger::{LoggerLevels, LoggerStats};
pub use crate::logging::{DEFAULT_LOGGER, Logging};
pub use crate::recent::{RecentFilter, RecentRecord};

#[cfg(test)]
mod tests;
