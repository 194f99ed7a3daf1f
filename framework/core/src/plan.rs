//! The configuration of a whole service, checked before anything starts.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::time::Duration;

use mainspring_config::{HumanDuration, Problems, Section, Violation};
use mainspring_engine::TaskProcessorSpec;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::component::quoted_list;
use crate::dynamic::Variables;
use crate::erased::Prepared;
use crate::registry::Identity;
use crate::{ComponentList, ConfigMode, ServiceOutline};

/// The key, accepted in every section, that switches a component off.
const LOAD_ENABLED: &str = "load-enabled";

/// Section `components_manager`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ManagerConfig {
    /// The components, by name. A section may be empty.
    // Names only: sections may hold secrets, and `Debug` would show them.
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    #[serde(deserialize_with = "names")]
    pub components: BTreeSet<String>,
    /// The task processors, by name.
    pub task_processors: BTreeMap<String, TaskProcessorConfig>,
    /// The task processor that components load on, and that runs what names no other.
    pub default_task_processor: String,
    /// How long the service goes on working, but not ready, after it was told to stop, so that load balancers
    /// notice. Duration such as `10s`; default `0s`.
    #[serde(default)]
    pub graceful_shutdown_interval: HumanDuration,
    /// Longest time that each step of one component's stop may take; what it has not finished by then is named
    /// in the report. Duration of at least `1ms`; default `30s`.
    #[serde(default = "ManagerConfig::default_component_stop_timeout")]
    #[schemars(extend("formatMinimum" = "1ms"))]
    pub component_stop_timeout: HumanDuration,
    /// Longest time for all steps of the stop together, after `graceful_shutdown_interval`; what is left of them is
    /// cut then and named in the report. Keep both together ten seconds below the time after which the process is
    /// killed: threads that block and the last lines of the log may take those. A stop in the middle of the start may
    /// take `component_stop_timeout` more. Duration of at least `1ms`; default `2m`.
    #[serde(default = "ManagerConfig::default_shutdown_timeout")]
    #[schemars(extend("formatMinimum" = "1ms"))]
    pub shutdown_timeout: HumanDuration,
    /// Longest time for all components to load. Duration of at least `1ms`; default `10m`.
    #[serde(default = "ManagerConfig::default_load_timeout")]
    #[schemars(extend("formatMinimum" = "1ms"))]
    pub load_timeout: HumanDuration,
    /// How often the components that are still loading are named in the log, with what they wait for. Duration of
    /// at least `1ms`; default `10s`.
    #[serde(default = "ManagerConfig::default_load_report_interval")]
    #[schemars(extend("formatMinimum" = "1ms"))]
    pub load_report_interval: HumanDuration,
}

/// One entry of `task_processors`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TaskProcessorConfig {
    /// Number of threads, from 1 to 1024. Blocking calls get threads of their own beside these.
    #[schemars(range(min = 1, max = 1024))]
    pub worker_threads: NonZeroUsize,
    /// Name of the threads as the system shows it, at most 15 characters; default `<x>-worker` for
    /// `<x>-task-processor`.
    pub thread_name: Option<String>,
}

impl ManagerConfig {
    fn default_component_stop_timeout() -> HumanDuration {
        Duration::from_secs(30).into()
    }

    fn default_shutdown_timeout() -> HumanDuration {
        Duration::from_secs(2 * 60).into()
    }

    fn default_load_timeout() -> HumanDuration {
        Duration::from_secs(10 * 60).into()
    }

    fn default_load_report_interval() -> HumanDuration {
        Duration::from_secs(10).into()
    }
}

fn names<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<String>, D::Error> {
    let sections = BTreeMap::<String, serde::de::IgnoredAny>::deserialize(deserializer)?;
    Ok(sections.into_keys().collect())
}

/// A service that is known to be configured right.
pub(crate) struct Plan {
    pub(crate) manager: ManagerConfig,
    pub(crate) components: Vec<(Identity, Prepared)>,
    /// Names that have a section, be it an empty one.
    pub(crate) declared: BTreeSet<String>,
    /// Names whose section says `load-enabled: false`.
    pub(crate) disabled: BTreeSet<String>,
    /// Path and place of each value that is a `#fallback`.
    pub(crate) fallbacks: Vec<(String, Option<String>)>,
    pub(crate) variables: Variables,
    /// What is worth a warning although nothing is wrong.
    pub(crate) warnings: Problems,
}

