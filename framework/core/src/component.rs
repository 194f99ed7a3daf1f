//! The trait that every part of a service implements.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mainspring_config::Violation;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::dynamic::{AnyVariable, Variables};
use crate::{ComponentContext, Dependencies, Health, LoadError};

/// A part of a service: built from its section of the configuration, found by others under its name.
///
/// In the order in which they are called:
///
/// | step | when | what belongs there |
/// |---|---|---|
/// | [`validate`](Self::validate) | before anything starts | rules across keys |
/// | [`load`](Self::load) | all components at once, each awaiting those it finds | building it; no traffic yet |
/// | [`on_all_components_loaded`](Self::on_all_components_loaded) | in dependency order | opening the doors |
/// | [`health`](Self::health) | at any time while it runs | the truth |
/// | [`on_all_components_are_stopping`](Self::on_all_components_are_stopping) | in reverse order | closing the doors |
/// | [`stop`](Self::stop) | in reverse order, after every such hook | finishing what was begun |
///
/// ```
/// use mainspring_core::{Component, ComponentContext, LoadError, NoConfig};
///
/// struct Greeter;
///
/// impl Component for Greeter {
///     const DEFAULT_NAME: &'static str = "greeter";
///     type Config = NoConfig;
///
///     async fn load(_config: NoConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
///         tracing::info!(component = cx.name(), "Hello");
///         Ok(Self)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a component",
    note = "implement `Component` for it: `DEFAULT_NAME`, `type Config` and `async fn load`"
)]
pub trait Component: Sized + Send + Sync + 'static {
    /// The name under which `append_default` registers it and `find_default` looks it up.
    const DEFAULT_NAME: &'static str;

    /// Whether its section may be missing from the configuration.
    const CONFIG_MODE: ConfigMode = ConfigMode::Required;

    /// What its section is read into. Its JSON Schema finds every problem of a section at once, and unknown keys
    /// are refused; see [`NoConfig`] for none.
    type Config: DeserializeOwned + JsonSchema + Send + 'static;

    /// The variables of the dynamic configuration that it reads; see [`dynamic`](crate::dynamic). A variable that no
    /// component names cannot be given a value.
    #[must_use]
    fn dynamic_variables() -> Vec<&'static dyn AnyVariable> {
        Vec::new()
    }

    /// Rules across keys that a schema cannot express; nothing has been started yet.
    ///
    /// Each [`Violation`] is reported with the position of the key that it names. Also called for a section with values
    /// out of the bounds of its schema, so that all problems are told at once: do not rely on those.
    fn validate(config: &Self::Config, service: &ServiceOutline) -> Vec<Violation> {
        let _ = (config, service);
        Vec::new()
    }

    /// The components that its load will look for with this configuration.
    ///
    /// [`ComponentContext::find`] is what counts; this tells of it before anything loads, for
    /// `--print-component-graph`. A lookup that a complete answer leaves out is warned about when it happens.
    fn dependencies(config: &Self::Config, service: &ServiceOutline) -> Dependencies {
        let _ = (config, service);
        Dependencies::unknown()
    }

    /// What it was built with that the report of an error should name, such as a C library and its version; one line,
    /// which `--version` prints once however many components say it.
    fn built_with() -> Option<String> {
        None
    }

    /// Builds the component.
    ///
    /// Runs on the default task processor, at the same time as the loads of all others;
    /// [`ComponentContext::find`] awaits what it depends on.
    ///
    /// # Errors
    /// Whatever keeps it from working; the service then does not start.
    ///
    /// # Cancel safety
    /// When another component fails, this future is dropped at its next suspension point. What it has acquired
    /// must be released by `Drop`.
    fn load(
        config: Self::Config,
        cx: &ComponentContext,
    ) -> impl Future<Output = Result<Self, LoadError>> + Send;

    /// Whether [`Component::check_connection`] has anything to ask.
    const CHECKS_CONNECTION: bool = false;

    /// Asks what the component connects to whether it answers, for `--check-config=connect`; called instead of
    /// [`Component::load`], in a service that has nothing but what [`Component::dependencies`] names.
    ///
    /// It must leave no trace where it asks, and give up within seconds. Each [`Violation`] is reported with the position
    /// of the key that it names.
    ///
    /// # Errors
    /// Whatever keeps it from asking.
    ///
    /// # Cancel safety
    /// As for [`Component::load`].
    fn check_connection(
        config: Self::Config,
        cx: &ComponentContext,
    ) -> impl Future<Output = Result<Vec<Violation>, LoadError>> + Send {
        let _ = (config, cx);
        async { Ok(Vec::new()) }
    }

    /// Called once every component is loaded and the hooks of those it depends on have returned. Bounded by
    /// `load_timeout`, like the loads before it.
    ///
    /// # Errors
    /// As for [`Component::load`].
    fn on_all_components_loaded(&self) -> impl Future<Output = Result<(), LoadError>> + Send {
        async { Ok(()) }
    }

    /// Called when the service begins to stop, before any component is stopped; those that depend on it have
    /// returned from theirs. Called exactly when [`Component::on_all_components_loaded`] was, also when that hook or
    /// another one failed. Bounded by `component_stop_timeout`.
    fn on_all_components_are_stopping(&self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Ends its work; those that depend on it are stopped already. Bounded by `component_stop_timeout`. Then, whatever
    /// became of it, the component is dropped on a thread that may block, within the same bound. Also called, without
    /// the hooks, for what was loaded when another load failed.
    fn stop(&self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Whether it stops only once every other component has: for what shows how the service is, until the end.
    ///
    /// Counts when everything that it depends on says so too, because a component is never stopped after those.
    fn stops_last(&self) -> bool {
        false
    }

    /// How it is; called by probes, so it must neither block nor be costly.
    fn health(&self) -> Health {
        Health::Ok
    }
}

/// Whether a registered component must be declared in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigMode {
    /// It must; a missing section is an error.
    Required,
    /// It need not; without a section it loads from an empty one.
    NotRequired,
}

