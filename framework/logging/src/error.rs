//! What can go wrong with loggers. The text names the logger; the cause is in `source()`.

use std::io;
use std::path::PathBuf;

/// A logger could not be set up, found or reopened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoggingError {
    /// `configure` was called a second time.
    #[error("logging is already configured")]
    AlreadyConfigured,
    /// The configuration has no logger named `default`.
    #[error("logger `default` is missing; it gets every record that no other logger is named after")]
    DefaultMissing,
    /// The file of a logger cannot be opened.
    #[error("logger `{logger}` cannot open `{}`", path.display())]
    Open {
        /// Name of the logger.
        logger: String,
        /// The file, the directory that could not be created, or `@stdout` or `@stderr`.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The writing thread of a logger cannot be started.
    #[error("logger `{logger}` cannot start its thread")]
    Thread {
        /// Name of the logger.
        logger: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The writing thread of a logger is stuck in its old file.
    #[error("logger `{logger}` still writes to its old file")]
    Stuck {
        /// Name of the logger.
        logger: String,
    },
    /// There is no logger of this name.
    #[error("no logger `{logger}`; configured: {}", names(configured))]
    UnknownLogger {
        /// The name asked for.
        logger: String,
        /// The names there are.
        configured: Vec<String>,
    },
}

fn names(names: &[String]) -> String {
    if names.is_empty() {
        return "none yet".to_owned();
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
