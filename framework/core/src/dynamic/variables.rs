//! The variables that a binary knows.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use mainspring_config::{Problems, Section, Source, Violation};
use serde_json::{Map, Value};

use crate::component::quoted_list;
use crate::dynamic::AnyVariable;
use crate::dynamic::snapshot::Values;

/// A set of variables, by name.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    by_name: BTreeMap<&'static str, &'static dyn AnyVariable>,
    /// Names that two different variables have.
    contradictory: Vec<&'static str>,
}

impl Variables {
    /// The set of these.
    #[must_use]
    pub fn of(variables: &[&'static dyn AnyVariable]) -> Self {
        let mut set = Self::default();
        variables.iter().for_each(|variable| set.add(*variable));
        set
    }

    /// Adds a variable. Declaring the same one twice is fine; see [`Variables::contradictory`] for two of one name.
    pub(crate) fn add(&mut self, variable: &'static dyn AnyVariable) {
        match self.by_name.entry(variable.name()) {
            Entry::Vacant(vacant) => {
                vacant.insert(variable);
            }
            Entry::Occupied(known) => {
                let is_same = known.get().value_type() == variable.value_type()
                    && known.get().default_json() == variable.default_json();
                if !is_same {
                    self.contradictory.push(variable.name());
                }
            }
        }
    }

    /// Names that two variables of different types or defaults have: a bug in the code.
    pub(crate) fn contradictory(&self) -> &[&'static str] {
        &self.contradictory
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.by_name.keys().copied()
    }

    /// The compiled-in values, by name.
    #[must_use]
    pub fn defaults(&self) -> Map<String, Value> {
        self.by_name.iter().map(|(name, variable)| ((*name).to_owned(), variable.default_json())).collect()
    }

    /// Everything wrong with values given by name, names that no variable has included.
    #[must_use]
    pub fn check(&self, layer: &Section) -> Problems {
        let mut problems = Problems::new();
        if !layer.is_map() && !layer.is_null() {
            problems.push(layer.problem("", "expected a map of variables by name"));
        }
        for (name, section) in layer.entries() {
            match self.by_name.get(name.as_str()) {
                Some(variable) => problems.extend(variable.read(&section).err().into_iter().flatten()),
                None => problems.push(section.key_problem(self.unknown(&name))),
            }
        }
        problems
    }

    /// As [`Variables::check`], for values that stand at `key` of a component's section.
    #[must_use]
    pub fn violations(&self, key: &str, values: &Map<String, Value>) -> Vec<Violation> {
        let text = Value::Object(values.clone()).to_string();
        let problems = match mainspring_config::parse(&Source::new(key, text)) {
            Ok(layer) => self.check(&layer),
            Err(problems) => problems,
        };
        let violation = |problem: &mainspring_config::Problem| {
            let path =
                if problem.path().is_empty() { key.to_owned() } else { format!("{key}.{}", problem.path()) };
            Violation::new(path, problem.message())
        };
        problems.iter().map(violation).collect()
    }

    /// Every variable's value: that of the last layer that has one. Names that no variable has are passed over.
    pub(super) fn read(&self, layers: &[&Section]) -> Result<Values, Problems> {
        let mut values = Values::new();
        let mut problems = Problems::new();
        for (name, variable) in &self.by_name {
            let Some(section) = layers.iter().rev().find_map(|layer| layer.get(name)) else { continue };
            match variable.read(&section) {
                Ok(held) => {
                    values.insert(*name, held);
                }
                Err(more) => problems.extend(more),
            }
        }
        problems.into_result()?;
        Ok(values)
    }

    /// The names whose values differ.
    pub(super) fn changed(&self, old: &Values, new: &Values) -> Vec<&'static str> {
        let json = |values: &Values, name: &str, variable: &dyn AnyVariable| {
            values.get(name).map_or_else(|| variable.default_json(), |held| held.json.clone())
        };
        let differs = |(name, variable): &(&&'static str, &&'static dyn AnyVariable)| {
            json(old, name, **variable) != json(new, name, **variable)
        };
        self.by_name.iter().filter(differs).map(|(name, _)| *name).collect()
    }

    fn unknown(&self, name: &str) -> String {
        match mainspring_config::nearest(name, self.names()) {
            Some(near) => format!("unknown variable `{name}`; did you mean `{near}`?"),
            None => {
                let known: Vec<_> = self.names().map(str::to_owned).collect();
                format!("unknown variable `{name}`; known: {}", quoted_list(&known))
            }
        }
    }
}
