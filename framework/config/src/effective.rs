//! What is in force: a configuration with every default filled in, as YAML that says where each value comes from.
//!
//! The result loads again, to the same configuration. It shows no secret: what came from the environment or a file is
//! written as the reference it was, and what stands under a key that looks like a secret's is masked.

use serde_json::Value;

use crate::check::{Checker, Part, list, properties};
use crate::node::{From, Kind, Node, Origin};
use crate::section::Section;

/// Stands for what must not be shown.
const MASK: &str = "*****";

/// Last words of keys whose values are secrets.
const SECRET_ENDINGS: [&str; 14] = [
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "secret",
    "secrets",
    "token",
    "credential",
    "credentials",
    "api_key",
    "access_key",
    "private_key",
    "secret_key",
    "encryption_key",
];

/// The value of a section that `schema` has nothing against, as YAML with everything that may be left out.
///
/// Each value has a comment with its origin: `file:line:column`, a variable, an environment variable, a file, or
/// `default`. What the schema knows no default for and need not be there is `null`, `not set`.
///
/// A list item from the environment has no reference that could stand there and is masked; a string that begins with
/// `$`, which only variables can hold, would be read again as a variable.
#[must_use]
pub fn effective_yaml(root: &Section, schema: &Value) -> String {
    let writer = Writer { checker: Checker::new(schema) };
    let mut lines = writer.shown(root, &[schema], false).lines();
    lines.push(String::new());
    lines.join("\n")
}

/// A value as it is to be written.
enum Shown {
    /// On one line, with its comment.
    Scalar {
        text: String,
        comment: String,
    },
    /// Each with its key, which may differ from the one in force: `port#env`.
    Map(Vec<(String, Shown)>),
    List(Vec<Shown>),
}

impl Shown {
    fn scalar(text: impl Into<String>, comment: impl Into<String>) -> Self {
        Self::Scalar { text: text.into(), comment: comment.into().replace(['\n', '\r'], " ") }
    }

    fn lines(&self) -> Vec<String> {
        match self {
            Self::Scalar { text, comment } => vec![format!("{text} # {comment}")],
            Self::Map(entries) => {
                entries.iter().flat_map(|(key, value)| value.lines_after_key(key)).collect()
            }
            Self::List(items) => items
                .iter()
                .flat_map(|item| {
                    let marks = std::iter::once("- ").chain(std::iter::repeat("  "));
                    marks.zip(item.lines()).map(|(mark, line)| format!("{mark}{line}"))
                })
                .collect(),
        }
    }

    fn lines_after_key(&self, key: &str) -> Vec<String> {
        let key = string(key);
        match self {
            Self::Scalar { .. } => self.lines().into_iter().map(|line| format!("{key}: {line}")).collect(),
            Self::Map(_) | Self::List(_) => {
                let below = self.lines().into_iter().map(|line| format!("    {line}"));
                std::iter::once(format!("{key}:")).chain(below).collect()
            }
        }
    }
}

struct Writer<'a> {
    checker: Checker<'a>,
}

