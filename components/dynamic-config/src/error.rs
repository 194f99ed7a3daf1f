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
    /// The file that `configs-stage-filepath` names is not what it should be.
    #[error("expected a JSON object with `env_name`, the name of the stage, in `{path}`")]
    NoStage {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: serde_json::Error,
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

/// Why a configuration service gave no values.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// No connection could be made.
    #[error("cannot connect to {address}")]
    Connect {
        /// Host and port.
        address: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The connection broke, or what came over it is no HTTP.
    #[error("the exchange with {address} broke off")]
    Exchange {
        /// Host and port.
        address: String,
        /// What broke it off.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The service did not answer in time.
    #[error("no answer from {address} within {limit:?}")]
    Timeout {
        /// Host and port.
        address: String,
        /// The limit.
        limit: std::time::Duration,
    },
    /// The service answered with another status than 200.
    #[error("{address} answered with status {status}")]
    Status {
        /// Host and port.
        address: String,
        /// The status.
        status: u16,
    },
    /// The answer is larger than anything that could be meant.
    #[error("the answer of {address} is larger than {limit} bytes")]
    TooLarge {
        /// Host and port.
        address: String,
        /// The limit.
        limit: usize,
    },
    /// The answer is not what the protocol says.
    #[error("the answer of {address} is not understood")]
    Malformed {
        /// Host and port.
        address: String,
        /// Where and why.
        source: serde_json::Error,
    },
}

impl FetchError {
    /// Whether another attempt may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Exchange { .. } | Self::Timeout { .. } => true,
            Self::Status { status, .. } => *status == 429 || 500 <= *status,
            Self::TooLarge { .. } | Self::Malformed { .. } => false,
        }
    }
}
