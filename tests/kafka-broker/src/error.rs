//! What can go wrong around a test broker, with the broker's last words where it has any.

use std::error::Error as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use rdkafka::error::KafkaError;

/// The line that installs Java and Maven where `apt-get` exists.
const INSTALL: &str = "apt-get install --no-install-recommends openjdk-17-jre-headless maven";

/// Why a broker could not be prepared, started or asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// Java or Maven is not on `PATH`.
    #[error("the Kafka tests need `{tool}`, which is not installed; install it with `{INSTALL}`")]
    ToolMissing {
        /// The program that was looked for.
        tool: &'static str,
    },
    /// A preparation step ended with an error.
    #[error("cannot prepare Kafka: {step} failed ({status}):\n{output}")]
    Setup {
        /// Which step.
        step: &'static str,
        /// How the program ended.
        status: ExitStatus,
        /// The end of what it printed.
        output: String,
    },
    /// A file or process operation failed.
    #[error("cannot {doing} `{path}`")]
    Io {
        /// What was attempted, as a verb phrase.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The broker process ended by itself.
    #[error("`{node}` ended by itself; the end of its log:\n{log}")]
    Exited {
        /// Which node.
        node: String,
        /// The last lines of its log.
        log: String,
    },
    /// Something did not happen in time.
    #[error("waited {waited:?} for {what}; last seen: {seen}")]
    Deadline {
        /// What was waited for.
        what: String,
        /// For how long.
        waited: Duration,
        /// What was there instead, with the end of the log where one helps.
        seen: String,
    },
    /// The broker, or librdkafka on its behalf, refused a request.
    #[error("cannot {doing}")]
    Client {
        /// What was attempted, as a verb phrase.
        doing: String,
        /// librdkafka's reason.
        source: KafkaError,
    },
}

impl BrokerError {
    /// The error and its causes in one text.
    pub fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }

    /// For `map_err`: an I/O error with what was attempted and on what.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }

    /// For `map_err`: a refusal by the broker.
    pub(crate) fn client(doing: impl Into<String>) -> impl FnOnce(KafkaError) -> Self {
        let doing = doing.into();
        move |source| Self::Client { doing, source }
    }
}