impl<'a> Writer<'a> {
    fn shown(&self, section: &Section, schemas: &[&'a Value], secret: bool) -> Shown {
        let section = &self.present(section, schemas);
        let parts: Vec<_> =
            schemas.iter().flat_map(|schema| self.checker.applicable(schema, section)).collect();
        let secret = secret || section.origin.as_deref().is_some_and(names_secret);
        match &section.node.kind {
            Kind::Map(entries) if entries.is_empty() && !parts.iter().any(|part| declares_keys(part)) => {
                Shown::scalar("{}", comment(section))
            }
            Kind::Map(_) => self.map(section, &parts, secret),
            Kind::List(items) if items.is_empty() => Shown::scalar("[]", comment(section)),
            Kind::List(_) => Shown::List(self.items(section, &parts, secret)),
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::String(_) => scalar(section, secret),
        }
    }

    /// The section; an empty map in the place of nothing where a map is wanted, as it will be read.
    fn present(&self, section: &Section, schemas: &[&'a Value]) -> Section {
        let empty = Kind::Map(Vec::new());
        let is_absent_map = section.is_null()
            && !schemas.is_empty()
            && schemas.iter().all(|schema| {
                !self.checker.accepts(schema, &Kind::Null) && self.checker.accepts(schema, &empty)
            });
        if !is_absent_map {
            return section.clone();
        }
        let mut node = Node::new(empty, section.node.place.clone());
        node.origin.clone_from(&section.node.origin);
        section.with_node(node.into())
    }

    fn items(&self, section: &Section, parts: &[Part<'a>], secret: bool) -> Vec<Shown> {
        let schema_of = |idx, part| list(part, "prefixItems").get(idx).or_else(|| part.get("items"));
        let items = section.items().into_iter().enumerate();
        items
            .map(|(idx, item)| {
                let schemas: Vec<_> = parts.iter().filter_map(|part| schema_of(idx, *part)).collect();
                if item.is_secret() { masked(&item) } else { self.shown(&item, &schemas, secret) }
            })
            .collect()
    }

    fn map(&self, section: &Section, parts: &[Part<'a>], secret: bool) -> Shown {
        let mut shown = Vec::new();
        for (key, value) in section.entries() {
            let schemas: Vec<_> = parts.iter().filter_map(|part| schema_of_key(part, &key)).collect();
            shown.push(match reference(&key, &value) {
                Some(reference) => reference,
                None => (key.clone(), self.shown(&value, &schemas, secret || is_secret_key(&key))),
            });
        }
        for (key, schema) in parts.iter().flat_map(|part| properties(part)) {
            let is_shown = |(shown, _): &(String, Shown)| shown.split('#').next() == Some(key);
            if section.get(key).is_none() && !shown.iter().any(is_shown) {
                shown.extend(self.default(key, schema).map(|value| (key.to_owned(), value)));
            }
        }
        if shown.is_empty() { Shown::scalar("{}", comment(section)) } else { Shown::Map(shown) }
    }

    /// What is in force for a key that is not there; `None` when nothing is known of it.
    fn default(&self, key: &str, schema: &'a Value) -> Option<Shown> {
        let nothing = Section::empty(key);
        let parts = self.checker.applicable(schema, &nothing);
        let value = match parts.iter().find_map(|part| part.get("default")) {
            Some(value) => nothing.with_node(Node::from_json(value).into()),
            None if self.checker.accepts(schema, &Kind::Null) => nothing,
            None => return None,
        };
        Some(self.shown(&value, &[schema], false))
    }
}

fn declares_keys(part: Part<'_>) -> bool {
    properties(part).next().is_some()
}

fn schema_of_key<'a>(part: Part<'a>, key: &str) -> Option<&'a Value> {
    let patterns = part.get("patternProperties").and_then(Value::as_object);
    part.get("properties")
        .and_then(|keys| keys.get(key))
        .or_else(|| patterns.and_then(|patterns| patterns.values().next()))
        .or_else(|| part.get("additionalProperties"))
}

/// The reference in the place of what came from the environment or a file.
fn reference(key: &str, value: &Section) -> Option<(String, Shown)> {
    let origin = value.node.origin.as_ref()?;
    let place = value.node.place.as_ref()?;
    let (suffix, name, what) = match &origin.from {
        From::Vars => return None,
        From::Env(name) => ("env", name.as_str(), "an environment variable, not shown"),
        From::File => ("file", &*place.file, "a file, not shown"),
    };
    let through = origin.variable.as_ref().map_or_else(String::new, |name| format!("`${name}`, "));
    let used_at = origin.used_at.as_ref().map_or_else(String::new, |place| format!("{place}: "));
    Some((format!("{key}#{suffix}"), Shown::scalar(string(name), format!("{used_at}{through}{what}"))))
}

fn scalar(section: &Section, secret: bool) -> Shown {
    let is_given = section.node.place.is_some();
    match &section.node.kind {
        // Nobody's secret; and a key that may be left empty often is.
        Kind::String(text) if text.is_empty() && !section.is_secret() => {
            Shown::scalar(quoted(text), comment(section))
        }
        Kind::Number(_) | Kind::String(_) if section.is_secret() || (secret && is_given) => masked(section),
        Kind::String(text) => Shown::scalar(string(text), comment(section)),
        other => Shown::scalar(other.scalar_text().unwrap_or_else(|| "null".to_owned()), comment(section)),
    }
}

fn masked(section: &Section) -> Shown {
    Shown::scalar(quoted(MASK), format!("{}, masked", comment(section)))
}

/// Where a value comes from.
fn comment(section: &Section) -> String {
    let node = &section.node;
    let fallback = if node.is_fallback { "fallback, " } else { "" };
    match (&section.origin, &node.place) {
        (Some(origin), place) => {
            let used_at = origin.used_at.as_ref().map_or_else(String::new, |place| format!("{place}: "));
            format!("{used_at}{fallback}{}", origin.of(place.as_ref()))
        }
        (None, Some(place)) => format!("{fallback}{place}"),
        (None, None) if section.is_null() => "not set".to_owned(),
        (None, None) => "default".to_owned(),
    }
}

fn names_secret(origin: &Origin) -> bool {
    origin.variable.as_deref().is_some_and(is_secret_key)
}

fn is_secret_key(key: &str) -> bool {
    let key = key.to_lowercase().replace(['-', '.', ' '], "_");
    SECRET_ENDINGS.iter().any(|ending| key.ends_with(ending))
}

/// A string as YAML reads it: as it is where that cannot mean anything else, otherwise in quotes.
fn string(text: &str) -> String {
    const UNITS: [&str; 12] = ["ms", "s", "m", "h", "d", "B", "KiB", "MiB", "GiB", "kB", "MB", "GB"];
    const OTHER_MEANINGS: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    // Durations and sizes: nothing that is a number in YAML ends in one of their units after nothing but digits.
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let is_plain = (unit.len() < text.len() && UNITS.contains(&unit))
        || text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c))
            && !OTHER_MEANINGS.contains(&text.to_lowercase().as_str());
    // A key with a reference's suffix: a `#` begins a comment only after a space.
    let is_reference = text.strip_suffix("#env").or_else(|| text.strip_suffix("#file"));
    match is_reference {
        Some(key) if string(key) == key => text.to_owned(),
        _ if is_plain => text.to_owned(),
        _ => quoted(text),
    }
}

/// JSON's quotes are YAML's too.
fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}
