//! Why a secret could not be had. Names files, variables and keys, never a value.

use std::error::Error;
use std::io;

/// Why secrets could not be read, or one of them not be given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecdistError {
    /// The file is not there or cannot be read, or the environment variable is not UTF-8 text.
    #[error("cannot read secrets from {holder}")]
    Unreadable {
        /// The file or the environment variable.
        holder: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The text is not of the format it should have.
    #[error("secrets in {holder} cannot be parsed")]
    Unparsable {
        /// The file or the environment variable.
        holder: String,
        /// What is wrong and where; it quotes no values.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The text holds something else than a map.
    #[error("secrets in {holder} must be a map from names to secrets")]
    NotAMap {
        /// The file or the environment variable.
        holder: String,
    },
    /// There is no such secret.
    #[error("no secret `{key}` in {holder}")]
    Missing {
        /// The dotted path of the first key that is not there.
        key: String,
        /// The file, the environment variable, or both.
        holder: String,
    },
    /// There is one, but not in the form asked for.
    #[error("secret `{key}` in {holder} cannot be read as `{expected}`; its value is not shown")]
    WrongType {
        /// The dotted path of the value that does not fit.
        key: String,
        /// The file, the environment variable, or both.
        holder: String,
        /// The Rust type asked for.
        expected: &'static str,
    },
    /// Reading was cut short because the service stops.
    #[error("reading secrets was interrupted")]
    Interrupted(#[source] mainspring_engine::TaskError),
}
