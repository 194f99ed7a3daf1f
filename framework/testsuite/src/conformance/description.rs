//! Every option has a description, on itself or on the type that it refers to.

use std::collections::BTreeSet;

use serde_json::Value;

/// Words whose schema, or schemas, are part of the same value or stand below it.
const BELOW: [&str; 6] = ["items", "prefixItems", "additionalProperties", "anyOf", "oneOf", "allOf"];

/// # Panics
/// When an option has none.
#[track_caller]
pub(super) fn check(component: &str, schema: &Value) {
    let mut walk = Walk { root: schema, seen: BTreeSet::new(), missing: Vec::new() };
    walk.visit(schema, "");
    assert!(
        walk.missing.is_empty(),
        "options of `{component}` without a description: {}",
        walk.missing.join(", ")
    );
}

struct Walk<'a> {
    root: &'a Value,
    /// References that were followed.
    seen: BTreeSet<&'a str>,
    missing: Vec<String>,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, schema: &'a Value, path: &str) {
        for (key, option) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            if !self.is_described(option) {
                self.missing.push(format!("`{path}`"));
            }
            self.visit(option, &path);
        }
        for word in BELOW {
            match schema.get(word) {
                Some(Value::Array(schemas)) => schemas.iter().for_each(|schema| self.visit(schema, path)),
                Some(schema) => self.visit(schema, path),
                None => {}
            }
        }
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str)
            && self.seen.insert(reference)
            && let Some(target) = self.resolve(reference)
        {
            self.visit(target, path);
        }
    }

    fn is_described(&self, option: &Value) -> bool {
        let target = || option.get("$ref").and_then(Value::as_str).and_then(|target| self.resolve(target));
        option.get("description").is_some()
            // The tag that tells the branches of an enum apart.
            || option.get("const").is_some()
            || target().is_some_and(|target| target.get("description").is_some())
    }

    fn resolve(&self, reference: &str) -> Option<&'a Value> {
        self.root.pointer(reference.strip_prefix('#')?)
    }
}
