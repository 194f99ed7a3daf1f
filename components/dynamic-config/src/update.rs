//! What a configuration service says, and what becomes of earlier values.

use std::collections::BTreeSet;

use mainspring_config::{Problems, Section, Source};
use serde_json::{Map, Value};

/// Values by name of the variable.
pub(crate) type Values = Map<String, Value>;

/// New values for some or all variables.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Update {
    /// These are all there are: a variable that is not among them has its default.
    Full(Map<String, Value>),
    /// These have changed; all others stay.
    Incremental {
        /// Values by name of the variable.
        changed: Map<String, Value>,
        /// Variables that have their default again.
        removed: Vec<String>,
    },
}

impl Update {
    /// The values after this, of the variables called `known` only: a service may be told of others' variables too.
    pub(crate) fn apply_to(self, earlier: &Values, known: &BTreeSet<&str>) -> Values {
        let mut values = match self {
            Self::Full(values) => values,
            Self::Incremental { changed, removed } => {
                let mut values = earlier.clone();
                values.extend(changed);
                values.retain(|name, _| !removed.contains(name));
                values
            }
        };
        values.retain(|name, _| known.contains(name.as_str()));
        values
    }
}

/// Values as the checks take them; `origin` is what problems call the text.
pub(crate) fn layer(origin: &str, values: &Values) -> Result<Section, Problems> {
    mainspring_config::parse(&Source::new(origin, format!("{:#}", Value::Object(values.clone()))))
}
