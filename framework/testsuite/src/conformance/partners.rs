//! Components that make trouble for the one that is looked at.

use std::sync::Arc;

use mainspring_core::{Component, ComponentContext, ConfigMode, LoadError, NoConfig};
use schemars::JsonSchema;
use serde::Deserialize;

/// Stops `C` before its service does.
pub(super) struct StopsFirst<C> {
    component: Arc<C>,
}

impl<C: Component> Component for StopsFirst<C> {
    const DEFAULT_NAME: &'static str = "conformance-stops-first";
    const CONFIG_MODE: ConfigMode = ConfigMode::NotRequired;
    type Config = NoConfig;

    async fn load(_: NoConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        Ok(Self { component: cx.find_default().await? })
    }

    async fn stop(&self) {
        self.component.stop().await;
    }
}

/// Section of [`Saboteur`].
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SaboteurConfig {
    /// How often it lets others go first.
    yields: u32,
}

/// Fails, so that the loads of all others are cancelled wherever they are.
#[derive(Debug)]
pub(super) struct Saboteur;

impl Component for Saboteur {
    const DEFAULT_NAME: &'static str = "conformance-saboteur";
    type Config = SaboteurConfig;

    async fn load(config: SaboteurConfig, _: &ComponentContext) -> Result<Self, LoadError> {
        for _ in 0..config.yields {
            tokio::task::yield_now().await;
        }
        Err(LoadError::message("conformance: nothing may start"))
    }
}
