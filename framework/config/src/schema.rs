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

/// Words of a schema that say something about its value without restricting it.
const ANNOTATIONS: [&str; 4] = ["title", "description", "default", "examples"];

/// Makes a schema accept a configuration as it is written, before anything is substituted: `$variable` in the place of
/// any value, and `key#env`, `key#file` and `key#fallback` beside or instead of any `key`.
///
/// Meant for editors; a loaded configuration is checked without.
pub fn accept_references(schema: &mut Value) {
    accept_below(schema);
    if let Value::Object(root) = schema {
        let definitions = root.entry("$defs").or_insert_with(|| json!({}));
        definitions["reference.variable"] = json!({
            "description": "A variable; its value is in the file that `config_vars` names.",
            "type": "string", "pattern": "^\\$.",
        });
        definitions["reference.source"] = json!({
            "description": "Where the value is: after `#env` the name of an environment variable, after `#file` a path.",
            "type": "string",
        });
        definitions["reference.fallback"] =
            json!({ "description": "The value if the variable, the environment or the file has none." });
    }
}

/// As [`accept_references`], for what is below a schema.
fn accept_below(schema: &mut Value) {
    let Value::Object(schema) = schema else { return };
    for definition in schema.get_mut("$defs").and_then(Value::as_object_mut).into_iter().flatten() {
        accept_below(definition.1);
    }
    for word in SAME_VALUE {
        schema.get_mut(word).and_then(Value::as_array_mut).into_iter().flatten().for_each(accept_below);
    }
    for word in BELOW {
        match schema.get_mut(word) {
            Some(Value::Array(children)) => children.iter_mut().for_each(accept_variable),
            Some(child) => accept_variable(child),
            None => {}
        }
    }
    let mut patterns = Map::new();
    if schema.get("additionalProperties").is_some_and(Value::is_object) {
        patterns.insert("#(env|file)$".to_owned(), json!({ "$ref": "#/$defs/reference.source" }));
        patterns.insert("#fallback$".to_owned(), json!({ "$ref": "#/$defs/reference.fallback" }));
    } else if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        let keys = properties.keys().map(String::as_str).collect::<Vec<_>>().join("|");
        patterns.insert(format!("^({keys})#(env|file)$"), json!({ "$ref": "#/$defs/reference.source" }));
        patterns.insert(format!("^({keys})#fallback$"), json!({ "$ref": "#/$defs/reference.fallback" }));
    }
    if !patterns.is_empty() {
        schema.insert("patternProperties".to_owned(), Value::Object(patterns));
    }
    for (_, property) in schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
        accept_variable(property);
    }
    accept_required_elsewhere(schema);
}

/// A required key may be there as a reference.
fn accept_required_elsewhere(schema: &mut Map<String, Value>) {
    let Some(Value::Array(keys)) = schema.remove("required") else { return };
    let one_of_them = keys.iter().filter_map(Value::as_str).map(|key| {
        let forms = ["", "#env", "#file"].map(|suffix| json!({ "required": [format!("{key}{suffix}")] }));
        json!({ "anyOf": forms })
    });
    let all = schema.entry("allOf").or_insert_with(|| json!([]));
    if let Value::Array(all) = all {
        all.extend(one_of_them);
    }
}

/// A value may be a variable.
fn accept_variable(schema: &mut Value) {
    accept_below(schema);
    let Value::Object(object) = schema else { return };
    let is_any = object.keys().all(|word| ANNOTATIONS.contains(&word.as_str()));
    let is_any_string = object.get("type").is_some_and(|kind| kind == "string")
        && object.keys().all(|word| word == "type" || ANNOTATIONS.contains(&word.as_str()));
    if is_any || is_any_string {
        return;
    }
    let variable = json!({ "$ref": "#/$defs/reference.variable" });
    let (annotations, rest): (Map<_, _>, Map<_, _>) =
        std::mem::take(object).into_iter().partition(|(word, _)| ANNOTATIONS.contains(&word.as_str()));
    *object = annotations;
    let mut branches = match (rest.len(), rest.get("anyOf")) {
        (1, Some(Value::Array(branches))) => branches.clone(),
        _ => vec![Value::Object(rest)],
    };
    // Of what applies to a value, editors show the innermost description: let it be that of the key, not of its type.
    for branch in
        branches.iter_mut().filter_map(Value::as_object_mut).filter(|branch| branch.contains_key("$ref"))
    {
        branch.extend(object.get("description").map(|text| ("description".to_owned(), text.clone())));
    }
    branches.push(variable);
    object.insert("anyOf".to_owned(), Value::Array(branches));
}
