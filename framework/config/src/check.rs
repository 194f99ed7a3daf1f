//! Reading a section as a type: first its schema, which sees every problem at once and in the operator's words, then
//! deserializing, which sees the rest.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::expected::{
    accepts, alternatives, bounds, describe, found, is_within, literals, one_of, out_of_format_bounds, units,
};
use crate::nearest::nearest;
use crate::node::{Entry, Kind, Node};
use crate::problem::{Problem, Problems, Violation};
use crate::schema::schema_of;
use crate::section::{NOT_ACCEPTABLE, Section};
use crate::work;

pub(crate) fn read<T: DeserializeOwned + JsonSchema>(
    section: &Section,
    rules: impl FnOnce(&T) -> Vec<Violation>,
) -> Result<T, Problems> {
    let mut schema = schema_of::<T>();
    let wants_nothing = schema.get("type").is_some_and(|kind| kind == "null");
    if wants_nothing && section.is_map() {
        schema = serde_json::json!({ "type": "object", "properties": {}, "additionalProperties": false });
    }
    let checker = Checker::new(&schema);
    let section = &section.with_node(checker.spelled_out(&[&schema], &section.node, section.is_secret()));
    let wants_map = checker
        .all_parts(&schema)
        .iter()
        .any(|part| part.contains_key("properties") || part.get("type").is_some_and(|kind| kind == "object"));
    let is_absent_map = section.is_null() && wants_map && !checker.accepts(&schema, &Kind::Null);
    let mut problems = Problems::new();
    let empty_map = Kind::Map(Vec::new());
    let kind = if is_absent_map { &empty_map } else { &section.node.kind };
    checker.check(&schema, section, kind, &mut problems);
    // What is wrong has been said; what follows from it need not be.
    if section.node.holds_broken || (checker.keys_are_wrong.get() && !problems.is_empty()) {
        return Err(problems);
    }

    let value = match section.node.to_json() {
        Value::Null if is_absent_map => Value::Object(Map::new()),
        Value::Object(_) if wants_nothing => Value::Null,
        value => value,
    };
    let value = match serde_path_to_error::deserialize(value) {
        Ok(value) => value,
        Err(_) if !problems.is_empty() => return Err(problems),
        Err(error) => return Err(unforeseen(section, &error).into()),
    };
    // A value that is out of its bounds can be read all the same, so what else is wrong is said in the same run.
    let said: BTreeSet<_> = problems.iter().map(|problem| problem.path().to_owned()).collect();
    let told = rules(&value).into_iter().map(|violation| section.violation(violation));
    for problem in told.filter(|it| it.path() == section.path() || !said.contains(it.path())) {
        problems.push(problem);
    }
    problems.into_result()?;
    Ok(value)
}

/// What the schema could not see, at the deepest place known.
fn unforeseen(section: &Section, error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let path = match error.path().to_string() {
        path if path == "." => String::new(),
        path => path,
    };
    let (deepest, rest) = section.descend(&path);
    let message = if deepest.is_secret() || deepest.node.holds_secret() {
        // What serde says may quote the value.
        NOT_ACCEPTABLE.to_owned()
    } else {
        error.inner().to_string()
    };
    if rest.is_empty() { deepest.problem("", message) } else { deepest.key_problem(message) }
}

pub(crate) struct Checker<'a> {
    root: &'a Value,
    /// Some key is unknown or missing.
    keys_are_wrong: Cell<bool>,
}

pub(crate) type Part<'a> = &'a Map<String, Value>;

impl<'a> Checker<'a> {
    pub(crate) fn new(root: &'a Value) -> Self {
        Self { root, keys_are_wrong: Cell::new(false) }
    }

    fn check(&self, schema: &'a Value, section: &Section, kind: &Kind, problems: &mut Problems) {
        work::add(1);
        if section.is_broken() {
            return;
        }
        let mut parts = Parts::default();
        self.spread(schema, &mut parts);
        self.check_parts(parts, section, kind, problems);
    }

    /// Collects what applies to one value at the same time, following `$ref` and `allOf`.
    fn spread(&self, schema: &'a Value, parts: &mut Parts<'a>) {
        let Value::Object(schema) = schema else {
            parts.refused |= *schema == Value::Bool(false);
            return;
        };
        parts.all.push(schema);
        if let Some(target) =
            schema.get("$ref").and_then(Value::as_str).and_then(|target| self.resolve(target))
        {
            self.spread(target, parts);
        }
        for part in list(schema, "allOf") {
            self.spread(part, parts);
        }
        for word in ["anyOf", "oneOf"] {
            if schema.contains_key(word) {
                parts.choices.push(list(schema, word));
            }
        }
    }

