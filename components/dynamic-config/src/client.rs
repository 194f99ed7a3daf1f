//! The component `dynamic-config-client`: asks a configuration service.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use mainspring_config::{Surroundings, Violation};
use mainspring_core::{Component, ComponentContext, Dependencies, LoadError, ServiceOutline};
use serde::Deserialize;

use crate::protocol::{Question, Reply};
use crate::{ClientConfig, DynamicConfigError, FetchError, exchange};

/// Pause before the second attempt; it doubles before each further one.
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// Longest pause between two attempts.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(2);

/// Fetches values from a configuration service, for [`DynamicConfigClientUpdater`](crate::DynamicConfigClientUpdater).
pub struct DynamicConfigClient {
    config: ClientConfig,
    url: Uri,
    stage: Option<String>,
}

/// The file that `configs-stage-filepath` names.
#[derive(Deserialize)]
struct Environment {
    env_name: String,
}

impl DynamicConfigClient {
    /// The values of these variables, or of all; only what changed since an earlier answer, if one is named.
    ///
    /// Tries again as often as the configuration says.
    pub(crate) async fn fetch(
        &self,
        ids: Option<&[&'static str]>,
        updated_since: Option<&str>,
    ) -> Result<Reply, FetchError> {
        let question = Question {
            ids,
            updated_since,
            stage_name: self.stage.as_deref(),
            service: self.config.get_configs_overrides_for_service.then_some(&*self.config.service_name),
        };
        let body = serde_json::to_vec(&question).map_err(|source| self.malformed(source))?;
        let body = Bytes::from(body);
        let mut delay = RETRY_DELAY;
        for _ in 1..self.config.http_retries {
            match self.ask(body.clone()).await {
                Err(error) if error.is_retryable() => {
                    tracing::debug!(error = %LoadError::from(error), "Configuration service is asked again");
                }
                answered => return answered,
            }
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(RETRY_DELAY_MAX);
        }
        self.ask(body).await
    }

    async fn ask(&self, body: Bytes) -> Result<Reply, FetchError> {
        let limit = self.config.http_timeout.get();
        let answer = tokio::time::timeout(limit, exchange::post(&self.url, body)).await;
        let answer = answer.map_err(|_| FetchError::Timeout { address: self.address(), limit })??;
        serde_json::from_slice(&answer).map_err(|source| self.malformed(source))
    }

    fn malformed(&self, source: serde_json::Error) -> FetchError {
        FetchError::Malformed { address: self.address(), source }
    }

    fn address(&self) -> String {
        self.url.authority().map(ToString::to_string).unwrap_or_default()
    }
}

impl Component for DynamicConfigClient {
    const DEFAULT_NAME: &'static str = "dynamic-config-client";
    type Config = ClientConfig;

    fn validate(config: &ClientConfig, _: &ServiceOutline) -> Vec<Violation> {
        config.violations()
    }

    fn dependencies(_: &ClientConfig, _: &ServiceOutline) -> Dependencies {
        Dependencies::none()
    }

    async fn load(config: ClientConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        let url = config.url().map_err(LoadError::message)?;
        let stage = match config.configs_stage_filepath.clone() {
            Some(path) => {
                let surroundings = cx.surroundings();
                let read =
                    cx.spawn_blocking("dynamic-config-stage", move || read_stage(&path, &*surroundings));
                Some(read.await??)
            }
            None => config.configs_stage.clone(),
        };
        Ok(Self { config, url, stage })
    }
}

fn read_stage(path: &str, surroundings: &dyn Surroundings) -> Result<String, DynamicConfigError> {
    let text = surroundings.read_file(path);
    let text = text.map_err(|source| DynamicConfigError::Unreadable { path: path.to_owned(), source })?;
    let environment: Environment = serde_json::from_str(&text)
        .map_err(|source| DynamicConfigError::NoStage { path: path.to_owned(), source })?;
    Ok(environment.env_name)
}

impl fmt::Debug for DynamicConfigClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamicConfigClient").field("config", &self.config).finish_non_exhaustive()
    }
}