/// The configuration of a component that has no keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct NoConfig {}

/// What is known of a service before it starts, for rules that look beyond one section.
#[derive(Debug, Clone, Default)]
pub struct ServiceOutline {
    /// `None` when the map of them is broken, so that nothing can be said of a name.
    pub(crate) task_processors: Option<BTreeSet<String>>,
    /// The components that will be loaded, each with the keys that its section gives a value.
    pub(crate) components: BTreeMap<String, BTreeSet<String>>,
    pub(crate) variables: Variables,
    inquiry: Arc<Mutex<Inquiry>>,
}

/// The component whose rules are being looked at.
#[derive(Debug, Default)]
struct Inquiry {
    is_declared: bool,
    /// Components that it asked for, and that are there.
    found: BTreeSet<String>,
}

impl ServiceOutline {
    /// An outline made by hand, for tests of [`Component::validate`].
    pub fn new<T: Into<String>, C: Into<String>>(
        task_processors: impl IntoIterator<Item = T>,
        components: impl IntoIterator<Item = C>,
    ) -> Self {
        let components = components.into_iter().map(|name| (name.into(), BTreeSet::new())).collect();
        Self::of_plan(Some(task_processors.into_iter().map(Into::into).collect()), components)
    }

    /// The same with these keys in the section of `component`.
    #[must_use]
    pub fn with_keys<'k>(mut self, component: &str, keys: impl IntoIterator<Item = &'k str>) -> Self {
        let known = self.components.entry(component.to_owned()).or_default();
        known.extend(keys.into_iter().map(str::to_owned));
        self
    }

    /// The same with these variables of the dynamic configuration.
    #[must_use]
    pub fn with_dynamic_variables(self, variables: Variables) -> Self {
        Self { variables, ..self }
    }

    /// The variables of the dynamic configuration that the binary knows.
    #[must_use]
    pub fn dynamic_variables(&self) -> &Variables {
        &self.variables
    }

    pub(crate) fn of_plan(
        task_processors: Option<BTreeSet<String>>,
        components: BTreeMap<String, BTreeSet<String>>,
    ) -> Self {
        Self { task_processors, components, ..Self::default() }
    }

    /// Whether a component called `name` will be loaded.
    #[must_use]
    pub fn has_component(&self, name: &str) -> bool {
        self.components.contains_key(name)
    }

    /// Whether a component called `name` will be loaded whose section gives `key` a value, be it a wrong one.
    #[must_use]
    pub fn has_key(&self, name: &str, key: &str) -> bool {
        self.components.get(name).is_some_and(|keys| keys.contains(key))
    }

    /// Whether the configuration has a section, be it an empty one, for the component that is being validated; as
    /// [`ComponentContext::is_declared`].
    #[must_use]
    pub fn is_declared(&self) -> bool {
        self.inquiry().is_declared
    }

    /// From here on the rules of another component are looked at.
    pub(crate) fn begin(&self, is_declared: bool) {
        *self.inquiry() = Inquiry { is_declared, ..Inquiry::default() };
    }

    /// The components that [`check_component`](Self::check_component) has found since [`begin`](Self::begin).
    pub(crate) fn found(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.inquiry().found)
    }

    fn inquiry(&self) -> MutexGuard<'_, Inquiry> {
        self.inquiry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Complains, at `key`, when no task processor is called `name`.
    #[must_use]
    pub fn check_task_processor(&self, key: &str, name: &str) -> Option<Violation> {
        let known = self.task_processors.as_ref()?;
        (!known.contains(name)).then(|| unknown("task processor", key, name, known))
    }

    /// Complains, at `key`, when no component called `name` will be loaded.
    #[must_use]
    pub fn check_component(&self, key: &str, name: &str) -> Option<Violation> {
        if !self.has_component(name) {
            return Some(unknown("component", key, name, self.components.keys()));
        }
        self.inquiry().found.insert(name.to_owned());
        None
    }
}

fn unknown<'k>(
    what: &str,
    key: &str,
    name: &str,
    known: impl IntoIterator<Item = &'k String> + Clone,
) -> Violation {
    let hint = match mainspring_config::nearest(name, known.clone().into_iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("declared: {}", quoted_list(known)),
    };
    Violation::new(key, format!("unknown {what} `{name}`; {hint}"))
}

/// `` `a`, `b` `` or `none`.
pub(crate) fn quoted_list<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let names: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
