//! What operators write about secrets.

use mainspring_config::HumanDuration;
use schemars::JsonSchema;
use serde::Deserialize;

/// The section of `default-secdist-provider`. All keys may be left out; then there are no secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ProviderConfig {
    /// Path of the file that holds the secrets; default empty, which means none.
    #[schemars(example = &"/etc/orders/secrets.json")]
    pub config: String,
    /// Format of the file; default `json`.
    pub format: Format,
    /// Whether the file may be missing; default `false`. It must still be readable and valid if it is there.
    pub missing_ok: bool,
    /// Name of an environment variable with a JSON object that is merged over the file, map by map; default none. The
    /// variable may be unset.
    #[schemars(example = &"SECDIST_CONFIG")]
    pub environment_secrets_key: Option<String>,
    /// Task processor whose threads for blocking calls read the file; default: the default task processor.
    #[schemars(example = &"fs-task-processor")]
    pub blocking_task_processor: Option<String>,
}

/// Format of the file of secrets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Format {
    /// One JSON object.
    #[default]
    Json,
    /// One YAML map.
    Yaml,
}

/// The section of `secdist`. All keys may be left out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct SecdistConfig {
    /// Component that reads the secrets; default `default-secdist-provider`.
    pub provider: String,
    /// How often the secrets are read again; default `0s`, which means on SIGHUP only. When reading fails, those read
    /// before stay.
    pub update_period: HumanDuration,
}

impl Default for SecdistConfig {
    fn default() -> Self {
        Self { provider: "default-secdist-provider".to_owned(), update_period: HumanDuration::from_secs(0) }
    }
}
