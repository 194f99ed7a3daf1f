//! What a component says of itself while it runs.

/// The state of one component, as probes and the ping handler see it.
///
/// The service answers "not ready" while any component is [`Health::Fatal`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Health {
    /// It does its work.
    #[default]
    Ok,
    /// It works with less than it should: stale data, a spare path, a purposeful pause.
    Fallback {
        /// Why, for the person on call.
        reason: String,
    },
    /// It cannot do its work.
    Fatal {
        /// Why, for the person on call.
        reason: String,
    },
}

impl Health {
    /// [`Health::Fallback`] because of `reason`.
    pub fn fallback(reason: impl Into<String>) -> Self {
        Self::Fallback { reason: reason.into() }
    }

    /// [`Health::Fatal`] because of `reason`.
    pub fn fatal(reason: impl Into<String>) -> Self {
        Self::Fatal { reason: reason.into() }
    }

    /// Whether the component cannot do its work.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Fatal { .. })
    }

    /// `ok`, `fallback` or `fatal`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Fallback { .. } => "fallback",
            Self::Fatal { .. } => "fatal",
        }
    }

    /// The reason, where there is one.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Ok => None,
            Self::Fallback { reason } | Self::Fatal { reason } => Some(reason),
        }
    }
}
