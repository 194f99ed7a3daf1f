//! Requests to a service.

use std::time::Duration;

use ureq::http::{HeaderMap, Response, StatusCode};
use ureq::{Agent, Body};

/// Longer than any service needs to answer, be it with the news that its broker did not.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// What a service answered, whatever the status.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as text.
    pub body: String,
}

impl Answer {
    pub(crate) fn read(response: Result<Response<Body>, ureq::Error>) -> Result<Self, ureq::Error> {
        let (parts, mut body) = response?.into_parts();
        Ok(Self { status: parts.status, headers: parts.headers, body: body.read_to_string()? })
    }

    /// Status and body, to compare both at once.
    #[must_use]
    pub fn brief(&self) -> (u16, &str) {
        (self.status.as_u16(), &self.body)
    }

    /// A header as text; empty without it.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A client that takes every status for an answer and asks no proxy.
pub(crate) fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(ANSWER_LIMIT))
        .proxy(None)
        .build()
        .into()
}
