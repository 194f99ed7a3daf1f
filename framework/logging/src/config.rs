//! The static configuration of the component `logging`, with userver's keys.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::level::Level;
use crate::logging::DEFAULT_LOGGER;

/// All loggers of a service.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct LoggersConfig {
    /// Task processor whose threads for blocking calls open the files; default: the default task processor. Records
    /// are written by a thread of each logger's own.
    #[serde(default, rename = "fs-task-processor")]
    #[schemars(example = &"fs-task-processor")]
    pub fs_task_processor: Option<String>,
    /// Loggers by name. `default` is required. Another gets the records whose tracing target is its name, such as
    /// `audit` those of `tracing::info!(target: "audit", ...)`; `default` gets all the rest.
    #[serde(deserialize_with = "with_default_logger")]
    pub loggers: BTreeMap<String, LoggerConfig>,
}

/// One logger.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct LoggerConfig {
    /// Where records go: the path of a file, `@stdout`, `@stderr` or `@null`. Missing directories are created.
    #[schemars(with = "String")]
    #[schemars(example = &"/var/log/orders.log")]
    pub file_path: FilePath,
    /// Least level that is written; default `info`. It can be changed while the service runs.
    #[serde(default = "LoggerConfig::default_level")]
    pub level: Level,
    /// Form of a record; default `tskv`.
    #[serde(default = "LoggerConfig::default_format")]
    pub format: Format,
    /// Records of this level and above are written at once, others with what else is queued; default `warning`.
    #[serde(default = "LoggerConfig::default_flush_level")]
    pub flush_level: Level,
    /// Most records waiting to be written; default 65536. They never take more than 64 MiB.
    #[serde(default = "LoggerConfig::default_message_queue_size")]
    pub message_queue_size: NonZeroU32,
    /// What happens to a record when the queue is full; default `discard`.
    #[serde(default = "LoggerConfig::default_overflow_behavior")]
    pub overflow_behavior: OverflowBehavior,
    /// Accepted for compatibility; see the key of the same name beside `loggers`.
    #[serde(default, rename = "fs-task-processor")]
    #[schemars(example = &"fs-task-processor")]
    pub fs_task_processor: Option<String>,
}

/// Where a logger writes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum FilePath {
    /// A file, opened for appending.
    File(PathBuf),
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Nowhere; records are counted all the same.
    Null,
}

/// Form of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Format {
    /// Tab separated `key=value`, as userver writes it but with the time in UTC.
    Tskv,
    /// One JSON object per line.
    Json,
    /// One readable line, for terminals.
    Pretty,
}

/// What happens to a record when the queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OverflowBehavior {
    /// It is dropped and counted.
    Discard,
    /// The code that logs waits, and with it whatever else its thread would do. Meant for audit loggers;
    /// userver refuses it for `default`, we do not.
    Block,
}

impl LoggerConfig {
    /// A logger that writes to `file_path`, everything else at its default.
    #[must_use]
    pub const fn new(file_path: FilePath) -> LoggerConfig {
        LoggerConfig {
            file_path,
            level: LoggerConfig::default_level(),
            format: LoggerConfig::default_format(),
            flush_level: LoggerConfig::default_flush_level(),
            message_queue_size: LoggerConfig::default_message_queue_size(),
            overflow_behavior: LoggerConfig::default_overflow_behavior(),
            fs_task_processor: None,
        }
    }

    const fn default_level() -> Level {
        Level::Info
    }

    const fn default_format() -> Format {
        Format::Tskv
    }

    const fn default_flush_level() -> Level {
        Level::Warning
    }

    const fn default_message_queue_size() -> NonZeroU32 {
        NonZeroU32::new(65536).expect("not zero")
    }

    const fn default_overflow_behavior() -> OverflowBehavior {
        OverflowBehavior::Discard
    }
}

impl LoggersConfig {
    /// The logger `default` alone.
    #[must_use]
    pub fn of_default(default: LoggerConfig) -> LoggersConfig {
        LoggersConfig {
            fs_task_processor: None,
            loggers: BTreeMap::from([(DEFAULT_LOGGER.to_owned(), default)]),
        }
    }
}

impl TryFrom<String> for FilePath {
    type Error = String;

    fn try_from(text: String) -> Result<FilePath, String> {
        match text.as_str() {
            "@stdout" => Ok(FilePath::Stdout),
            "@stderr" => Ok(FilePath::Stderr),
            "@null" => Ok(FilePath::Null),
            other if other.is_empty() || other.starts_with('@') || other.starts_with("unix:") => {
                Err(format!("expected a path, `@stdout`, `@stderr` or `@null`, found `{other}`"))
            }
            path => Ok(FilePath::File(PathBuf::from(path))),
        }
    }
}

fn with_default_logger<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, LoggerConfig>, D::Error> {
    let loggers = BTreeMap::deserialize(deserializer)?;
    if loggers.contains_key(DEFAULT_LOGGER) {
        Ok(loggers)
    } else {
        Err(D::Error::custom(crate::error::LoggingError::DefaultMissing))
    }
}
