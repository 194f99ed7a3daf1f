//! What operators write about the dynamic configuration.

use http::Uri;
use mainspring_config::{HumanDuration, Violation};
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
    #[schemars(example = &"/etc/orders/dynamic_config.json")]
    pub defaults_path: Option<String>,
    /// Path of the file that keeps the values of the last update, for a start while the configuration service is down;
    /// default empty, which means none. Needs `updates-enabled`. One that cannot be read is passed over with a warning.
    #[schemars(example = &"/var/cache/orders/dynamic_config.json")]
    pub fs_cache_path: String,
    /// Task processor whose threads for blocking calls read and write the files; default: the default task processor.
    #[schemars(example = &"fs-task-processor")]
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

/// The section of `dynamic-config-client`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub struct ClientConfig {
    /// URL of the configuration service, such as `http://configs.example:8080`. Only `http` is spoken. Required.
    #[schemars(example = &"http://configs.example:8080")]
    pub config_url: String,
    /// Name under which the service asks for its values. Required.
    #[schemars(example = &"orders")]
    pub service_name: String,
    /// Longest time that one request may take, from the connection to the last byte. From `1ms` to `1h`. Required.
    #[schemars(extend("formatMinimum" = "1ms", "formatMaximum" = "1h"))]
    pub http_timeout: HumanDuration,
    /// How many times a request is tried before it has failed. From 1 to 100. Required.
    #[schemars(range(min = 1, max = 100))]
    #[schemars(example = 3)]
    pub http_retries: u32,
    /// Whether `/configs/values` is added to `config-url`; default `true`.
    #[serde(default = "ClientConfig::yes")]
    pub append_path_to_url: bool,
    /// Whether the service's name is sent, so that values that hold for it alone count; default `true`.
    #[serde(default = "ClientConfig::yes")]
    pub get_configs_overrides_for_service: bool,
    /// Name of the stage whose values are asked for; default none.
    #[serde(default)]
    #[schemars(example = &"production")]
    pub configs_stage: Option<String>,
    /// Path of a JSON file whose `env_name` is the name of the stage; default none. Excludes `configs-stage`. Read once, at
    /// the start.
    #[serde(default)]
    #[schemars(example = &"/etc/environment.json")]
    pub configs_stage_filepath: Option<String>,
}

impl ClientConfig {
    fn yes() -> bool {
        true
    }

    /// Everything that a configuration alone can prove wrong.
    pub(crate) fn violations(&self) -> Vec<Violation> {
        let url = self.url().err().map(|message| Violation::new("config-url", message));
        let has_two_stages = self.configs_stage.is_some() && self.configs_stage_filepath.is_some();
        let stage = has_two_stages.then(|| {
            Violation::new(
                "configs-stage-filepath",
                "excludes `configs-stage`; name the stage in one of the two ways",
            )
        });
        url.into_iter().chain(stage).collect()
    }

    /// Where requests go.
    pub(crate) fn url(&self) -> Result<Uri, String> {
        let path = if self.append_path_to_url { "/configs/values" } else { "" };
        let text = format!("{}{path}", self.config_url.trim_end_matches('/'));
        let url = text.parse::<Uri>().ok().filter(|url| url.host().is_some());
        match url {
            Some(url) if url.scheme_str() == Some("http") => Ok(url),
            _ => Err(format!(
                "expected a URL such as `http://configs.example:8080`, found `{}`",
                self.config_url
            )),
        }
    }
}

/// The section of `dynamic-config-client-updater`. All keys may be left out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct UpdaterConfig {
    /// Component that takes the values; default `dynamic-config`.
    pub updates_sink: String,
    /// Component that fetches them; default `dynamic-config-client`.
    pub client: String,
    /// How long to wait between two updates. From `1ms` to `24h`, default `5s`.
    #[schemars(extend("formatMinimum" = "1ms", "formatMaximum" = "24h"))]
    pub update_interval: HumanDuration,
    /// How long to go on with the changes since the last update before all values are fetched again. Up to `24h`, default
    /// `1m`; `0s` means that all are fetched every time.
    #[schemars(extend("formatMaximum" = "24h"))]
    pub full_update_interval: HumanDuration,
    /// By how much at most each wait is longer or shorter, by chance, so that a fleet does not ask all at once. Up to
    /// `update-interval`; default: a tenth of it.
    pub update_jitter: Option<HumanDuration>,
    /// Whether only the variables that the binary knows are asked for; default `true`.
    pub load_only_my_values: bool,
    /// Whether what was fetched is put to use; default `true`. With `false` it is fetched and dropped, which tells whether the
    /// configuration service answers.
    pub store_enabled: bool,
    /// For configurations written for userver, which must say `false` here: the updater cannot be configured by what it
    /// fetches. Default `false`; `true` is refused.
    pub config_settings: bool,
    /// Whether the service waits on when the first update fails and there is no cache; default `false`, which means that it
    /// does not start.
    pub first_update_fail_ok: bool,
}

impl Default for UpdaterConfig {
    fn default() -> Self {
        Self {
            updates_sink: "dynamic-config".to_owned(),
            client: "dynamic-config-client".to_owned(),
            update_interval: HumanDuration::from_secs(5),
            full_update_interval: HumanDuration::from_secs(60),
            update_jitter: None,
            load_only_my_values: true,
            store_enabled: true,
            config_settings: false,
            first_update_fail_ok: false,
        }
    }
}

impl UpdaterConfig {
    /// Everything that a configuration alone can prove wrong.
    pub(crate) fn violations(&self, service: &ServiceOutline) -> Vec<Violation> {
        let range = HumanDuration::default()..=self.update_interval;
        let jitter = self.update_jitter.and_then(|jitter| jitter.check_range("update-jitter", range));
        let settings = self.config_settings.then(|| {
            Violation::new(
                "config-settings",
                "must be `false`: the updater cannot be configured by what it fetches",
            )
        });
        jitter
            .into_iter()
            .chain(settings)
            .chain(service.check_component("updates-sink", &self.updates_sink))
            .chain(service.check_component("client", &self.client))
            .collect()
    }
}