impl Plan {
    /// Checks everything and reports every problem found.
    pub(crate) fn check(list: &ComponentList, root: &Section) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        if root.is_broken() {
            return Err(problems);
        }
        for name in &list.registered_twice {
            problems.push(root.problem("", format!("component `{name}` is registered twice in code")));
        }
        let variables = list.dynamic_variables();
        for name in variables.contradictory() {
            let message =
                format!("dynamic variable `{name}` is declared in code with two types or two defaults");
            problems.push(root.problem("", message));
        }
        check_root_keys(root, &mut problems);
        let Some(manager_section) = root.get("components_manager") else {
            problems.push(
                root.problem("", "missing key `components_manager`, the mapping that declares a service"),
            );
            return Err(problems);
        };
        let manager_section = manager_section.with_path("");
        let manager = manager_section.read::<ManagerConfig>();
        check_manager(&manager_section, &mut problems);
        let (components, declared, disabled) = match sections(&manager_section) {
            Some(sections) => {
                let disabled = disabled(&sections, &mut problems);
                let outline = outline(list, &manager_section, &sections, &disabled);
                let outline = outline.with_dynamic_variables(variables.clone());
                let components =
                    prepare(list, &manager_section, &sections, &outline, &disabled, &mut problems);
                (components, sections.into_keys().collect(), disabled)
            }
            // Said by the typed read; whatever one could say of the components would follow from it.
            None => Default::default(),
        };
        match manager {
            Ok(manager) => {
                problems.into_result()?;
                let fallbacks = root.fallbacks();
                let fallbacks =
                    fallbacks.iter().map(|section| (section.path().to_owned(), section.place())).collect();
                let warnings = root.warnings();
                Ok(Self { manager, components, declared, disabled, fallbacks, variables, warnings })
            }
            Err(more) => {
                problems.extend(more);
                Err(problems)
            }
        }
    }

    pub(crate) fn task_processors(&self) -> impl Iterator<Item = TaskProcessorSpec> {
        self.manager.task_processors.iter().map(|(name, config)| {
            let spec = TaskProcessorSpec::new(name, config.worker_threads.get());
            match &config.thread_name {
                Some(thread_name) => spec.with_thread_name(thread_name),
                None => spec,
            }
        })
    }
}

fn check_root_keys(root: &Section, problems: &mut Problems) {
    const KNOWN: [&str; 2] = ["components_manager", "config_vars"];
    for (key, section) in root.entries() {
        if !KNOWN.contains(&key.as_str()) {
            let hint = match mainspring_config::nearest(&key, KNOWN) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "known keys: `components_manager`, `config_vars`".to_owned(),
            };
            problems.push(section.with_path("").key_problem(format!("unknown key `{key}`; {hint}")));
        }
    }
}

/// Rules beyond the schema, each on what stands there, whatever else is wrong.
fn check_manager(manager: &Section, problems: &mut Problems) {
    let processors = manager.get("task_processors").filter(Section::is_map);
    let names: BTreeSet<_> = processors.iter().flat_map(Section::entries).map(|(name, _)| name).collect();
    let default = manager.get("default_task_processor");
    if let (Some(default), true) = (default.as_ref().and_then(Section::as_str), processors.is_some())
        && !names.contains(default)
    {
        let message = format!("unknown task processor `{default}`; declared: {}", quoted_list(&names));
        problems.push(manager.violation(Violation::new("default_task_processor", message)));
    }
    for (name, processor) in processors.iter().flat_map(Section::entries) {
        let thread_name = processor.get("thread_name");
        let is_shown_whole = |name: &&str| name.len() <= 15 && !name.contains(char::is_control);
        if let Some(thread_name) =
            thread_name.as_ref().and_then(Section::as_str).filter(|name| !is_shown_whole(name))
        {
            let found = thread_name.escape_debug();
            let message = format!("expected at most 15 printable characters, found `{found}`");
            let path = format!("task_processors.{name}.thread_name");
            problems.push(manager.violation(Violation::new(path, message)));
        }
    }
}

/// The declared sections, each with the path that messages show; `None` when there is no map of them.
fn sections(manager: &Section) -> Option<BTreeMap<String, Section>> {
    let components = manager.get("components").filter(Section::is_map)?;
    let named = |(name, section): (String, Section)| (name.clone(), section.with_path(name));
    Some(components.entries().into_iter().map(named).collect())
}

