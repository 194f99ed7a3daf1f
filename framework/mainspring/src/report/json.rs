//! Problems for machines.

use mainspring_config::{Problem, Problems, ValueOrigin};
use serde_json::{Map, Value, json};

/// Warnings, then problems, in the order in which people see them.
pub(super) fn array(problems: &Problems, warnings: &Problems) -> Value {
    let warnings = warnings.iter().map(|warning| object("warning", warning));
    warnings.chain(problems.iter().map(|problem| object("error", problem))).collect()
}

/// A problem without a place has no `file`, `line` and `column`; one about the whole document has an empty `path`.
fn object(severity: &str, problem: &Problem) -> Value {
    let mut object = Map::new();
    object.insert("severity".to_owned(), json!(severity));
    if let (Some(file), Some(line), Some(column)) = (problem.file(), problem.line(), problem.column()) {
        place(&mut object, (file, line, column));
    }
    object.insert("path".to_owned(), json!(problem.path()));
    object.insert("message".to_owned(), json!(problem.message()));
    if let Some(origin) = problem.origin() {
        object.insert("origin".to_owned(), origin_object(origin));
    }
    object.into()
}

fn origin_object(origin: &ValueOrigin) -> Value {
    let mut object = Map::new();
    if let Some(variable) = origin.variable() {
        object.insert("variable".to_owned(), json!(variable));
    }
    if let Some(name) = origin.environment_variable() {
        object.insert("environment_variable".to_owned(), json!(name));
    }
    if let Some(of_value) = origin.place() {
        place(&mut object, of_value);
    }
    object.into()
}

fn place(object: &mut Map<String, Value>, (file, line, column): (&str, usize, usize)) {
    for (key, value) in [("file", json!(file)), ("line", json!(line)), ("column", json!(column))] {
        object.insert(key.to_owned(), value);
    }
}
