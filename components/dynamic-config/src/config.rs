//! What operators write about the dynamic configuration.

use mainspring_config::Violation;
use mainspring_core::ServiceOutline;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The section of `dynamic-config`. All keys may be left out; then every variable has its compiled-in value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct StoreConfig {
    /// Whether updates replace the defaults while the service runs; default `false`. When `true`, a component such as
    /// `dynamic-config-client-updater` has to bring them, and components that must not begin without them wait for the
    /// first ones.
    pub updates_enabled: bool,
    /// Values by name of the variable, instead of the compiled-in ones; default none.
    pub defaults: Map<String, Value>,
    /// Path of a JSON or YAML file with such values; default none. Excludes `defaults`. Read again on SIGHUP.
    pub defaults_path: Option<String>,
    /// Path of the file that keeps the values of the last update, for a start while the configuration service is down;
    /// default empty, which means none. Needs `updates-enabled`. One that cannot be read is passed over with a warning.
    pub fs_cache_path: String,
    /// Task processor whose threads for blocking calls read and write the files; default: the default task processor.
    pub fs_task_processor: Option<String>,
}

impl StoreConfig {
    /// Everything that a configuration alone can prove wrong.
    pub(crate) fn violations(&self, service: &ServiceOutline) -> Vec<Violation> {
        let mut violations = service.dynamic_variables().violations("defaults", &self.defaults);
        if self.defaults_path.is_some() && !self.defaults.is_empty() {
            let message = "excludes `defaults`; keep the values in one of the two places";
            violations.push(Violation::new("defaults-path", message));
        }
        if !self.fs_cache_path.is_empty() && !self.updates_enabled {
            let message = "there is nothing to keep without `updates-enabled: true`";
            violations.push(Violation::new("fs-cache-path", message));
        }
        let processor = self.fs_task_processor.as_deref();
        violations.extend(processor.and_then(|name| service.check_task_processor("fs-task-processor", name)));
        violations
    }
}
