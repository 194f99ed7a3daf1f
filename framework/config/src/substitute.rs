//! `$variable`, `key#env`, `key#file` and `key#fallback`.
//!
//! The rules for a key `K` of any map in the main file, also inside lists (whose items may be `$variable` as well):
//!
//! 1. A value of `K` that is not a string starting with `$` stands, whatever siblings it has.
//! 2. `K: $name` takes `name` from the variables; if it is not there, `name#env`, then `name#file`, then
//!    `name#fallback` of the variables.
//! 3. If nothing was found so far, or `K` is absent: `K#env` (an environment variable, its text read as YAML), then
//!    `K#file` (a file, read as YAML), then `K#fallback`.
//! 4. What is still undefined is a problem, and so is a `K#fallback` that stands alone, because it would never apply.
//!
//! Only whole values are replaced, never parts of a string. Values from variables, environment and files are final:
//! nothing in them is replaced again. A fallback is text of the main file like any other and may use variables.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::Arc;

use crate::nearest::nearest;
use crate::node::{Entry, From, Kind, Node, Origin};
use crate::parse::{NODES_MAX, parse_node};
use crate::problem::{Place, Problem, Problems};
use crate::section::{Section, join};
use crate::source::{Source, Surroundings};
use crate::work;

/// Root key of the main file that names the file of variables.
const CONFIG_VARS: &str = "config_vars";

/// Most names that are compared in search of what was meant: enough for every problem that a person will read.
const COMPARISONS_MAX: usize = 100_000;

/// Which files of variables the command line named.
#[derive(Clone, Debug, Default)]
pub struct VarsOptions {
    /// Read instead of the file that `config_vars` in the main file names.
    pub config_vars: Option<String>,
    /// Its top-level keys replace those of the other file.
    pub config_vars_override: Option<String>,
}

/// Parses the main file, reads the variables and substitutes them.
///
/// The root key `config_vars` is read as it stands, never substituted, and is not part of the result. The path of the
/// result is empty.
///
/// # Errors
/// All syntax errors, duplicate keys, unreadable files and undefined variables at once, as far as one does not hide
/// another.
pub fn load(main: &Source, vars: &VarsOptions, surroundings: &dyn Surroundings) -> Result<Section, Problems> {
    let (root, problems) = load_partly(main, vars, surroundings);
    problems.into_result()?;
    Ok(root)
}

/// As [`load`], with whatever could be read in spite of the problems: checking that too finds the rest of what is wrong
/// in one run. What could not be read [`is_broken`](Section::is_broken), and reading it fails without a second problem.
pub fn load_partly(
    main: &Source,
    vars: &VarsOptions,
    surroundings: &dyn Surroundings,
) -> (Section, Problems) {
    let mut problems = Problems::new();
    let root = parse_node(main, &mut problems);
    let vars = Vars::read(&root, vars, surroundings, &mut problems);
    let mut substitution = Substitution { vars: &vars, surroundings, size: 0, problems };
    if root.is_broken() {
        return (Section::root(root), substitution.problems);
    }
    let mut used = BTreeSet::new();
    collect_variables(&root, &mut used);
    let root = substitution.node(&root, "");
    (Section::root(root).with_warnings(vars.unused(&used)), substitution.problems)
}

/// The variables that a text names, also where some environment or file now makes another value win.
fn collect_variables<'n>(node: &'n Node, names: &mut BTreeSet<&'n str>) {
    names.extend(variable_name(node));
    match &node.kind {
        Kind::List(items) => items.iter().for_each(|item| collect_variables(item, names)),
        Kind::Map(entries) => {
            let may_be_replaced = entries.iter().filter(|entry| {
                matches!(split_key(&entry.key).1, Suffix::None | Suffix::Fallback) && entry.key != CONFIG_VARS
            });
            may_be_replaced.for_each(|entry| collect_variables(&entry.value, names));
        }
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::String(_) => {}
    }
}

