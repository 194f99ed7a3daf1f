//! A located value with the path under which problems speak of it.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::check::read;
use crate::node::{Entry, Kind, Node, Origin};
use crate::problem::{Place, Problem, Problems, Violation};
use crate::work;

/// A located value: part of a loaded configuration, with the dotted path shown in problems.
///
/// Cheap to clone. `Debug` shows path and place, never the value, which may be a secret.
#[derive(Clone)]
pub struct Section {
    pub(crate) node: Arc<Node>,
    path: Arc<str>,
    /// Where the key of this value stands; list items and whole documents have none.
    key_place: Option<Place>,
    pub(crate) origin: Option<Arc<Origin>>,
    /// What is worth a warning about the whole configuration; only its root knows.
    warnings: Option<Arc<Problems>>,
}

impl Section {
    /// A null value that no text holds, for readers whose section is absent.
    pub fn empty(path: impl Into<String>) -> Self {
        let node = Arc::new(Node::new(Kind::Null, None));
        Self { node, path: path.into().into(), key_place: None, origin: None, warnings: None }
    }

    pub(crate) fn root(node: Arc<Node>) -> Self {
        Self { origin: node.origin.clone(), node, path: "".into(), key_place: None, warnings: None }
    }

    pub(crate) fn with_warnings(self, warnings: Problems) -> Self {
        Self { warnings: Some(Arc::new(warnings)), ..self }
    }

    /// The dotted path shown in problems; empty for a whole document.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The same value under another displayed path: `kafka-producer` reads better than
    /// `components_manager.components.kafka-producer`.
    #[must_use]
    pub fn with_path(self, path: impl Into<String>) -> Self {
        Self { path: path.into().into(), ..self }
    }

