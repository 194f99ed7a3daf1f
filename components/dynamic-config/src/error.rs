//! Why values could not be had or were not taken.

use std::io;

use mainspring_config::Problems;

/// Why the values of the dynamic configuration stayed as they were.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DynamicConfigError {
    /// A file is not there or cannot be read.
    #[error("cannot read `{path}`")]
    Unreadable {
        /// The file.
        path: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// Values are not what their variables allow.
    #[error("refused: {}", one_line(.0))]
    Invalid(Problems),
    /// `updates-enabled` is `false`.
    #[error("refused: `updates-enabled` of `dynamic-config` is `false`")]
    UpdatesDisabled,
    /// Reading was cut short because the service stops.
    #[error("interrupted")]
    Interrupted(#[source] mainspring_engine::TaskError),
}

impl From<Problems> for DynamicConfigError {
    fn from(problems: Problems) -> Self {
        Self::Invalid(problems)
    }
}

fn one_line(problems: &Problems) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
