//! `system-statistics-collector`: what the operating system says about the process.

use std::sync::Arc;

use mainspring_core::{
    Component, ComponentContext, ConfigMode, Dependencies, LoadError, NoConfig, ServiceOutline,
};
use mainspring_metrics::{BuildInfo, ProcessCollector, Registration};

/// Adds `process_*`, `mainspring_build_info` and `target_info` to the metrics.
#[derive(Debug)]
pub struct SystemStatisticsCollector {
    _registration: Registration,
}

impl Component for SystemStatisticsCollector {
    const DEFAULT_NAME: &'static str = "system-statistics-collector";
    const CONFIG_MODE: ConfigMode = ConfigMode::NotRequired;
    type Config = NoConfig;

    fn dependencies(_: &NoConfig, _: &ServiceOutline) -> Dependencies {
        Dependencies::none()
    }

    async fn load(_config: NoConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        let collector = Arc::new(ProcessCollector::new(BuildInfo::current()));
        Ok(Self { _registration: cx.metrics().register(collector) })
    }

    /// The metrics are scraped until the end.
    fn stops_last(&self) -> bool {
        true
    }
}