    /// Whether there is nothing: an absent section, or a key without a value.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self.node.kind, Kind::Null)
    }

    /// Whether a problem has been reported in place of this value; see [`load_partly`](crate::load_partly).
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.node.is_broken()
    }

    /// Whether the value is a map.
    #[must_use]
    pub fn is_map(&self) -> bool {
        matches!(self.node.kind, Kind::Map(_))
    }

    /// The value if it is a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Kind::String(value) = &self.node.kind { Some(value) } else { None }
    }

    /// The value if it is a boolean.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        if let Kind::Bool(value) = self.node.kind { Some(value) } else { None }
    }

    /// The value if it is an integer that is not negative.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        if let Kind::Number(value) = &self.node.kind { value.as_u64() } else { None }
    }

    /// The value of a key of this map.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Section> {
        self.node.entry(key).map(|entry| self.child(entry))
    }

    /// The keys and values of this map in document order; empty if it is not a map.
    #[must_use]
    pub fn entries(&self) -> Vec<(String, Section)> {
        self.node.entries().iter().map(|entry| (entry.key.clone(), self.child(entry))).collect()
    }

    /// The items of this list; empty if it is not a list.
    #[must_use]
    pub fn items(&self) -> Vec<Section> {
        match &self.node.kind {
            Kind::List(items) => items
                .iter()
                .enumerate()
                .map(|(idx, item)| self.below(item, format!("[{idx}]"), None))
                .collect(),
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::String(_) | Kind::Map(_) => Vec::new(),
        }
    }

    fn item(&self, idx: usize) -> Option<Section> {
        let Kind::List(items) = &self.node.kind else { return None };
        Some(self.below(items.get(idx)?, format!("[{idx}]"), None))
    }

    /// The same map without some of its keys.
    #[must_use]
    pub fn without(&self, keys: &[&str]) -> Section {
        if !self.is_map() {
            return self.clone();
        }
        let entries = self.node.entries().iter().filter(|entry| !keys.contains(&entry.key.as_str())).cloned();
        let mut node = Node::new(Kind::Map(entries.collect()), self.node.place.clone());
        node.origin.clone_from(&self.node.origin);
        Self { node: Arc::new(node), ..self.clone() }
    }

    /// Checks the value against the schema of `T` and deserializes it. An absent value reads as an empty map when `T`
    /// wants a map, and an empty map as nothing when `T` wants nothing (`()`).
    ///
    /// Keys that `T` does not know are problems even if it does not say `deny_unknown_fields`.
    ///
    /// # Errors
    /// Everything the schema finds wrong; if it finds nothing, what deserializing finds wrong.
    pub fn read<T: DeserializeOwned + JsonSchema>(&self) -> Result<T, Problems> {
        self.read_with(|_| Vec::new())
    }

    /// As [`read`](Self::read), then by rules that a schema cannot express. A value that is only out of the bounds of its
    /// schema gets there too, so that everything is said in one run: rules must not rely on bounds. What they say about a
    /// value that the schema has complained of is left out.
    ///
    /// # Errors
    /// As for [`read`](Self::read), and what the rules find.
    pub fn read_with<T: DeserializeOwned + JsonSchema>(
        &self,
        rules: impl FnOnce(&T) -> Vec<Violation>,
    ) -> Result<T, Problems> {
        read(self, rules)
    }

    /// A problem at the value of a path below this section, such as `topics[0]`; empty for the section itself.
    ///
    /// If there is no such value, it points at the key of the nearest section around it.
    pub fn problem(&self, relative_path: &str, message: impl Into<String>) -> Problem {
        let path = join(&self.path, relative_path);
        match self.descend(relative_path) {
            (section, "") => section.located(section.node.place.as_ref(), path, message.into()),
            (section, _) => section.located(section.own_place(), path, message.into()),
        }
    }

    /// A problem at this section's own key.
    pub fn key_problem(&self, message: impl Into<String>) -> Problem {
        self.located(self.own_place(), self.path.to_string(), message.into())
    }

    /// A typed configuration's complaint about itself as a located problem. What it quotes of a value that came from
    /// the environment or a file is replaced by `*****`.
    #[must_use]
    pub fn violation(&self, violation: Violation) -> Problem {
        let (target, _) = self.descend(&violation.path);
        let mut secrets = Vec::new();
        target.collect_secrets(&mut secrets);
        self.problem(&violation.path, redacted(violation.message, &secrets))
    }

    /// The values below this one, and itself, that are the `#fallback` of their key.
    #[must_use]
    pub fn fallbacks(&self) -> Vec<Section> {
        let mut found = Vec::new();
        self.visit(&mut |section| {
            if section.node.is_fallback {
                found.push(section.clone());
            }
        });
        found
    }

    /// What [`load`](crate::load) found worth a warning although nothing is wrong: variables that nothing uses. Only the
    /// root of a configuration has any.
    #[must_use]
    pub fn warnings(&self) -> Problems {
        self.warnings.as_deref().cloned().unwrap_or_default()
    }

    /// Where the value stands, as `file:line:column`; `None` if no text holds it.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        self.own_place().map(Place::to_string)
    }

    fn collect_secrets(&self, secrets: &mut Vec<String>) {
        self.visit(&mut |section| {
            if section.is_secret() {
                secrets.extend(section.node.kind.scalar_text());
                secrets.extend(section.node.spelling.as_deref().map(str::to_owned));
            }
        });
    }

    /// Calls `visitor` with this value and all below it.
    fn visit(&self, visitor: &mut dyn FnMut(&Section)) {
        work::add(1);
        visitor(self);
        for (_, child) in self.entries() {
            child.visit(visitor);
        }
        for item in self.items() {
            item.visit(visitor);
        }
    }

    /// The same section with another value.
    pub(crate) fn with_node(&self, node: Arc<Node>) -> Section {
        Section { node, ..self.clone() }
    }

    /// A problem at a key of this map; the path shown is that of the map.
    pub(crate) fn entry_problem(&self, entry: &Entry, message: String) -> Problem {
        self.located(Some(&entry.key_place), self.path.to_string(), message)
    }

    /// The section below that a path leads to as far as it exists, and what is left of the path.
    pub(crate) fn descend<'p>(&self, relative_path: &'p str) -> (Section, &'p str) {
        let mut section = self.clone();
        let mut rest = relative_path;
        loop {
            let Some((next, left)) = section.step(rest) else { return (section, rest) };
            (section, rest) = (next, left);
        }
    }

    /// One step along a path. Keys may themselves hold dots, so the longest matching key is taken.
    fn step<'p>(&self, path: &'p str) -> Option<(Section, &'p str)> {
        if let Some((idx, left)) = path.strip_prefix('[').and_then(|path| path.split_once(']')) {
            let item = self.item(idx.parse().ok()?)?;
            return Some((item, left.strip_prefix('.').unwrap_or(left)));
        }
        let left_of = |entry: &Entry| {
            let left = path.strip_prefix(entry.key.as_str())?;
            if left.is_empty() || left.starts_with('[') { Some(left) } else { left.strip_prefix('.') }
        };
        work::add(self.node.entries().len());
        let entry = self
            .node
            .entries()
            .iter()
            .filter(|entry| !entry.key.is_empty() && left_of(entry).is_some())
            .max_by_key(|entry| entry.key.len())?;
        Some((self.child(entry), left_of(entry)?))
    }

    pub(crate) fn child(&self, entry: &Entry) -> Section {
        self.below(&entry.value, entry.key.clone(), Some(entry.key_place.clone()))
    }

    pub(crate) fn below(&self, node: &Arc<Node>, step: String, key_place: Option<Place>) -> Section {
        Self {
            node: Arc::clone(node),
            path: join(&self.path, &step).into(),
            // The key of a substituted value stands in the main file, those below it where they came from.
            key_place,
            origin: node.origin.clone().or_else(|| self.origin.clone()),
            warnings: None,
        }
    }

    /// Where this section as such stands: its key if it has one.
    fn own_place(&self) -> Option<&Place> {
        self.key_place.as_ref().or(self.node.place.as_ref())
    }

    /// A problem somewhere in this section. A substituted value is reported where it is used, with where it came from.
    fn located(&self, place: Option<&Place>, path: String, message: String) -> Problem {
        let Some(origin) = &self.origin else { return Problem::at(place.cloned(), path, message) };
        let in_main_file = self.node.origin.is_some() && place == self.key_place.as_ref();
        let source = if in_main_file { self.node.place.as_ref() } else { place };
        Problem::at(origin.used_at.clone(), path, message).with_origin(origin.of(source))
    }

    /// Whether the value must not be quoted.
    pub(crate) fn is_secret(&self) -> bool {
        self.origin.as_ref().is_some_and(|origin| origin.is_secret())
    }
}

impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Section")
            .field("path", &self.path)
            .field("place", &self.place())
            .finish_non_exhaustive()
    }
}

/// A message that shows none of `secrets`: quotations that have to do with one are replaced, and if that does not
/// help, because the message speaks of it in other ways, so is the whole message.
fn redacted(message: String, secrets: &[String]) -> String {
    let secrets: Vec<_> = secrets.iter().filter(|secret| !secret.is_empty()).collect();
    if secrets.is_empty() {
        return message;
    }
    let quotes = |quotation: &str| {
        let tells = |secret: &&String| quotation.contains(secret.as_str()) || secret.contains(quotation);
        !quotation.is_empty() && secrets.iter().any(tells)
    };
    let parts: Vec<_> = message
        .split('`')
        .enumerate()
        .map(|(idx, part)| if idx % 2 == 1 && quotes(part) { "*****" } else { part })
        .collect();
    let message = parts.join("`");
    if secrets.iter().any(|secret| message.contains(secret.as_str())) {
        NOT_ACCEPTABLE.to_owned()
    } else {
        message
    }
}

/// What is said of a value when anything more might show it.
pub(crate) const NOT_ACCEPTABLE: &str = "the value is not acceptable here";

/// Two paths as one: `a` and `b[0]` are `a.b[0]`.
pub(crate) fn join(path: &str, step: &str) -> String {
    work::add(path.len() + step.len());
    if path.is_empty() || step.is_empty() || step.starts_with('[') {
        format!("{path}{step}")
    } else {
        format!("{path}.{step}")
    }
}