/// The merged variables.
struct Vars {
    entries: Vec<Entry>,
    /// Where in `entries` a key is.
    index: HashMap<String, usize>,
    /// The files they came from, for messages.
    files: Vec<String>,
    /// Names of variables that others are built from by an anchor.
    building_blocks: BTreeSet<String>,
    /// How many names may still be compared in search of the nearest; a wrong file may ask for thousands.
    comparisons_left: Cell<usize>,
    /// Some file could not be used, so that a variable that is not there may be no fault of the main file.
    incomplete: bool,
}

impl Vars {
    fn read(
        main: &Node,
        options: &VarsOptions,
        surroundings: &dyn Surroundings,
        problems: &mut Problems,
    ) -> Self {
        let mut entries: Vec<Entry> = Vec::new();
        let mut index: HashMap<String, usize> = HashMap::new();
        let mut files = Vec::new();
        let mut building_blocks = BTreeSet::new();
        let mut incomplete = false;
        let named = main.entry(CONFIG_VARS).map(|entry| &*entry.value);
        let base = match (&options.config_vars, named) {
            (Some(path), _) => Some((path.clone(), None)),
            (None, Some(Node { kind: Kind::String(path), place, .. })) => Some((path.clone(), place.clone())),
            (None, None | Some(Node { kind: Kind::Null, .. })) => None,
            (None, Some(node)) => {
                let message = "expected the path of a YAML file";
                problems.push(Problem::at(node.place.clone(), CONFIG_VARS, message));
                incomplete = true;
                None
            }
        };
        let overriding = options.config_vars_override.clone().map(|path| (path, None));
        for (path, place) in base.into_iter().chain(overriding) {
            match surroundings.read_file(&path) {
                Ok(text) => {
                    let n_problems = problems.len();
                    let node = parse_node(&Source::new(path.clone(), text), problems);
                    if !matches!(node.kind, Kind::Map(_) | Kind::Null) {
                        let message = "expected a map of variables";
                        problems.push(Problem::at(node.place.clone(), "", message));
                    }
                    incomplete |= n_problems < problems.len();
                    let shared = node.entries().iter().filter(|entry| is_shared(&entry.value));
                    building_blocks.extend(shared.map(|entry| split_key(&entry.key).0.to_owned()));
                    for entry in node.entries() {
                        match index.get(&entry.key) {
                            Some(known) => entries[*known] = entry.clone(),
                            None => {
                                index.insert(entry.key.clone(), entries.len());
                                entries.push(entry.clone());
                            }
                        }
                    }
                }
                Err(error) => {
                    let message = format!("cannot read `{path}`: {}", reason(&error));
                    problems.push(Problem::at(place, CONFIG_VARS, message));
                    incomplete = true;
                }
            }
            files.push(path);
        }
        let comparisons_left = Cell::new(COMPARISONS_MAX);
        let vars = Self { entries, index, files, building_blocks, comparisons_left, incomplete };
        vars.refuse_lone_fallbacks(problems);
        vars
    }

    fn refuse_lone_fallbacks(&self, problems: &mut Problems) {
        for group in groups(&self.entries) {
            if let Some(problem) = group.lone_fallback("") {
                problems.push(problem);
            }
        }
    }