fn disabled(sections: &BTreeMap<String, Section>, problems: &mut Problems) -> BTreeSet<String> {
    let mut disabled = BTreeSet::new();
    for (name, section) in sections {
        let Some(enabled) = section.get(LOAD_ENABLED) else { continue };
        match enabled.as_bool() {
            Some(true) => {}
            Some(false) => {
                disabled.insert(name.clone());
            }
            None if enabled.is_broken() => {}
            None => problems.push(section.problem(LOAD_ENABLED, "expected `true` or `false`")),
        }
    }
    disabled
}

fn outline(
    list: &ComponentList,
    manager: &Section,
    sections: &BTreeMap<String, Section>,
    disabled: &BTreeSet<String>,
) -> ServiceOutline {
    let task_processors = manager.get("task_processors").filter(Section::is_map);
    let loaded = list.registrations.iter().filter(|(name, registration)| {
        !disabled.contains(*name)
            && (sections.contains_key(*name) || registration.config_mode() == ConfigMode::NotRequired)
    });
    ServiceOutline::of_plan(
        task_processors.map(|section| section.entries().into_iter().map(|(name, _)| name).collect()),
        loaded.map(|(name, _)| (name.clone(), sections.get(name).map(keys).unwrap_or_default())).collect(),
    )
}

/// The keys of a section that have a value.
fn keys(section: &Section) -> BTreeSet<String> {
    let has_value = |section: &Section| section.is_broken() || !section.is_null();
    section.entries().into_iter().filter(|(_, value)| has_value(value)).map(|(key, _)| key).collect()
}

fn prepare(
    list: &ComponentList,
    manager: &Section,
    sections: &BTreeMap<String, Section>,
    outline: &ServiceOutline,
    disabled: &BTreeSet<String>,
    problems: &mut Problems,
) -> Vec<(Identity, Prepared)> {
    for (name, section) in sections {
        // One configuration may serve several binaries, with `load-enabled: false` for what only some of them know.
        if !list.registrations.contains_key(name) && !disabled.contains(name) {
            let hint = match mainspring_config::nearest(name, list.names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("registered: {}", quoted_list(list.registrations.keys())),
            };
            problems.push(section.key_problem(format!("this component is not registered in code; {hint}")));
        }
    }
    let mut prepared = Vec::new();
    for (name, registration) in &list.registrations {
        if disabled.contains(name) {
            continue;
        }
        let section = match sections.get(name) {
            Some(section) => section.without(&[LOAD_ENABLED]),
            None if registration.config_mode() == ConfigMode::NotRequired => Section::empty(name),
            None => {
                problems.push(manager.problem(
                    "components",
                    format!(
                        "component `{name}` is registered in code but has no section here; declare it, \
                         or switch it off with `{name}: {{{LOAD_ENABLED}: false}}`"
                    ),
                ));
                continue;
            }
        };
        outline.begin(sections.contains_key(name));
        match registration.prepare(&section, outline) {
            Ok(component) => {
                let (type_id, type_name) = (registration.type_id(), registration.type_name());
                let dependencies = component.dependencies();
                prepared.push((Identity { name: name.clone(), type_id, type_name, dependencies }, component));
            }
            Err(more) => problems.extend(more),
        }
    }
    prepared
}

/// The schema of a whole configuration file as it is written.
pub(crate) fn service_schema(list: &ComponentList) -> serde_json::Value {
    let mut schema = loaded_schema(list);
    let sections = schema.pointer_mut("/properties/components_manager/properties/components/properties");
    for (_, section) in sections.and_then(serde_json::Value::as_object_mut).into_iter().flatten() {
        allow_nothing(section);
    }
    mainspring_config::accept_references(&mut schema);
    // Read as it stands, before anything is substituted.
    schema["properties"]["config_vars"] = serde_json::json!({"type": "string", "description": "Path of the file with the values of `$variables`."});
    schema
}

/// The schema of one section as it is written, as a document of its own.
pub(crate) fn section_schema(name: &str, mut schema: serde_json::Value) -> serde_json::Value {
    complete_section(&mut schema);
    allow_nothing(&mut schema);
    schema["$schema"] = SCHEMA_DIALECT.into();
    schema["title"] = format!("Section `{name}` of a Mainspring service").into();
    mainspring_config::accept_references(&mut schema);
    schema
}

