//! The located tree: values that know where they stand and, if they were substituted, where they came from.

use std::sync::Arc;

use serde_json::{Number, Value};

use crate::problem::{Place, ValueOrigin};
use crate::work;

/// One value. Aliases share nodes, so a tree may count more nodes than it stores; see [`Node::size`].
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// `None` only for values that no text holds.
    pub(crate) place: Option<Place>,
    /// Set on the topmost node of a substituted value; holds for everything below.
    pub(crate) origin: Option<Arc<Origin>>,
    /// Nodes in this subtree with aliases written out.
    pub(crate) size: usize,
    /// Levels in this subtree; a scalar has one.
    pub(crate) height: usize,
    /// Something in this subtree has been reported as a problem and means nothing; see [`Node::broken`].
    pub(crate) holds_broken: bool,
    /// How a plain scalar that reads as something else than a string is written.
    pub(crate) spelling: Option<Arc<str>>,
    /// This value is the `#fallback` of its key.
    pub(crate) is_fallback: bool,
}

#[derive(Clone)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    List(Vec<Arc<Node>>),
    Map(Vec<Entry>),
}

/// One key of a map, in document order.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_place: Place,
    pub(crate) value: Arc<Node>,
}

/// Where a substituted value came from.
pub(crate) struct Origin {
    /// The place in the main file that asked for it.
    pub(crate) used_at: Option<Place>,
    /// The variable that stands there, if one does.
    pub(crate) variable: Option<String>,
    pub(crate) from: From,
}

/// The holder of a substituted value.
pub(crate) enum From {
    Vars,
    Env(String),
    File,
}

impl Node {
    pub(crate) fn new(kind: Kind, place: Option<Place>) -> Self {
        let (size, height) = match &kind {
            Kind::List(items) => measure(items.iter()),
            Kind::Map(entries) => measure(entries.iter().map(|entry| &entry.value)),
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::String(_) => (1, 1),
        };
        let holds_broken = match &kind {
            Kind::List(items) => items.iter().any(|item| item.holds_broken),
            Kind::Map(entries) => entries.iter().any(|entry| entry.value.holds_broken),
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::String(_) => false,
        };
        Self { kind, place, origin: None, size, height, holds_broken, spelling: None, is_fallback: false }
    }

    /// Stands where a problem has been reported, so that no other is reported for want of a value.
    pub(crate) fn broken(place: Option<Place>) -> Self {
        Self { holds_broken: true, ..Self::new(Kind::Null, place) }
    }

    /// Whether this value itself means nothing.
    pub(crate) fn is_broken(&self) -> bool {
        self.holds_broken && matches!(self.kind, Kind::Null)
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::String(_) | Kind::List(_) => &[],
        }
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        let found = self.entries().iter().position(|entry| entry.key == key);
        work::add(found.unwrap_or_else(|| self.entries().len()));
        self.entries().get(found?)
    }

    /// The value of a JSON text, which stands nowhere.
    pub(crate) fn from_json(value: &Value) -> Self {
        let kind = match value {
            Value::Null => Kind::Null,
            Value::Bool(value) => Kind::Bool(*value),
            Value::Number(value) => Kind::Number(value.clone()),
            Value::String(value) => Kind::String(value.clone()),
            Value::Array(items) => {
                Kind::List(items.iter().map(|item| Arc::new(Self::from_json(item))).collect())
            }
            Value::Object(entries) => Kind::Map(
                entries
                    .iter()
                    .map(|(key, value)| Entry {
                        key: key.clone(),
                        key_place: Place { file: "".into(), line: 0, column: 0, width: 0 },
                        value: Arc::new(Self::from_json(value)),
                    })
                    .collect(),
            ),
        };
        Self::new(kind, None)
    }

    pub(crate) fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Number(value) => Value::Number(value.clone()),
            Kind::String(value) => Value::String(value.clone()),
            Kind::List(items) => Value::Array(items.iter().map(|item| item.to_json()).collect()),
            Kind::Map(entries) => Value::Object(
                entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect(),
            ),
        }
    }

    /// The same value, marked as one that stands in for what its key asked for.
    pub(crate) fn as_fallback(&self) -> Arc<Node> {
        Arc::new(Node { is_fallback: true, ..self.clone() })
    }

    /// Whether this value or one below it must not be shown.
    pub(crate) fn holds_secret(&self) -> bool {
        self.origin.as_ref().is_some_and(|origin| origin.is_secret())
            || match &self.kind {
                Kind::List(items) => items.iter().any(|item| item.holds_secret()),
                Kind::Map(entries) => entries.iter().any(|entry| entry.value.holds_secret()),
                Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::String(_) => false,
            }
    }
}

impl Kind {
    /// A scalar as text; `None` for anything else.
    pub(crate) fn scalar_text(&self) -> Option<String> {
        match self {
            Self::Bool(value) => Some(value.to_string()),
            Self::Number(value) => Some(value.to_string()),
            Self::String(value) => Some(value.clone()),
            Self::Null | Self::List(_) | Self::Map(_) => None,
        }
    }
}

fn measure<'a>(children: impl Iterator<Item = &'a Arc<Node>>) -> (usize, usize) {
    let (size, height) = children.fold((0_usize, 0), |(size, height), child| {
        (size.saturating_add(child.size), height.max(child.height))
    });
    (size.saturating_add(1), height + 1)
}

impl Origin {
    /// Environment variables and files carry secrets, so their values are never quoted.
    pub(crate) fn is_secret(&self) -> bool {
        !matches!(self.from, From::Vars)
    }

    /// How a problem says where the value at `place` came from.
    pub(crate) fn of(&self, place: Option<&Place>) -> ValueOrigin {
        let environment_variable = if let From::Env(name) = &self.from { Some(name.clone()) } else { None };
        ValueOrigin {
            variable: self.variable.clone(),
            // The text of an environment variable has lines too, but nobody can open it.
            place: place.filter(|_| environment_variable.is_none()).cloned(),
            environment_variable,
            is_secret: self.is_secret(),
        }
    }
}