    /// The keys of the variables that `name` may come from.
    fn group(&self, name: &str) -> Group<'_> {
        let find =
            |suffix: &str| self.index.get(&format!("{name}{suffix}")).map(|entry| &self.entries[*entry]);
        Group {
            key: "",
            value: find(""),
            env: find("#env"),
            file: find("#file"),
            fallback: find("#fallback"),
        }
    }

    /// Warnings about the variables that nothing uses.
    fn unused(&self, used: &BTreeSet<&str>) -> Problems {
        let is_used = |name: &str| used.contains(name) || self.building_blocks.contains(name);
        let unused = groups(&self.entries).into_iter().filter(|group| !is_used(group.key));
        unused.filter_map(|group| Some(self.unused_problem(group.key, group.first()?, used))).collect()
    }

    fn unused_problem(&self, name: &str, entry: &Entry, used: &BTreeSet<&str>) -> Problem {
        let hint = match self.nearest(name, used.len(), used.iter().copied()) {
            Some(near) => format!("; the configuration uses `${near}`"),
            None => String::new(),
        };
        Problem::at(Some(entry.key_place.clone()), "", format!("unused variable `{name}`{hint}"))
    }

    /// The nearest of `n_known` names, as long as looking for them does not take too long.
    fn nearest<'n>(
        &self,
        name: &str,
        n_known: usize,
        known: impl Iterator<Item = &'n str>,
    ) -> Option<&'n str> {
        let left = self.comparisons_left.get().checked_sub(n_known)?;
        work::add(n_known);
        self.comparisons_left.set(left);
        nearest(name, known)
    }

    fn undefined(&self, name: &str) -> String {
        let near =
            self.nearest(name, self.entries.len(), self.entries.iter().map(|entry| split_key(&entry.key).0));
        match (near, self.files.as_slice()) {
            (Some(near), _) => format!("undefined variable `${name}`; did you mean `${near}`?"),
            (None, []) => {
                format!("undefined variable `${name}`; no file of variables is given (`{CONFIG_VARS}`)")
            }
            (None, files) => {
                let files: Vec<_> = files.iter().map(|file| format!("`{file}`")).collect();
                format!("undefined variable `${name}`; it is not in {}", files.join(" or "))
            }
        }
    }
}

/// Whether something else in the tree is an alias of this value, or merges it. Holds only as long as nothing but the
/// tree holds its values.
fn is_shared(value: &Arc<Node>) -> bool {
    let is_aliased = |node: &Arc<Node>| 1 < Arc::strong_count(node);
    is_aliased(value) || value.entries().iter().any(|entry| is_aliased(&entry.value))
}

/// A key with its `#env`, `#file` and `#fallback` siblings.
struct Group<'a> {
    key: &'a str,
    value: Option<&'a Entry>,
    env: Option<&'a Entry>,
    file: Option<&'a Entry>,
    fallback: Option<&'a Entry>,
}

impl<'a> Group<'a> {
    /// What stands for the group in messages.
    fn first(&self) -> Option<&'a Entry> {
        self.value.or(self.env).or(self.file).or(self.fallback)
    }

    fn lone_fallback(&self, path: &str) -> Option<Problem> {
        let (Some(fallback), None, None, None) = (self.fallback, self.value, self.env, self.file) else {
            return None;
        };
        let key = self.key;
        let message = format!(
            "`{key}#fallback` stands alone and would never apply; write `{key}: ...`, or add `{key}: $variable`, \
             `{key}#env` or `{key}#file`"
        );
        Some(Problem::at(Some(fallback.key_place.clone()), path, message))
    }
}

/// The keys of a map, each with its siblings, in document order.
fn groups(entries: &[Entry]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for entry in entries {
        let (key, suffix) = split_key(&entry.key);
        let idx = *places.entry(key).or_insert(groups.len());
        if idx == groups.len() {
            groups.push(Group { key, value: None, env: None, file: None, fallback: None });
        }
        let group = &mut groups[idx];
        match suffix {
            Suffix::None => group.value = Some(entry),
            Suffix::Env => group.env = Some(entry),
            Suffix::File => group.file = Some(entry),
            Suffix::Fallback => group.fallback = Some(entry),
        }
    }
    groups
}

#[derive(Clone, Copy)]
enum Suffix {
    None,
    Env,
    File,
    Fallback,
}

fn split_key(key: &str) -> (&str, Suffix) {
    let suffixes = [("#env", Suffix::Env), ("#file", Suffix::File), ("#fallback", Suffix::Fallback)];
    suffixes
        .into_iter()
        .find_map(|(suffix, meaning)| key.strip_suffix(suffix).map(|key| (key, meaning)))
        .unwrap_or((key, Suffix::None))
}

/// What looking for a value came to.
enum Found {
    Value(Arc<Node>),
    /// Nothing there; what was looked for, as the reader is told.
    Nothing(Vec<String>),
    /// There is something, but it is wrong and has been reported.
    Broken,
}

/// The place in the main file that asks for a value.
#[derive(Clone, Copy)]
struct Use<'a> {
    path: &'a str,
    place: Option<&'a Place>,
    variable: Option<&'a str>,
}

