//! JSON Schema of a type, closed: keys that are not declared are refused.

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// Words whose schemas apply to the same value as the schema they stand in.
const SAME_VALUE: [&str; 3] = ["allOf", "anyOf", "oneOf"];
/// Words whose schemas, each under a name, apply to other values.
const NAMED: [&str; 3] = ["properties", "patternProperties", "$defs"];
/// Words whose schema or list of schemas applies to other values.
const BELOW: [&str; 3] = ["items", "prefixItems", "additionalProperties"];

/// The JSON Schema (draft 2020-12) of a type.
///
/// Objects that declare `properties` get `additionalProperties: false` unless they say otherwise, whether or not the
/// type says `deny_unknown_fields`, so that structs put together with `#[serde(flatten)]` are closed too.
#[must_use]
pub fn schema_of<T: JsonSchema>() -> Value {
    let schema = SchemaGenerator::default().into_root_schema_for::<T>();
    let mut schema = schema.to_value();
    close(&mut schema, true);
    schema
}

/// Closes a schema and those in it. `whole` is false for a branch of a larger object, which does not know all its keys.
fn close(schema: &mut Value, whole: bool) {
    let Value::Object(schema) = schema else { return };
    let composed = schema.contains_key("$ref") || SAME_VALUE.iter().any(|word| schema.contains_key(*word));
    if whole && schema.contains_key("properties") && !is_open_or_closed(schema) {
        let word = if composed { "unevaluatedProperties" } else { "additionalProperties" };
        schema.insert(word.to_owned(), json!(false));
    }
    let branches_are_whole = whole && !schema.contains_key("properties");
    for word in SAME_VALUE {
        for branch in schema.get_mut(word).and_then(Value::as_array_mut).into_iter().flatten() {
            close(branch, branches_are_whole);
        }
    }
    for word in NAMED {
        for (_, child) in schema.get_mut(word).and_then(Value::as_object_mut).into_iter().flatten() {
            close(child, true);
        }
    }
    for word in BELOW {
        match schema.get_mut(word) {
            Some(Value::Array(children)) => children.iter_mut().for_each(|child| close(child, true)),
            Some(child) => close(child, true),
            None => {}
        }
    }
}

fn is_open_or_closed(schema: &Map<String, Value>) -> bool {
    schema.contains_key("additionalProperties") || schema.contains_key("unevaluatedProperties")
}