    fn resolve(&self, target: &str) -> Option<&'a Value> {
        self.root.pointer(target.strip_prefix('#')?)
    }

    /// The parts of a schema that are about this value, which is right: of each choice the branch that fits.
    pub(crate) fn applicable(&self, schema: &'a Value, section: &Section) -> Vec<Part<'a>> {
        let mut parts = Parts::default();
        self.spread(schema, &mut parts);
        while let Some(choice) = parts.choices.pop() {
            let fits = |branch: &&Value| {
                let mut branch_parts = parts.clone();
                self.spread(branch, &mut branch_parts);
                let mut problems = Problems::new();
                self.check_parts(branch_parts, section, &section.node.kind, &mut problems);
                problems.is_empty()
            };
            if let Some(branch) = choice.iter().find(fits) {
                self.spread(branch, &mut parts);
            }
        }
        parts.all
    }

    fn all_parts(&self, schema: &'a Value) -> Vec<Part<'a>> {
        let mut parts = Parts::default();
        self.spread(schema, &mut parts);
        parts.all
    }

    pub(crate) fn accepts(&self, schema: &'a Value, kind: &Kind) -> bool {
        let mut parts = Parts::default();
        self.spread(schema, &mut parts);
        parts.all.iter().all(|part| accepts(part, kind))
            && parts.choices.iter().all(|choice| choice.iter().any(|branch| self.accepts(branch, kind)))
    }

    /// The value with the scalars from the environment and from files spelled as they are written where a string is
    /// wanted: `ID=007` is the text of an id, and there is no way to put it in quotes.
    fn spelled_out(&self, schemas: &[&'a Value], node: &Arc<Node>, is_secret: bool) -> Arc<Node> {
        work::add(1);
        let is_secret = node.origin.as_ref().map_or(is_secret, |origin| origin.is_secret());
        if !is_secret && !node.holds_secret() {
            return Arc::clone(node);
        }
        let kind = match &node.kind {
            Kind::Map(entries) => Kind::Map(
                entries
                    .iter()
                    .map(|entry| {
                        let schemas = self.below(schemas, |part| {
                            let declared = part.get("properties").and_then(|keys| keys.get(&entry.key));
                            let patterns = part.get("patternProperties").and_then(Value::as_object);
                            declared
                                .or_else(|| patterns.and_then(|patterns| patterns.values().next()))
                                .or_else(|| part.get("additionalProperties"))
                        });
                        let value = self.spelled_out(&schemas, &entry.value, is_secret);
                        Entry { value, ..entry.clone() }
                    })
                    .collect(),
            ),
            Kind::List(items) => Kind::List(
                items
                    .iter()
                    .enumerate()
                    .map(|(idx, item)| {
                        let schemas = self.below(schemas, |part| {
                            list(part, "prefixItems").get(idx).or_else(|| part.get("items"))
                        });
                        self.spelled_out(&schemas, item, is_secret)
                    })
                    .collect(),
            ),
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::String(_) => {
                let Some(spelling) = node.spelling.as_deref().filter(|_| is_secret) else {
                    return Arc::clone(node);
                };
                let text = Kind::String(spelling.to_owned());
                let accepts = |kind: &Kind| schemas.iter().any(|schema| self.accepts(schema, kind));
                if accepts(&node.kind) || !accepts(&text) {
                    return Arc::clone(node);
                }
                text
            }
        };
        Arc::new(Node { kind, ..Node::clone(node) })
    }

    /// The schemas of a value below those that `schemas` may be about, whichever of their branches is meant.
    fn below(&self, schemas: &[&'a Value], step: impl Fn(Part<'a>) -> Option<&'a Value>) -> Vec<&'a Value> {
        let mut parts = Vec::new();
        schemas.iter().for_each(|schema| self.all_branches(schema, &mut parts));
        parts.into_iter().filter_map(step).collect()
    }

    fn all_branches(&self, schema: &'a Value, all: &mut Vec<Part<'a>>) {
        let mut parts = Parts::default();
        self.spread(schema, &mut parts);
        all.extend(parts.all);
        parts.choices.iter().copied().flatten().for_each(|branch| self.all_branches(branch, all));
    }

    fn check_parts(&self, mut parts: Parts<'a>, section: &Section, kind: &Kind, problems: &mut Problems) {
        let Some(choice) = parts.choices.pop() else {
            return self.check_flat(&parts, section, kind, problems);
        };
        let mut attempts = Vec::with_capacity(choice.len());
        for branch in choice {
            let mut branch_parts = parts.clone();
            self.spread(branch, &mut branch_parts);
            let mut found = Problems::new();
            self.check_parts(branch_parts, section, kind, &mut found);
            if found.is_empty() {
                return;
            }
            attempts.push((branch, found));
        }
        problems.extend(self.explain(attempts, section, kind));
    }

    /// Why none of several branches fits: the problems of the one that was meant, if that can be told.
    fn explain(&self, attempts: Vec<(&'a Value, Problems)>, section: &Section, kind: &Kind) -> Problems {
        if section.node.holds_broken {
            // The value that would tell the branches apart may be the one that is missing.
            return Problems::new();
        }
        let mut allowed = Vec::new();
        let mut all_literal = true;
        let mut wanted = Vec::new();
        for (branch, _) in &attempts {
            let parts = self.all_parts(branch);
            if parts.iter().any(|part| part.get("type").is_some_and(|kind| kind == "null")) {
                continue;
            }
            match parts.iter().find_map(|part| literals(part)) {
                Some(values) => allowed.extend(values),
                None => all_literal = false,
            }
            self.describe(branch, &mut wanted);
        }
        if all_literal && !allowed.is_empty() {
            return section.problem("", one_of(&allowed, kind, section.is_secret())).into();
        }
        let mut plausible: Vec<_> =
            attempts.into_iter().filter(|(branch, _)| self.accepts(branch, kind)).collect();
        if let Some(problem) = self.wrong_tag(&plausible, section) {
            return problem.into();
        }
        if let Some(tag) = self.tag(&plausible) {
            let value = section.node.entry(tag).map(|entry| entry.value.to_json());
            plausible
                .retain(|(branch, _)| self.tag_values(branch, tag) == value.clone().map(|value| vec![value]));
        }
        let fewest = plausible.iter().map(|(_, problems)| problems.len()).min().unwrap_or(0);
        plausible.retain(|(_, problems)| problems.len() == fewest);
        match <[_; 1]>::try_from(plausible) {
            Ok([(_, problems)]) => problems,
            Err(_) => {
                let found = found(kind, section.is_secret());
                section.problem("", format!("expected {}, found {found}", wanted.join(" or "))).into()
            }
        }
    }

    /// What a schema expects, one text for each branch.
    fn describe(&self, schema: &'a Value, wanted: &mut Vec<String>) {
        let mut parts = Parts::default();
        self.spread(schema, &mut parts);
        let branches: Vec<_> = parts.choices.iter().flat_map(|choice| choice.iter()).collect();
        if branches.is_empty() {
            let text = describe(&parts.all);
            if text != "nothing" && !wanted.contains(&text) {
                wanted.push(text);
            }
        }
        branches.into_iter().for_each(|branch| self.describe(branch, wanted));
    }

    /// The key that tells the branches apart: each allows only certain values for it.
    fn tag(&self, attempts: &[(&'a Value, Problems)]) -> Option<&'a str> {
        let ((first, _), rest) = attempts.split_first()?;
        let is_tag = |key: &&str| {
            self.tag_values(first, key).is_some()
                && rest.iter().all(|(branch, _)| self.tag_values(branch, key).is_some())
        };
        self.all_parts(first).into_iter().flat_map(|part| properties(part).map(|(key, _)| key)).find(is_tag)
    }

    fn tag_values(&self, branch: &'a Value, key: &str) -> Option<Vec<Value>> {
        let parts = self.all_parts(branch);
        let property = parts.iter().find_map(|part| part.get("properties")?.get(key))?;
        self.all_parts(property).iter().find_map(|part| literals(part))
    }

    fn wrong_tag(&self, attempts: &[(&'a Value, Problems)], section: &Section) -> Option<Problem> {
        let tag = self.tag(attempts)?;
        let allowed: Vec<_> =
            attempts.iter().filter_map(|(branch, _)| self.tag_values(branch, tag)).flatten().collect();
        let Some(value) = section.get(tag) else {
            return Some(section.key_problem(format!("missing key `{tag}`: {}", alternatives(&allowed))));
        };
        let known = allowed.contains(&value.node.to_json());
        (!known).then(|| value.problem("", one_of(&allowed, &value.node.kind, value.is_secret())))
    }

    /// Everything that says something about the value and leaves no choice.
    fn check_flat(&self, parts: &Parts<'a>, section: &Section, kind: &Kind, problems: &mut Problems) {
        let secret = section.is_secret();
        if parts.refused {
            problems.push(section.key_problem("nothing may be given here"));
            return;
        }
        for part in &parts.all {
            if let Some(allowed) = literals(part).filter(|allowed| !allowed.contains(&section.node.to_json()))
            {
                problems.push(section.problem("", one_of(&allowed, kind, secret)));
                return;
            }
        }
        if !parts.all.iter().all(|part| accepts(part, kind) && is_within(part, kind)) {
            let mut message = format!("expected {}, found {}", describe(&parts.all), found(kind, secret));
            if parts.all.iter().any(|part| part.get("type").is_some_and(|kind| kind == "string"))
                && matches!(kind, Kind::Number(_) | Kind::Bool(_))
            {
                message.push_str("; put it in quotes");
            }
            problems.push(section.problem("", message));
            return;
        }
        if let Some(expected) = out_of_format_bounds(&parts.all, kind) {
            problems.push(section.problem("", format!("expected {expected}, found {}", found(kind, secret))));
            return;
        }
        match kind {
            Kind::List(_) => self.check_items(parts, section, problems),
            Kind::Map(_) => self.check_keys(parts, section, problems),
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::String(_) => {}
        }
    }

    fn check_items(&self, parts: &Parts<'a>, section: &Section, problems: &mut Problems) {
        let items = section.items();
        for part in &parts.all {
            let (low, high) = bounds(part, "minItems", "maxItems");
            if let Some(expected) = units(low, high, items.len(), "item") {
                problems.push(section.problem("", format!("expected {expected}, found {}", items.len())));
            }
            let prefix = list(part, "prefixItems");
            for (idx, item) in items.iter().enumerate() {
                if let Some(schema) = prefix.get(idx).or_else(|| part.get("items")) {
                    self.check(schema, item, &item.node.kind, problems);
                }
            }
            if part.get("uniqueItems") == Some(&Value::Bool(true)) {
                let mut seen = BTreeSet::new();
                for item in items
                    .iter()
                    .filter(|item| !item.is_broken() && !seen.insert(item.node.to_json().to_string()))
                {
                    problems.push(item.problem("", "the same item is given twice"));
                }
            }
        }
    }

    fn check_keys(&self, parts: &Parts<'a>, section: &Section, problems: &mut Problems) {
        let mut rest = None;
        let mut closed = false;
        for part in &parts.all {
            let more = part.get("additionalProperties").or_else(|| part.get("unevaluatedProperties"));
            match more {
                Some(Value::Bool(false)) => closed = true,
                Some(schema) => rest = Some(schema),
                None => {}
            }
            if let Some(patterns) = part.get("patternProperties").and_then(Value::as_object) {
                // Which keys a pattern means is left to deserializing; schemars writes at most one.
                rest = patterns.values().next().or(rest);
            }
        }
        let declared: BTreeMap<&str, &Value> = parts.all.iter().flat_map(|part| properties(part)).collect();
        for entry in section.node.entries() {
            match (declared.get(entry.key.as_str()).copied().or(rest), closed) {
                (Some(schema), _) => {
                    let child = section.child(entry);
                    self.check(schema, &child, &child.node.kind, problems);
                }
                (None, true) => {
                    self.keys_are_wrong.set(true);
                    let message = unknown_key(&entry.key, declared.keys().copied());
                    problems.push(section.entry_problem(entry, message));
                }
                (None, false) => {}
            }
        }
        for part in &parts.all {
            for key in list(part, "required").iter().filter_map(Value::as_str) {
                if section.node.entry(key).is_none() {
                    self.keys_are_wrong.set(true);
                    let about = declared.get(key).map_or_else(String::new, |schema| self.about(schema));
                    problems.push(section.key_problem(format!("missing key `{key}`{about}")));
                }
            }
        }
    }

    /// The first sentence of a description, as an addition to a message.
    fn about(&self, schema: &'a Value) -> String {
        let parts = self.all_parts(schema);
        let Some(text) = parts.iter().find_map(|part| part.get("description")?.as_str()) else {
            return String::new();
        };
        let paragraph = text.split("\n\n").next().unwrap_or(text).replace('\n', " ");
        let sentence = paragraph.split(". ").next().unwrap_or(&paragraph);
        format!(" ({})", sentence.trim_end_matches('.'))
    }
}

/// What applies to one value.
#[derive(Clone, Default)]
struct Parts<'a> {
    all: Vec<Part<'a>>,
    /// Each a list of branches of which one has to fit.
    choices: Vec<&'a [Value]>,
    /// Some schema is `false`.
    refused: bool,
}

pub(crate) fn list<'a>(part: Part<'a>, word: &str) -> &'a [Value] {
    part.get(word).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub(crate) fn properties<'a>(part: Part<'a>) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let properties = part.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten().map(|(key, schema)| (key.as_str(), schema))
}

fn unknown_key<'a>(key: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    if let Some(near) = nearest(key, known.clone()) {
        return format!("unknown key `{key}`; did you mean `{near}`?");
    }
    let known: Vec<_> = known.map(|name| format!("`{name}`")).collect();
    match known.as_slice() {
        [] => format!("unknown key `{key}`; there are no keys here"),
        names => format!("unknown key `{key}`; known keys: {}", names.join(", ")),
    }
}
