//! Levels under userver's names, and how `tracing`'s five map to them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use tracing::level_filters::LevelFilter;

/// How much a record matters; for a logger, the least that it lets through.
///
/// `tracing` knows no `critical`: no record has it, and a logger set to it is silent like one set to `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[repr(u8)]
pub enum Level {
    /// Per record.
    Trace,
    /// Per batch.
    Debug,
    /// Life cycle; silent in steady state.
    Info,
    /// Survived, worth a look.
    Warning,
    /// A human must act.
    Error,
    /// userver's level for what ends a process.
    Critical,
    /// Lets nothing through.
    None,
}

/// The text is not the name of a level.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "unknown level `{found}`; expected `trace`, `debug`, `info`, `warning`, `error`, `critical` or `none`"
)]
pub struct UnknownLevel {
    found: String,
}

impl Level {
    /// All levels, from the lowest.
    pub const ALL: [Level; 7] =
        [Level::Trace, Level::Debug, Level::Info, Level::Warning, Level::Error, Level::Critical, Level::None];

    /// The levels that a record can have.
    pub(crate) const OF_RECORDS: [Level; 5] =
        [Level::Trace, Level::Debug, Level::Info, Level::Warning, Level::Error];

    /// The name in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warning => "warning",
            Level::Error => "error",
            Level::Critical => "critical",
            Level::None => "none",
        }
    }

    /// The name as records show it.
    pub(crate) const fn upper(self) -> &'static str {
        match self {
            Level::Trace => "TRACE",
            Level::Debug => "DEBUG",
            Level::Info => "INFO",
            Level::Warning => "WARNING",
            Level::Error => "ERROR",
            Level::Critical => "CRITICAL",
            Level::None => "NONE",
        }
    }

    pub(crate) const fn of(level: tracing::Level) -> Level {
        match level {
            tracing::Level::TRACE => Level::Trace,
            tracing::Level::DEBUG => Level::Debug,
            tracing::Level::INFO => Level::Info,
            tracing::Level::WARN => Level::Warning,
            tracing::Level::ERROR => Level::Error,
        }
    }

    pub(crate) const fn filter(self) -> LevelFilter {
        match self {
            Level::Trace => LevelFilter::TRACE,
            Level::Debug => LevelFilter::DEBUG,
            Level::Info => LevelFilter::INFO,
            Level::Warning => LevelFilter::WARN,
            Level::Error => LevelFilter::ERROR,
            Level::Critical | Level::None => LevelFilter::OFF,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Level {
    type Err = UnknownLevel;

    /// Case does not matter; `warn` means `warning`.
    fn from_str(text: &str) -> Result<Level, UnknownLevel> {
        let lower = text.to_ascii_lowercase();
        let name = if lower == "warn" { Level::Warning.as_str() } else { lower.as_str() };
        let level = Level::ALL.into_iter().find(|level| level.as_str() == name);
        level.ok_or_else(|| UnknownLevel { found: text.to_owned() })
    }
}

impl TryFrom<String> for Level {
    type Error = UnknownLevel;

    fn try_from(text: String) -> Result<Level, UnknownLevel> {
        text.parse()
    }
}

impl From<Level> for String {
    fn from(level: Level) -> String {
        level.as_str().to_owned()
    }
}

impl JsonSchema for Level {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Level".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "enum": Level::ALL.map(Level::as_str)})
    }
}
