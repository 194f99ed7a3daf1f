//! The map of all secrets, overwritten when it is dropped.
//!
//! What is wiped: every text in the map, also one that another text replaces. Keys are no secrets; numbers and truth values
//! are dropped as they are.

use serde_json::{Map, Value};
use zeroize::Zeroize as _;

/// Names and secrets, map in map.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Tree(Map<String, Value>);

impl Tree {
    /// The value at the end of a path, or the dotted path of the first key that is not there.
    pub(crate) fn find(&self, path: &[impl AsRef<str>]) -> Result<(&Value, String), String> {
        let mut steps = path.iter().map(AsRef::as_ref);
        let mut key = steps.next().unwrap_or_default().to_owned();
        let mut found = self.0.get(&key).ok_or_else(|| key.clone())?;
        for step in steps {
            key = format!("{key}.{step}");
            found = found.get(step).ok_or_else(|| key.clone())?;
        }
        Ok((found, key))
    }

    /// Puts another map over this one: maps are merged key by key, anything else replaces what was there.
    pub(crate) fn merge(&mut self, over: Map<String, Value>) {
        merge(&mut self.0, over);
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.0.values_mut().for_each(wipe);
    }
}

fn merge(into: &mut Map<String, Value>, over: Map<String, Value>) {
    for (key, value) in over {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(into)), Value::Object(over)) => merge(into, over),
            (Some(replaced), value) => wipe(&mut std::mem::replace(replaced, value)),
            (None, value) => drop(into.insert(key, value)),
        }
    }
}

/// Overwrites every text in a value.
pub(crate) fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(values) => values.iter_mut().for_each(wipe),
        Value::Object(values) => values.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
