//! The options that every handler has, and how its section is put together from them and its own.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};

use mainspring_config::{ByteSize, Violation};
use mainspring_core::{Component, ConfigMode, ServiceOutline};
use mainspring_logging::Level;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::path::PathTemplate;
use crate::{Methods, ServerComponent};

/// Options of every handler component.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct HandlerOptions {
    /// Where it answers: `/orders`, `/orders/{id}` with a name for one segment, `/files/*` for all below.
    /// Plain segments win over names, names over `*`.
    #[schemars(example = &"/orders/{id}")]
    pub path: Option<String>,
    /// The methods it answers, as a list or as text with commas: `GET,POST`. `GET` answers `HEAD` too.
    #[schemars(example = &"GET,POST")]
    pub method: Option<Methods>,
    /// Task processor that it runs on; default that of its listener.
    #[schemars(example = &"main-task-processor")]
    pub task_processor: Option<String>,
    /// Largest body of a request; a larger one is answered with 413. Size such as `64KiB`; default that of its
    /// listener.
    pub max_request_size: Option<ByteSize>,
    /// Most requests that it answers at the same time; more are answered with 429. Default: no limit. May be changed at run
    /// time.
    #[schemars(example = 100)]
    pub max_requests_in_flight: Option<NonZeroUsize>,
    /// Most requests that it answers per second, as many at once at most; more are answered with 429. Default: no limit. May
    /// be changed at run time.
    #[schemars(example = 1000)]
    pub max_requests_per_second: Option<NonZeroU32>,
    /// Whether these two limits count; default `true`. May be changed at run time.
    pub throttling_enabled: Option<bool>,
    /// Least level of what is logged while it answers, the line of the request included: `debug` shows more than the
    /// logger's own level, `warning` less. Default: the logger's level. With a level below those of the loggers, all
    /// call sites down to it cost a little more.
    #[serde(rename = "log-level")]
    pub log_level: Option<Level>,
    /// Level of the line that a request leaves in the log, by the status of its answer, such as `{404: info}`;
    /// `none` leaves no line. Default: `error` from 500, `warning` from 400, otherwise `info`, or `debug` for
    /// handlers of the monitor that are asked all the time.
    #[serde(default, rename = "status-codes-log-level")]
    pub status_codes_log_level: StatusLevels,
    /// Whether it answers on `listener-monitor` and not on `listener`.
    #[serde(rename = "monitor-handler")]
    pub monitor_handler: Option<bool>,
}

/// Levels by status of an answer, from 100 to 599.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, Level>")]
pub struct StatusLevels(BTreeMap<u16, Level>);

impl TryFrom<BTreeMap<String, Level>> for StatusLevels {
    type Error = String;

    fn try_from(written: BTreeMap<String, Level>) -> Result<Self, String> {
        let status = |text: &str| text.parse().ok().filter(|status| (100..=599).contains(status));
        let levels = written.into_iter().map(|(text, level)| match status(&text) {
            Some(status) => Ok((status, level)),
            None => Err(format!("expected a status from 100 to 599, found `{text}`")),
        });
        levels.collect::<Result<_, _>>().map(Self)
    }
}

impl JsonSchema for StatusLevels {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "StatusLevels".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let level = generator.subschema_for::<Level>();
        json_schema!({"type": "object", "additionalProperties": level})
    }
}

/// How the requests of a handler are logged.
#[derive(Debug, Clone)]
pub(crate) struct Levels {
    /// The least level of all that is logged; the logger's without it.
    pub(crate) local: Option<Level>,
    by_status: StatusLevels,
    below_400: Level,
}

impl Levels {
    /// The level of the line of a request.
    pub(crate) fn of_line(&self, status: u16) -> Level {
        self.by_status.0.get(&status).copied().unwrap_or(match status {
            500.. => Level::Error,
            400.. => Level::Warning,
            _ => self.below_400,
        })
    }
}

impl Default for Levels {
    fn default() -> Self {
        Self { local: None, by_status: StatusLevels::default(), below_400: Level::Info }
    }
}

/// The section of a handler component: [`HandlerOptions`] and the handler's own keys side by side.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct HandlerConfig<C> {
    /// What every handler has.
    #[serde(flatten)]
    pub options: HandlerOptions,
    /// What this one has.
    #[serde(flatten)]
    pub own: C,
}

/// What a handler uses where its section says nothing; a constant of its type.
///
/// With a path and a method here, the section may be missing altogether.
#[derive(Debug, Clone, Copy)]
pub struct HandlerDefaults {
    path: Option<&'static str>,
    method: Option<&'static str>,
    line_level: Level,
    listener: ListenerKind,
    pub(crate) last_segment: LastSegment,
}