const SCHEMA_DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// A section without required keys may be empty: `orders:` and no more.
fn allow_nothing(section: &mut serde_json::Value) {
    if section["type"] == "object" && section.get("required").is_none() {
        section["type"] = serde_json::json!(["object", "null"]);
    }
}

/// What the framework knows of every section: it may be switched off.
fn complete_section(schema: &mut serde_json::Value) {
    if let Some(properties) = schema.get_mut("properties").and_then(serde_json::Value::as_object_mut) {
        properties.insert(
            LOAD_ENABLED.to_owned(),
            serde_json::json!({
                "type": "boolean", "default": true,
                "description": "`false`: the service runs as if this component did not exist."
            }),
        );
    }
}

/// The schema of a whole configuration file with everything substituted. What `components` may hold is spelled out for
/// each component; the rest is what [`ManagerConfig`] says.
fn loaded_schema(list: &ComponentList) -> serde_json::Value {
    let mut definitions = serde_json::Map::new();
    let mut sections = serde_json::Map::new();
    for (name, mut schema) in list.config_schemas() {
        adopt(&mut schema, &mut definitions, name);
        complete_section(&mut schema);
        sections.insert(name.to_owned(), schema);
    }
    let mut manager = mainspring_config::schema_of::<ManagerConfig>();
    adopt(&mut manager, &mut definitions, "components_manager");
    manager["properties"]["components"] = serde_json::json!({
        "description": "The components, by name. A section may be empty.",
        "type": "object", "additionalProperties": false, "properties": sections,
    });
    serde_json::json!({
        "$schema": SCHEMA_DIALECT,
        "title": "Static configuration of a Mainspring service",
        "type": "object",
        "additionalProperties": false,
        "required": ["components_manager"],
        "properties": {"components_manager": manager},
        "$defs": definitions,
    })
}

/// The schema says what is in force: sections that may be missing are loaded as empty ones, and those that are switched
/// off are not looked at.
pub(crate) fn effective_config(list: &ComponentList, root: &Section) -> String {
    let mut schema = loaded_schema(list);
    let sections = root.get("components_manager").and_then(|manager| manager.get("components"));
    let known = schema.pointer_mut("/properties/components_manager/properties/components/properties");
    let known = known.and_then(serde_json::Value::as_object_mut).expect("`loaded_schema` declares them");
    for (name, registration) in &list.registrations {
        let Some(declared) = known.get_mut(name) else { continue };
        let section = sections.as_ref().and_then(|sections| sections.get(name));
        let enabled = section.as_ref().and_then(|section| section.get(LOAD_ENABLED)?.as_bool());
        if enabled == Some(false) {
            *declared = serde_json::json!({});
        } else if section.is_none() && registration.config_mode() == ConfigMode::NotRequired {
            declared["default"] = serde_json::json!({});
        }
    }
    mainspring_config::effective_yaml(root, &schema)
}

/// Moves the definitions of one schema into the common ones, under names of its own, and lets it be empty.
fn adopt(
    schema: &mut serde_json::Value,
    definitions: &mut serde_json::Map<String, serde_json::Value>,
    owner: &str,
) {
    let Some(object) = schema.as_object_mut() else { return };
    object.remove("$schema");
    object.remove("title");
    let own = object.remove("$defs");
    rename_references(schema, owner);
    if let Some(serde_json::Value::Object(own)) = own {
        for (name, mut definition) in own {
            rename_references(&mut definition, owner);
            definitions.insert(format!("{owner}.{name}"), definition);
        }
    }
}

fn rename_references(schema: &mut serde_json::Value, owner: &str) {
    match schema {
        serde_json::Value::Object(object) => {
            for (key, value) in object {
                match value {
                    serde_json::Value::String(target) if key == "$ref" => {
                        *target = target.replacen("#/$defs/", &format!("#/$defs/{owner}."), 1);
                    }
                    serde_json::Value::Null
                    | serde_json::Value::Bool(_)
                    | serde_json::Value::Number(_)
                    | serde_json::Value::String(_)
                    | serde_json::Value::Array(_)
                    | serde_json::Value::Object(_) => rename_references(value, owner),
                }
            }
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(|item| rename_references(item, owner)),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => {}
    }
}