impl Use<'_> {
    fn problem(&self, message: String) -> Problem {
        Problem::at(self.place.cloned(), self.path, message)
    }

    /// The value found, marked with where it came from.
    fn originating(&self, node: &Node, from: From) -> Arc<Node> {
        let variable = self.variable.map(str::to_owned);
        let origin = Origin { used_at: self.place.cloned(), variable, from };
        Arc::new(Node { origin: Some(Arc::new(origin)), ..node.clone() })
    }
}

struct Substitution<'a> {
    vars: &'a Vars,
    surroundings: &'a dyn Surroundings,
    /// Nodes so far, with everything substituted.
    size: usize,
    problems: Problems,
}

impl Substitution<'_> {
    fn node(&mut self, node: &Arc<Node>, path: &str) -> Arc<Node> {
        work::add(1 + path.len());
        let kind = match &node.kind {
            Kind::Map(entries) => Kind::Map(self.map(entries, path)),
            Kind::List(items) => {
                let items = items.iter().enumerate();
                Kind::List(items.map(|(idx, item)| self.node(item, &format!("{path}[{idx}]"))).collect())
            }
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::String(_) => {
                let Some(name) = variable_name(node) else { return self.spend(Arc::clone(node), node) };
                let asked = Use { path, place: node.place.as_ref(), variable: Some(name) };
                match self.variable(name, asked) {
                    Found::Value(value) => return self.spend(value, node),
                    Found::Nothing(what) => self.problems.push(asked.problem(what.join(" and "))),
                    Found::Broken => {}
                }
                return Arc::new(Node::broken(node.place.clone()));
            }
        };
        Arc::new(Node::new(kind, node.place.clone()))
    }

    fn map(&mut self, entries: &[Entry], path: &str) -> Vec<Entry> {
        let mut result = Vec::with_capacity(entries.len());
        for group in groups(entries) {
            let Some(first) = group.first() else { continue };
            if path.is_empty() && group.key == CONFIG_VARS {
                self.refuse_siblings(&group);
                continue;
            }
            let value = self.group(&group, first, &join(path, group.key));
            result.push(Entry { key: group.key.to_owned(), key_place: first.key_place.clone(), value });
        }
        result
    }

    /// `config_vars` names the variables, so it is read before anything is substituted.
    fn refuse_siblings(&mut self, group: &Group<'_>) {
        for entry in [group.env, group.file, group.fallback].into_iter().flatten() {
            let message = format!(
                "`{}` is not possible: `{CONFIG_VARS}` is read as it stands; use `--config_vars`",
                entry.key
            );
            self.problems.push(Problem::at(Some(entry.key_place.clone()), "", message));
        }
    }

    fn group(&mut self, group: &Group<'_>, first: &Entry, path: &str) -> Arc<Node> {
        let mut asked = Use { path, place: first.value.place.as_ref(), variable: None };
        let mut missing = Vec::new();
        if let Some(entry) = group.value {
            let Some(name) = variable_name(&entry.value) else { return self.node(&entry.value, path) };
            asked.variable = Some(name);
            match self.variable(name, asked) {
                Found::Value(value) => return self.spend(value, &entry.value),
                Found::Nothing(what) => missing = what,
                Found::Broken => return nothing(),
            }
            asked.variable = None;
        }
        if let Some(problem) = group.lone_fallback(path) {
            self.problems.push(problem);
            return nothing();
        }
        match self.outside(group.env, group.file, asked) {
            Found::Value(value) => return self.spend(value, &first.value),
            Found::Nothing(what) => missing.extend(what),
            Found::Broken => return nothing(),
        }
        if let Some(fallback) = group.fallback {
            return self.node(&fallback.value, path).as_fallback();
        }
        let hint = match group.value {
            Some(_) => String::new(),
            None => format!("; set it or add `{}#fallback`", group.key),
        };
        self.problems.push(asked.problem(format!("{}{hint}", missing.join(" and "))));
        nothing()
    }

    fn variable(&mut self, name: &str, asked: Use<'_>) -> Found {
        let vars = self.vars;
        let group = vars.group(name);
        if let Some(entry) = group.value {
            return Found::Value(asked.originating(&entry.value, From::Vars));
        }
        if group.env.is_none() && group.file.is_none() {
            return if vars.incomplete { Found::Broken } else { Found::Nothing(vec![vars.undefined(name)]) };
        }
        match (self.outside(group.env, group.file, asked), group.fallback) {
            (Found::Nothing(_), Some(fallback)) => {
                Found::Value(asked.originating(&fallback.value, From::Vars).as_fallback())
            }
            (Found::Nothing(what), None) => {
                Found::Nothing(vec![format!("undefined variable `${name}`: {}", what.join(" and "))])
            }
            (found @ (Found::Value(_) | Found::Broken), _) => found,
        }
    }

    /// The value of an environment variable, then of a file.
    fn outside(&mut self, env: Option<&Entry>, file: Option<&Entry>, asked: Use<'_>) -> Found {
        let mut missing = Vec::new();
        if let Some(entry) = env {
            let Kind::String(name) = &entry.value.kind else {
                return self.refuse_name(entry, "the name of an environment variable", asked);
            };
            let source = format!("environment variable `{name}`");
            match self.surroundings.env_var(name) {
                Ok(Some(text)) => {
                    return self.text(Source::new(source, text), From::Env(name.clone()), asked);
                }
                Ok(None) => missing.push(format!("{source} is not set")),
                Err(error) => {
                    self.problems.push(asked.problem(format!("cannot read {source}: {}", reason(&error))));
                    return Found::Broken;
                }
            }
        }
        if let Some(entry) = file {
            let Kind::String(path) = &entry.value.kind else {
                return self.refuse_name(entry, "the path of a file", asked);
            };
            match self.surroundings.read_file(path) {
                Ok(text) => return self.text(Source::new(path, text), From::File, asked),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    missing.push(format!("file `{path}` does not exist"));
                }
                Err(error) => {
                    self.problems
                        .push(asked.problem(format!("cannot read file `{path}`: {}", reason(&error))));
                    return Found::Broken;
                }
            }
        }
        Found::Nothing(missing)
    }

    fn refuse_name(&mut self, entry: &Entry, expected: &str, asked: Use<'_>) -> Found {
        let place = entry.value.place.clone();
        self.problems.push(Problem::at(
            place,
            asked.path,
            format!("expected {expected} after `{}`", entry.key),
        ));
        Found::Broken
    }

    /// A text from outside read as YAML; what is wrong with it is reported where it is used.
    fn text(&mut self, source: Source, from: From, asked: Use<'_>) -> Found {
        let mut problems = Problems::new();
        let node = parse_node(&source, &mut problems);
        for problem in &problems {
            let (line, column) = (problem.line().unwrap_or(1), problem.column().unwrap_or(1));
            let message = format!("{}:{line}:{column}: not valid YAML: {}", source.name(), problem.message());
            self.problems.push(asked.problem(message));
        }
        if problems.is_empty() { Found::Value(asked.originating(&node, from)) } else { Found::Broken }
    }

    /// Counts a finished value and refuses it once there are too many. `asking` is what stands in the main file.
    fn spend(&mut self, value: Arc<Node>, asking: &Node) -> Arc<Node> {
        let before = self.size;
        self.size = self.size.saturating_add(value.size);
        if self.size <= NODES_MAX {
            return value;
        }
        if before <= NODES_MAX {
            let message = format!("more than {NODES_MAX} values with all variables substituted");
            self.problems.push(Problem::at(asking.place.clone(), "", message));
        }
        nothing()
    }
}

/// What `$name` names.
fn variable_name(node: &Node) -> Option<&str> {
    if let Kind::String(text) = &node.kind { text.strip_prefix('$') } else { None }
}

/// Stands where a problem has been reported.
fn nothing() -> Arc<Node> {
    Arc::new(Node::broken(None))
}

/// An I/O error in words an operator reads, without the operating system's numbers.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        _ => error.to_string(),
    }
}
