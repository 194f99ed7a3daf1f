//! The component `logging`: opens the loggers that the configuration declares.

use mainspring_config::Violation;
use mainspring_logging::{Colors, LoggersConfig};

use crate::{Component, ComponentContext, Dependencies, LoadError, ServiceOutline};

/// Section `logging`.
pub type LoggingConfig = LoggersConfig;

/// Opens the loggers of the service; until then, records are kept in memory and none is lost.
///
/// It must be declared, as in userver:
///
/// ```yaml
/// logging:
///     loggers:
///         default: {file_path: '@stderr', level: info, format: tskv}
///         audit: {file_path: /var/log/orders/audit.log, format: json, overflow_behavior: block}
/// ```
///
/// A logger besides `default` gets the records whose tracing target is its name, here those of
/// `tracing::info!(target: "audit", user, "Order cancelled")`, and `default` does not get them.
#[derive(Debug)]
#[non_exhaustive]
pub struct LoggingComponent {}

impl Component for LoggingComponent {
    const DEFAULT_NAME: &'static str = "logging";
    type Config = LoggingConfig;

    fn validate(config: &LoggingConfig, service: &ServiceOutline) -> Vec<Violation> {
        let of_loggers = config.loggers.iter().filter_map(|(name, logger)| {
            let key = format!("loggers.{name}.fs-task-processor");
            logger
                .fs_task_processor
                .as_ref()
                .and_then(|processor| service.check_task_processor(&key, processor))
        });
        let own = config.fs_task_processor.as_ref();
        let own = own.and_then(|processor| service.check_task_processor("fs-task-processor", processor));
        of_loggers.chain(own).collect()
    }

    fn dependencies(_: &LoggingConfig, _: &ServiceOutline) -> Dependencies {
        Dependencies::none()
    }

    async fn load(config: LoggingConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        let processor = match &config.fs_task_processor {
            Some(name) => cx.task_processor(name)?,
            None => cx.default_task_processor().clone(),
        };
        let no_color = !matches!(cx.surroundings().env_var("NO_COLOR"), Ok(None));
        let colors = if no_color { Colors::Never } else { Colors::Auto };
        let logging = cx.logging().clone();
        processor.spawn_blocking("open-loggers", move || logging.configure(&config, colors)).await??;
        Ok(Self {})
    }
}
