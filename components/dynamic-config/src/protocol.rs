//! What is said to a configuration service, `POST /configs/values`, and what it answers.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Update;

/// The body of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Question<'a> {
    /// The variables asked for; all when it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ids: Option<&'a [&'static str]>,
    /// What an earlier answer called `updated_at`: only what changed after it is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) updated_since: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stage_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) service: Option<&'a str>,
}

/// The body of an answer. Keys that are not known are passed over: services add some of their own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Reply {
    pub(crate) configs: Map<String, Value>,
    pub(crate) updated_at: String,
    #[serde(default)]
    pub(crate) removed: Vec<String>,
}

impl Reply {
    /// What it means when it answers a question about everything, or about what changed.
    pub(crate) fn into_update(self, was_full: bool) -> Update {
        if was_full {
            Update::Full(self.configs)
        } else {
            Update::Incremental { changed: self.configs, removed: self.removed }
        }
    }
}
