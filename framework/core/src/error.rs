//! Why a component, or the service, did not start.

use std::error::Error;
use std::fmt;

use mainspring_engine::EngineError;
use mainspring_logging::Chain;

use crate::component::quoted_list;

/// Why a component could not load.
///
/// Any error converts into it with `?`. Like other catch-all errors it is not an [`Error`] itself, or that
/// conversion would not be possible.
#[derive(Debug)]
pub struct LoadError {
    kind: LoadErrorKind,
}

/// The kinds of [`LoadError`] that callers may want to tell apart.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadErrorKind {
    /// It asked for a component that the service does not have.
    NotRegistered {
        /// The name asked for.
        name: String,
        /// Whether the name is known but its section says `load-enabled: false`.
        disabled: bool,
        /// What there is.
        registered: Vec<String>,
    },
    /// It asked for a component as something that it is not.
    WrongType {
        /// The name asked for.
        name: String,
        /// The type asked for.
        expected: &'static str,
        /// The type it has.
        actual: &'static str,
        /// The components that are of the type asked for.
        of_expected_type: Vec<String>,
    },
    /// It asked for a component that, in the end, asks for itself.
    Cycle {
        /// The names along the cycle; the first is also the last.
        chain: Vec<String>,
    },
    /// It named a task processor that is not declared.
    UnknownTaskProcessor {
        /// The name asked for.
        name: String,
        /// What there is.
        declared: Vec<String>,
    },
    /// It asked after its `load` had returned, when the graph of components is closed.
    NotLoading {
        /// The name asked for.
        name: String,
    },
    /// Another component failed first, or the service was told to stop.
    Cancelled,
    /// Its own code failed.
    Failed(Box<dyn Error + Send + Sync>),
}

impl LoadError {
    /// An error with a text and no cause.
    pub fn message(text: impl Into<String>) -> Self {
        Self { kind: LoadErrorKind::Failed(text.into().into()) }
    }

    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> &LoadErrorKind {
        &self.kind
    }

    pub(crate) fn new(kind: LoadErrorKind) -> Self {
        Self { kind }
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for LoadError {
    fn from(error: E) -> Self {
        Self { kind: LoadErrorKind::Failed(Box::new(error)) }
    }
}

impl fmt::Display for LoadError {
    /// The whole chain of causes, joined by `: `.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            LoadErrorKind::NotRegistered { name, disabled: true, .. } => {
                write!(f, "needs `{name}`, which is switched off by `load-enabled: false`")
            }
            LoadErrorKind::NotRegistered { name, registered, .. } => {
                write!(f, "needs `{name}`, which is not registered; registered: {}", quoted_list(registered))
            }
            LoadErrorKind::WrongType { name, expected, actual, of_expected_type } => {
                let of_expected_type = quoted_list(of_expected_type);
                write!(
                    f,
                    "needs `{name}` as a `{expected}`, but it is a `{actual}`; of the type needed: {of_expected_type}"
                )
            }
            LoadErrorKind::Cycle { chain } => write!(f, "dependency cycle {}", arrows(chain)),
            LoadErrorKind::UnknownTaskProcessor { name, declared } => {
                write!(f, "unknown task processor `{name}`; declared: {}", quoted_list(declared))
            }
            LoadErrorKind::NotLoading { name } => {
                write!(f, "asked for `{name}` after loading; components are found in `load`")
            }
            LoadErrorKind::Cancelled => f.write_str("loading was cancelled"),
            LoadErrorKind::Failed(error) => write!(f, "{}", Chain(error.as_ref())),
        }
    }
}

/// Why a service ended without having been asked to, and what had not finished when it did.
#[derive(Debug)]
pub struct ServiceError {
    kind: ServiceErrorKind,
    unfinished: Vec<String>,
}

impl ServiceError {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> &ServiceErrorKind {
        &self.kind
    }

    /// What had not finished when the deadline of the clean-up came, one sentence each.
    #[must_use]
    pub fn unfinished(&self) -> &[String] {
        &self.unfinished
    }

    pub(crate) fn with_unfinished(mut self, more: impl IntoIterator<Item = String>) -> Self {
        self.unfinished.extend(more);
        self
    }
}

impl From<ServiceErrorKind> for ServiceError {
    fn from(kind: ServiceErrorKind) -> Self {
        Self { kind, unfinished: Vec::new() }
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if !self.unfinished.is_empty() {
            write!(f, "; then, {}", self.unfinished.join("; "))?;
        }
        Ok(())
    }
}

impl Error for ServiceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.kind.source()
    }
}

/// The kinds of [`ServiceError`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceErrorKind {
    /// The task processors could not be started.
    #[error("cannot start")]
    Engine(#[from] EngineError),
    /// The components depend on each other in a circle.
    #[error("cannot start: dependency cycle {}", arrows(chain))]
    Cycle {
        /// The names along the cycle; the first is also the last.
        chain: Vec<String>,
    },
    /// A component failed to load, or failed in `on_all_components_loaded`.
    #[error("cannot start `{component}`: {reason}{}", needed_by(chain))]
    Component {
        /// The component.
        component: String,
        /// What it said, with all its causes.
        reason: String,
        /// Who was waiting for it, outermost first, ending with the component itself.
        chain: Vec<String>,
    },
    /// Components had not finished loading when `load_timeout` ran out.
    #[error("cannot start: {} after {limit:?}", waiting.join("; "))]
    LoadTimeout {
        /// One sentence for each component that had not finished, saying what it waits for.
        waiting: Vec<String>,
        /// The limit.
        limit: std::time::Duration,
    },
}

impl ServiceErrorKind {
    /// The one component to blame.
    pub(crate) fn component(&self) -> Option<&str> {
        match self {
            Self::Component { component, .. } => Some(component),
            Self::Engine(_) | Self::Cycle { .. } | Self::LoadTimeout { .. } => None,
        }
    }
}

/// `` `a` -> `b` ``.
pub(crate) fn arrows(chain: &[String]) -> String {
    chain.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" -> ")
}

fn needed_by(chain: &[String]) -> String {
    if chain.len() < 2 { String::new() } else { format!("; needed by {}", arrows(chain)) }
}
