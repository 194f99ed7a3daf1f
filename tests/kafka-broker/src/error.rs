//! What can go wrong around a test broker, with the broker's last words where it has any.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use rdkafka::error::KafkaError;

use crate::settings::JAVA_VERSION_MIN;

/// The line that installs Java, Maven and OpenSSL where `apt-get` exists. A release that no longer has Java 17 has a newer one as
/// its default; one that has it may have an older default.
const INSTALL: &str = "apt-get update && apt-get install -y --no-install-recommends maven openssl \
     $(apt-cache show openjdk-17-jre-headless >/dev/null 2>&1 && \
     echo openjdk-17-jre-headless || echo default-jre-headless)";

/// Why a broker could not be prepared, started or asked.
///
/// Its `Debug` is the text for people, causes included: that is what `expect` and a failed test print.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// Java, Maven or OpenSSL is not on `PATH`.
    #[error("the Kafka tests need `{tool}`, which is not installed; as root, run `{INSTALL}`")]
    ToolMissing {
        /// The program that was looked for.
        tool: &'static str,
    },
    /// The Java on `PATH` cannot run Kafka.
    #[error(
        "the Kafka tests need Java {JAVA_VERSION_MIN} or newer, but `{java}` is {found}; as root, run `{INSTALL}`"
    )]
    JavaTooOld {
        /// The program on `PATH`.
        java: PathBuf,
        /// What it says about itself.
        found: String,
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

impl fmt::Debug for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_causes())
    }
}

impl BrokerError {
    /// The error and its causes in one text.
    pub fn with_causes(&self) -> String {
        with_causes(self)
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

/// An error and its causes in one text.
pub(crate) fn with_causes(error: &impl Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
