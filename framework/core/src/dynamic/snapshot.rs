//! The values of one moment, and how those of two moments differ.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::dynamic::variable::Held;
use crate::dynamic::{AnyVariable, Value, Variable};

/// Values by name; a variable that is not there has its default.
pub(super) type Values = BTreeMap<&'static str, Held>;

/// The values of all variables at one moment. They do not change under its holder; take a new one per operation.
#[derive(Clone)]
pub struct Snapshot {
    pub(super) values: Arc<Values>,
}

impl Snapshot {
    /// The value of a variable. One that no component declares has its default: nothing else can be said of it.
    #[must_use]
    pub fn get<T: Value>(&self, variable: &'static Variable<T>) -> &T {
        let held = self.values.get(variable.name());
        held.and_then(|held| held.value.downcast_ref()).unwrap_or_else(|| variable.default())
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("set", &self.values.keys()).finish_non_exhaustive()
    }
}

/// What a subscriber is told: the values before and after.
#[derive(Debug)]
pub struct Diff<'a> {
    previous: Option<&'a Snapshot>,
    current: &'a Snapshot,
    changed: &'a [&'static str],
}

impl<'a> Diff<'a> {
    pub(super) fn new(
        previous: Option<&'a Snapshot>,
        current: &'a Snapshot,
        changed: &'a [&'static str],
    ) -> Self {
        Self { previous, current, changed }
    }

    /// The values before; `None` when the subscription begins.
    #[must_use]
    pub fn previous(&self) -> Option<&'a Snapshot> {
        self.previous
    }

    /// The values now.
    #[must_use]
    pub fn current(&self) -> &'a Snapshot {
        self.current
    }

    /// Whether a variable has another value than before; always when the subscription begins.
    #[must_use]
    pub fn has_changed(&self, variable: &dyn AnyVariable) -> bool {
        self.previous.is_none() || self.changed.contains(&variable.name())
    }
}
