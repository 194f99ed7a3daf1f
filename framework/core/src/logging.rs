//! The component `logging`: opens the loggers that the configuration declares.

use std::collections::BTreeMap;

use mainspring_config::Violation;
use mainspring_logging::{Colors, Level, LoggersConfig, Logging};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dynamic::{AnyVariable, Diff, Subscription, Variable};
use crate::{Component, ComponentContext, Dependencies, LoadError, ServiceOutline, events};

/// Section `logging`.
pub type LoggingConfig = LoggersConfig;

/// Levels that differ from those of the section `logging`, while the service runs.
pub static LOG_LEVELS: Variable<LogLevels> = Variable::new("MAINSPRING_LOG_LEVELS", LogLevels::default);

/// Value of [`LOG_LEVELS`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct LogLevels {
    /// Levels of loggers, by name; the others have what is configured.
    pub loggers: BTreeMap<String, Level>,
    /// Levels of what is logged under a target, mostly the path of a module such as `orders::storage`, or below it,
    /// whatever the level of its logger.
    pub targets: BTreeMap<String, Level>,
}

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
///
/// The variable [`LOG_LEVELS`] changes levels while the service runs.
#[derive(Debug)]
pub struct LoggingComponent {
    _levels: Subscription,
}

impl Component for LoggingComponent {
    const DEFAULT_NAME: &'static str = "logging";
    type Config = LoggingConfig;

    fn dynamic_variables() -> Vec<&'static dyn AnyVariable> {
        vec![&LOG_LEVELS]
    }

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
        // Nothing is awaited here: the log is what tells why others wait.
        let logging = cx.logging().clone();
        let follow = move |diff: &Diff<'_>| apply_levels(&logging, diff);
        Ok(Self { _levels: cx.dynamic_config().subscribe_to(cx.name(), &[&LOG_LEVELS], follow) })
    }
}

/// A level that was changed in another way stays until the variable says something else of its logger.
fn apply_levels(logging: &Logging, diff: &Diff<'_>) {
    let none = LogLevels::default();
    let previous = diff.previous().map_or(&none, |previous| previous.get(&LOG_LEVELS));
    let current = diff.current().get(&LOG_LEVELS);
    let named = previous.loggers.keys().chain(current.loggers.keys());
    for logger in named.filter(|logger| previous.loggers.get(*logger) != current.loggers.get(*logger)) {
        if let Err(error) = logging.set_level(logger, current.loggers.get(logger).copied()) {
            events::level_not_set(logger, &error);
        }
    }
    if previous.targets != current.targets {
        logging.set_target_levels(current.targets.clone());
    }
}