/// Which of the two listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListenerKind {
    Main,
    Monitor,
}

impl ListenerKind {
    /// Value of the label `listener`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Monitor => "monitor",
        }
    }

    /// Its key in the section of `server`.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Main => "listener",
            Self::Monitor => "listener-monitor",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastSegment {
    Required,
    Optional,
}

impl HandlerDefaults {
    /// Nothing but what every handler has: on the main listener, logged at `info`.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            path: None,
            method: None,
            line_level: Level::Info,
            listener: ListenerKind::Main,
            last_segment: LastSegment::Required,
        }
    }

    /// With a path.
    #[must_use]
    pub const fn with_path(mut self, path: &'static str) -> Self {
        self.path = Some(path);
        self
    }

    /// With methods, separated by commas.
    #[must_use]
    pub const fn with_method(mut self, method: &'static str) -> Self {
        self.method = Some(method);
        self
    }

    /// With another level for the line of a request whose answer is below 400.
    #[must_use]
    pub const fn with_line_level(mut self, level: Level) -> Self {
        self.line_level = level;
        self
    }

    /// On the monitor listener.
    #[must_use]
    pub const fn on_monitor(mut self) -> Self {
        self.listener = ListenerKind::Monitor;
        self
    }

    /// Also at its path without the last segment, whichever path that is.
    #[must_use]
    pub const fn with_optional_last_segment(mut self) -> Self {
        self.last_segment = LastSegment::Optional;
        self
    }

    pub(crate) const fn config_mode(self) -> ConfigMode {
        match (self.path, self.method) {
            (Some(_), Some(_)) => ConfigMode::NotRequired,
            _ => ConfigMode::Required,
        }
    }
}

impl Default for HandlerDefaults {
    fn default() -> Self {
        Self::new()
    }
}

/// Options with the defaults filled in.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) path: PathTemplate,
    pub(crate) methods: Methods,
    pub(crate) levels: Levels,
    pub(crate) listener: ListenerKind,
}

impl HandlerOptions {
    /// The options with `defaults` filled in, or everything that is wrong with them.
    pub(crate) fn resolve(&self, defaults: HandlerDefaults) -> Result<Resolved, Vec<Violation>> {
        let path = match self.path.as_deref().or(defaults.path) {
            Some(path) => PathTemplate::parse(path).map_err(|problem| Violation::new("path", problem)),
            None => {
                Err(Violation::new("", "missing key `path`, where the handler answers, such as `/orders`"))
            }
        };
        let methods = match (&self.method, defaults.method) {
            (Some(methods), _) => Ok(methods.clone()),
            (None, Some(text)) => text.parse().map_err(|problem| Violation::new("method", problem)),
            (None, None) => {
                Err(Violation::new("", "missing key `method`, what the handler answers, such as `GET,POST`"))
            }
        };
        let (path, methods) = match (path, methods) {
            (Ok(path), Ok(methods)) => (path, methods),
            (path, methods) => return Err([path.err(), methods.err()].into_iter().flatten().collect()),
        };
        let listener = self.listener(defaults);
        let levels = Levels {
            local: self.log_level,
            by_status: self.status_codes_log_level.clone(),
            below_400: defaults.line_level,
        };
        Ok(Resolved { path, methods, levels, listener })
    }

    fn listener(&self, defaults: HandlerDefaults) -> ListenerKind {
        match self.monitor_handler {
            None => defaults.listener,
            Some(true) => ListenerKind::Monitor,
            Some(false) => ListenerKind::Main,
        }
    }

    /// Complains of a listener that the service does not have, unless nobody has asked for this handler.
    fn check_listener(&self, defaults: HandlerDefaults, service: &ServiceOutline) -> Option<Violation> {
        if !service.is_declared() {
            return None;
        }
        let server = ServerComponent::DEFAULT_NAME;
        if let Some(no_server) = service.check_component("", server) {
            return Some(no_server);
        }
        let key = self.listener(defaults).key();
        (!service.has_key(server, key)).then(|| {
            let path = if self.monitor_handler.is_some() { "monitor-handler" } else { "" };
            let message =
                format!("answers on `{key}`, which `{server}` does not have; declare `{server}.{key}`");
            Violation::new(path, message)
        })
    }

    pub(crate) fn violations(&self, defaults: HandlerDefaults, service: &ServiceOutline) -> Vec<Violation> {
        let mut violations = self.resolve(defaults).err().unwrap_or_default();
        violations.extend(self.check_listener(defaults, service));
        let processor = self.task_processor.as_deref();
        violations.extend(processor.and_then(|name| service.check_task_processor("task_processor", name)));
        violations
    }
}
