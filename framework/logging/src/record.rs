//! One record: what an event and the spans around it said, owned and within bounds.

use std::borrow::Cow;
use std::fmt;
use std::time::SystemTime;

use serde::ser::{Serialize, SerializeMap, Serializer};
use tracing::Metadata;
use tracing::field::{Field, Visit};

use crate::chain::Chain;
use crate::level::Level;

/// Longest text of a record and of each text field, in characters.
pub(crate) const TEXT_CHARS_MAX: usize = 10_000;

/// What every format writes itself. A field of that name gets a trailing underscore.
const RESERVED_KEYS: [&str; 5] = ["timestamp", "level", "module", "text", "logger"];

#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) time: SystemTime,
    pub(crate) metadata: &'static Metadata<'static>,
    pub(crate) text: String,
    pub(crate) fields: Fields,
}

/// Fields in order of appearance, each name once: the innermost value wins.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields(Vec<(Cow<'static, str>, FieldValue)>);

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FieldValue {
    Text(String),
    I64(i64),
    U64(u64),
    F64(f64),
    Bool(bool),
}

/// Collects an event's fields; its `message` is the text.
pub(crate) struct EventVisitor<'a> {
    pub(crate) text: &'a mut String,
    pub(crate) fields: &'a mut Fields,
}

/// Collects a span's fields.
pub(crate) struct SpanVisitor<'a>(pub(crate) &'a mut Fields);

impl Record {
    pub(crate) fn level(&self) -> Level {
        Level::of(*self.metadata.level())
    }

    /// `target ( file:line )`.
    pub(crate) fn module(&self) -> String {
        let target = self.metadata.target();
        match (self.metadata.file(), self.metadata.line()) {
            (Some(file), Some(line)) => format!("{target} ( {file}:{line} )"),
            _ => target.to_owned(),
        }
    }

    /// UTC, to the microsecond.
    pub(crate) fn timestamp(&self) -> String {
        match jiff::Timestamp::try_from(self.time) {
            Ok(timestamp) => format!("{timestamp:.6}"),
            // Only a clock thousands of years off leads here.
            Err(_) => "out of range".to_owned(),
        }
    }

    /// About what it takes in memory.
    pub(crate) fn size_bytes(&self) -> usize {
        size_of::<Record>() + self.text.len() + self.fields.size_bytes()
    }
}

impl Fields {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &FieldValue)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&FieldValue> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    pub(crate) fn extend(&mut self, inner: &Fields) {
        for (name, value) in &inner.0 {
            self.set(name.clone(), value.clone());
        }
    }

    fn set(&mut self, name: Cow<'static, str>, value: FieldValue) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name, value)),
        }
    }

    fn size_bytes(&self) -> usize {
        let heap = |value: &FieldValue| if let FieldValue::Text(text) = value { text.len() } else { 0 };
        self.0.iter().map(|entry| size_of_val(entry) + heap(&entry.1)).sum()
    }
}

impl fmt::Display for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FieldValue::Text(value) => f.write_str(value),
            FieldValue::I64(value) => value.fmt(f),
            FieldValue::U64(value) => value.fmt(f),
            FieldValue::F64(value) => value.fmt(f),
            FieldValue::Bool(value) => value.fmt(f),
        }
    }
}

impl Serialize for FieldValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            FieldValue::Text(value) => serializer.serialize_str(value),
            FieldValue::I64(value) => serializer.serialize_i64(*value),
            FieldValue::U64(value) => serializer.serialize_u64(*value),
            FieldValue::F64(value) => serializer.serialize_f64(*value),
            FieldValue::Bool(value) => serializer.serialize_bool(*value),
        }
    }
}

/// The object of the format `json`.
impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("timestamp", &self.timestamp())?;
        map.serialize_entry("level", self.level().upper())?;
        map.serialize_entry("module", &self.module())?;
        for (name, value) in self.fields.iter() {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry("text", &self.text)?;
        map.end()
    }
}

impl EventVisitor<'_> {
    fn set(&mut self, field: &Field, value: FieldValue) {
        if field.name() == "message" {
            *self.text = match value {
                FieldValue::Text(text) => text,
                other => other.to_string(),
            };
        } else {
            self.fields.set(key(field.name()), value);
        }
    }
}

impl SpanVisitor<'_> {
    fn set(&mut self, field: &Field, value: FieldValue) {
        self.0.set(key(field.name()), value);
    }
}

macro_rules! visit_into_set {
    ($visitor:ty) => {
        impl Visit for $visitor {
            fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
                self.set(field, FieldValue::Text(cut(format!("{value:?}"))));
            }
            fn record_str(&mut self, field: &Field, value: &str) {
                self.set(field, FieldValue::Text(cut(value.to_owned())));
            }
            fn record_i64(&mut self, field: &Field, value: i64) {
                self.set(field, FieldValue::I64(value));
            }
            fn record_u64(&mut self, field: &Field, value: u64) {
                self.set(field, FieldValue::U64(value));
            }
            fn record_f64(&mut self, field: &Field, value: f64) {
                self.set(field, FieldValue::F64(value));
            }
            fn record_bool(&mut self, field: &Field, value: bool) {
                self.set(field, FieldValue::Bool(value));
            }
            fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
                self.set(field, FieldValue::Text(cut(Chain(value).to_string())));
            }
        }
    };
}

visit_into_set!(EventVisitor<'_>);
visit_into_set!(SpanVisitor<'_>);

/// One spelling in all formats: lower case, `_` for `.`, and never a key that formats write themselves.
fn key(name: &'static str) -> Cow<'static, str> {
    let name = name.strip_prefix("r#").unwrap_or(name);
    let key = if name.contains(|c: char| c.is_ascii_uppercase() || c == '.') {
        Cow::Owned(name.to_ascii_lowercase().replace('.', "_"))
    } else {
        Cow::Borrowed(name)
    };
    if RESERVED_KEYS.contains(&key.as_ref()) { Cow::Owned(format!("{key}_")) } else { key }
}

/// Bounds a text, and says so when something is missing.
fn cut(mut text: String) -> String {
    if text.len() <= TEXT_CHARS_MAX {
        return text;
    }
    if let Some((end, _)) = text.char_indices().nth(TEXT_CHARS_MAX) {
        let n_chars = text.chars().count();
        text.truncate(end);
        text.push_str(&format!("... (cut, {n_chars} characters)"));
    }
    text
}
