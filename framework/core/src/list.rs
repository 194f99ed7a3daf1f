//! Which components a binary knows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::dynamic::Variables;
use crate::erased::{ComponentType, TypeOf};
use crate::{Component, ConfigMode, LoggingComponent};

/// The components that a binary can load, by name; the configuration says which of them it does.
///
/// Order has no meaning. Lists merge, and one type may be registered under several names:
///
/// ```
/// # use mainspring_core::{Component, ComponentContext, ComponentList, LoadError, NoConfig};
/// # struct Cache;
/// # impl Component for Cache {
/// #     const DEFAULT_NAME: &'static str = "cache";
/// #     type Config = NoConfig;
/// #     async fn load(_: NoConfig, _: &ComponentContext) -> Result<Self, LoadError> { Ok(Self) }
/// # }
/// let caches = ComponentList::new().append::<Cache>("users-cache").append::<Cache>("prices-cache");
/// let list = ComponentList::minimal().append_default::<Cache>().append_list(caches);
/// assert!(list.names().eq(["cache", "logging", "prices-cache", "users-cache"]));
/// ```
#[derive(Clone, Default)]
pub struct ComponentList {
    pub(crate) registrations: BTreeMap<String, Arc<dyn ComponentType>>,
    pub(crate) registered_twice: Vec<String>,
}

impl ComponentList {
    /// A list of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What every service needs: `logging`.
    #[must_use]
    pub fn minimal() -> Self {
        Self::new().append_default::<LoggingComponent>()
    }

    /// Adds `C` under `name`. A name registered twice is reported when the service is checked.
    #[must_use]
    pub fn append<C: Component>(mut self, name: impl Into<String>) -> Self {
        self.insert(name.into(), Arc::new(TypeOf::<C>::new()));
        self
    }

    /// Adds `C` under [`Component::DEFAULT_NAME`].
    #[must_use]
    pub fn append_default<C: Component>(self) -> Self {
        self.append::<C>(C::DEFAULT_NAME)
    }

    /// Adds all of `other`.
    #[must_use]
    pub fn append_list(mut self, other: Self) -> Self {
        self.registered_twice.extend(other.registered_twice);
        for (name, registration) in other.registrations {
            self.insert(name, registration);
        }
        self
    }

    /// The registered names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.registrations.keys().map(String::as_str)
    }

    /// The JSON Schema (2020-12) of each component's section, by component name.
    pub fn config_schemas(&self) -> impl Iterator<Item = (&str, serde_json::Value)> {
        self.registrations.iter().map(|(name, registration)| (name.as_str(), registration.config_schema()))
    }

    /// The JSON Schema (2020-12) of each component's section as it is written, by component name: a document of its own,
    /// which accepts `$variables`, `key#env`, `key#file` and `key#fallback`.
    pub fn section_schemas(&self) -> impl Iterator<Item = (&str, serde_json::Value)> {
        self.config_schemas().map(|(name, schema)| (name, crate::plan::section_schema(name, schema)))
    }

    /// The JSON Schema (2020-12) of the whole configuration file of a binary with these components, as it is written:
    /// it accepts `$variables`, `key#env`, `key#file` and `key#fallback`.
    #[must_use]
    pub fn service_schema(&self) -> serde_json::Value {
        crate::plan::service_schema(self)
    }

    /// The variables of the dynamic configuration that these components read.
    #[must_use]
    pub fn dynamic_variables(&self) -> Variables {
        let mut variables = Variables::default();
        for registration in self.registrations.values() {
            registration.dynamic_variables().into_iter().for_each(|variable| variables.add(variable));
        }
        variables
    }

    /// A configuration that [`Service::new`](crate::Service::new) has nothing against, with everything that may be left
    /// out, as YAML that loads again; see [`mainspring_config::effective_yaml`].
    ///
    /// What a section without a default in its schema leaves out is not shown. A section that says
    /// `load-enabled: false` is shown as it stands.
    #[must_use]
    pub fn effective_config(&self, root: &mainspring_config::Section) -> String {
        crate::plan::effective_config(self, root)
    }

    /// What [`Component::built_with`] says, each line once, sorted.
    #[must_use]
    pub fn built_with(&self) -> BTreeSet<String> {
        self.registrations.values().filter_map(|registration| registration.built_with()).collect()
    }

    fn insert(&mut self, name: String, registration: Arc<dyn ComponentType>) {
        if self.registrations.insert(name.clone(), registration).is_some() {
            self.registered_twice.push(name);
        }
    }
}

impl fmt::Debug for ComponentList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.registrations.iter().map(|(name, registration)| {
            let required = registration.config_mode() == ConfigMode::Required;
            (name, (registration.type_name(), if required { "required" } else { "not required" }))
        });
        f.debug_map().entries(entries).finish()
    }
}
