//! The configuration of a whole service, checked before anything starts.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::time::Duration;

use mainspring_config::{HumanDuration, Problems, Section};
use mainspring_engine::TaskProcessorSpec;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::component::quoted_list;
use crate::erased::Prepared;
use crate::{ComponentList, ConfigMode, ServiceOutline};

/// The key, accepted in every section, that switches a component off.
const LOAD_ENABLED: &str = "load-enabled";

/// Section `components_manager`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ManagerConfig {
    /// The components, by name. A section may be empty.
    pub components: BTreeMap<String, serde_json::Value>,
    /// The task processors, by name.
    pub task_processors: BTreeMap<String, TaskProcessorConfig>,
    /// The task processor that components load on, and that runs what names no other.
    pub default_task_processor: String,
    /// How long the service goes on working, but not ready, after it was told to stop, so that load balancers
    /// notice. Duration such as `10s`; default `0s`.
    #[serde(default)]
    pub graceful_shutdown_interval: HumanDuration,
    /// Longest time that each step of one component's stop may take; what it has not finished by then is named
    /// in the report. Duration; default `30s`.
    #[serde(default = "ManagerConfig::default_component_stop_timeout")]
    pub component_stop_timeout: HumanDuration,
    /// Longest time for all components to load. Duration, longer than `0s`; default `10m`.
    #[serde(default = "ManagerConfig::default_load_timeout")]
    pub load_timeout: HumanDuration,
    /// How often the components that are still loading are named in the log, with what they wait for. Duration,
    /// longer than `0s`; default `10s`.
    #[serde(default = "ManagerConfig::default_load_report_interval")]
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

    fn default_load_timeout() -> HumanDuration {
        Duration::from_secs(10 * 60).into()
    }

    fn default_load_report_interval() -> HumanDuration {
        Duration::from_secs(10).into()
    }
}

/// A service that is known to be configured right.
pub(crate) struct Plan {
    pub(crate) manager: ManagerConfig,
    pub(crate) components: Vec<(String, Prepared)>,
    /// Names that have a section, be it an empty one.
    pub(crate) declared: BTreeSet<String>,
    /// Names whose section says `load-enabled: false`.
    pub(crate) disabled: BTreeSet<String>,
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
        check_root_keys(root, &mut problems);
        let Some(manager_section) = root.get("components_manager") else {
            problems.push(
                root.problem("", "missing key `components_manager`, the mapping that declares a service"),
            );
            return Err(problems);
        };
        let manager_section = manager_section.with_path("");
        let manager = manager_section.read::<ManagerConfig>();
        if let Ok(manager) = &manager {
            check_manager(manager, &manager_section, &mut problems);
        }
        let sections = sections(&manager_section);
        let disabled = disabled(&sections, &mut problems);
        let outline = outline(list, &manager_section, &sections, &disabled);
        let components = prepare(list, &manager_section, &sections, &outline, &disabled, &mut problems);
        match manager {
            Ok(manager) => {
                problems.into_result()?;
                let declared = sections.into_keys().collect();
                Ok(Self { manager, components, declared, disabled })
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

fn check_manager(manager: &ManagerConfig, section: &Section, problems: &mut Problems) {
    let default = &manager.default_task_processor;
    if !manager.task_processors.contains_key(default) {
        let declared = quoted_list(manager.task_processors.keys());
        problems.push(section.problem(
            "default_task_processor",
            format!("unknown task processor `{default}`; declared: {declared}"),
        ));
    }
    for (key, duration) in
        [("load_timeout", manager.load_timeout), ("load_report_interval", manager.load_report_interval)]
    {
        if duration.get().is_zero() {
            problems.push(section.problem(key, "expected a duration longer than `0s`".to_owned()));
        }
    }
    for (name, config) in &manager.task_processors {
        let is_shown_whole = |name: &&String| name.len() <= 15 && !name.contains(char::is_control);
        if let Some(thread_name) = config.thread_name.as_ref().filter(|name| !is_shown_whole(name)) {
            problems.push(section.problem(
                &format!("task_processors.{name}.thread_name"),
                format!("expected at most 15 printable characters, found `{}`", thread_name.escape_debug()),
            ));
        }
    }
}

/// The declared sections, each with the path that messages show.
fn sections(manager: &Section) -> BTreeMap<String, Section> {
    let components = manager.get("components");
    components
        .into_iter()
        .flat_map(|components| components.entries())
        .map(|(name, section)| (name.clone(), section.with_path(name)))
        .collect()
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
    let task_processors = manager.get("task_processors").into_iter().flat_map(|section| section.entries());
    let loaded = list.registrations.iter().filter(|(name, registration)| {
        !disabled.contains(*name)
            && (sections.contains_key(*name) || registration.config_mode() == ConfigMode::NotRequired)
    });
    ServiceOutline {
        task_processors: task_processors.map(|(name, _)| name).collect(),
        components: loaded.map(|(name, _)| name.clone()).collect(),
    }
}

fn prepare(
    list: &ComponentList,
    manager: &Section,
    sections: &BTreeMap<String, Section>,
    outline: &ServiceOutline,
    disabled: &BTreeSet<String>,
    problems: &mut Problems,
) -> Vec<(String, Prepared)> {
    for (name, section) in sections {
        if !list.registrations.contains_key(name) {
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
        match registration.prepare(&section, outline) {
            Ok(component) => prepared.push((name.clone(), component)),
            Err(more) => problems.extend(more),
        }
    }
    prepared
}

/// The schema of a whole configuration file. What `components` may hold is spelled out for each component; the
/// rest is what [`ManagerConfig`] says.
pub(crate) fn service_schema(list: &ComponentList) -> serde_json::Value {
    let mut definitions = serde_json::Map::new();
    let mut sections = serde_json::Map::new();
    for (name, mut schema) in list.config_schemas() {
        adopt(&mut schema, &mut definitions, name);
        if let Some(properties) = schema.get_mut("properties").and_then(serde_json::Value::as_object_mut) {
            properties.insert(
                LOAD_ENABLED.to_owned(),
                serde_json::json!({
                    "type": "boolean", "default": true,
                    "description": "`false`: the service runs as if this component did not exist."
                }),
            );
        }
        sections.insert(name.to_owned(), schema);
    }
    let mut manager = mainspring_config::schema_of::<ManagerConfig>();
    adopt(&mut manager, &mut definitions, "components_manager");
    manager["properties"]["components"] = serde_json::json!({
        "description": "The components, by name. A section may be empty.",
        "type": "object", "additionalProperties": false, "properties": sections,
    });
    serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Static configuration of a Mainspring service",
        "type": "object",
        "additionalProperties": false,
        "required": ["components_manager"],
        "properties": {
            "components_manager": manager,
            "config_vars": {"type": "string", "description": "Path of the file with the values of `$variables`."},
        },
        "$defs": definitions,
    })
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
