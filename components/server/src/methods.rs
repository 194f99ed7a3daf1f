//! Which methods a handler answers: a list, or text with commas as in userver.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error};

/// The methods that HTTP itself defines; other words are no methods here, so that they can be metric labels.
pub(crate) const KNOWN: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::PATCH,
    Method::OPTIONS,
    Method::TRACE,
    Method::CONNECT,
];

/// At least one method, each once, in the order given. Where `GET` is, `HEAD` is answered too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Methods(Vec<Method>);

impl Methods {
    /// Each method.
    pub fn iter(&self) -> impl Iterator<Item = &Method> {
        self.0.iter()
    }

    fn of<'a>(words: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut methods = Vec::new();
        for word in words.map(str::trim) {
            let known = KNOWN.iter().find(|method| method.as_str().eq_ignore_ascii_case(word));
            let Some(method) = known else {
                let known: Vec<_> = KNOWN.iter().map(|method| format!("`{method}`")).collect();
                return Err(format!("unknown method `{word}`; known: {}", known.join(", ")));
            };
            if methods.contains(method) {
                return Err(format!("method `{method}` is named twice"));
            }
            methods.push(method.clone());
        }
        if methods.is_empty() { Err("expected at least one method".to_owned()) } else { Ok(Self(methods)) }
    }
}

impl FromStr for Methods {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::of(text.split(','))
    }
}

impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.0.iter().map(Method::as_str).collect();
        f.write_str(&words.join(","))
    }
}

impl<'de> Deserialize<'de> for Methods {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            List(Vec<String>),
        }
        match Written::deserialize(deserializer)? {
            Written::Text(text) => text.parse(),
            Written::List(words) => Self::of(words.iter().map(String::as_str)),
        }
        .map_err(D::Error::custom)
    }
}

impl JsonSchema for Methods {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Methods".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]})
    }
}
