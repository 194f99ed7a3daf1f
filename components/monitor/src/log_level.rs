//! `handler-log-level`: reads and changes the level of a logger while the service runs.

use axum::RequestExt;
use axum::extract::RawPathParams;
use mainspring_core::{ComponentContext, Dependencies, LoadError, NoConfig, ServiceOutline};
use mainspring_logging::{DEFAULT_LOGGER, Level, Logging};
use mainspring_server::{HandlerDefaults, HandlerError, HttpHandler, Method, Request, Response};
use serde_json::json;

use crate::query::{Query, text_response};

/// The word in place of a level that puts back what was configured.
const RESET: &str = "reset";

/// `GET` tells the level, `PUT` with a level or `reset` at the end of the path changes it; `?logger=` names
/// another logger than `default`.
#[derive(Debug)]
pub struct LogLevelHandler {
    logging: Logging,
}

impl HttpHandler for LogLevelHandler {
    const DEFAULT_NAME: &'static str = "handler-log-level";
    const DEFAULTS: HandlerDefaults = HandlerDefaults::new()
        .with_path("/service/log-level/{level}")
        .with_method("GET,PUT")
        .with_optional_last_segment()
        .on_monitor();
    type Config = NoConfig;

    fn dependencies(_: &NoConfig, _: &ServiceOutline) -> Dependencies {
        Dependencies::none()
    }

    async fn load(_config: NoConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        Ok(Self { logging: cx.logging().clone() })
    }

    async fn handle(&self, mut request: Request) -> Result<Response, HandlerError> {
        let query = Query::of(&request, &["logger"])?;
        let logger = query.get("logger").unwrap_or(DEFAULT_LOGGER);
        let params = request.extract_parts::<RawPathParams>().await;
        let level = params.iter().flatten().map(|(_, level)| level.to_owned()).next();
        if request.method() == Method::PUT {
            self.change(logger, level.as_deref())?;
        } else if let Some(level) = level {
            return Err(HandlerError::bad_request(format!("use `PUT` to change the level to `{level}`")));
        }
        self.tell(logger)
    }
}

impl LogLevelHandler {
    fn change(&self, logger: &str, level: Option<&str>) -> Result<(), HandlerError> {
        let level = match level {
            None => return Err(HandlerError::bad_request("the path must end in a level or in `reset`")),
            Some(RESET) => None,
            Some(level) => {
                let parsed = level.parse::<Level>();
                Some(parsed.map_err(|error| HandlerError::bad_request(error.to_string()))?)
            }
        };
        self.logging.set_level(logger, level).map_err(|error| HandlerError::not_found(error.to_string()))
    }

    fn tell(&self, logger: &str) -> Result<Response, HandlerError> {
        let Some(levels) = self.logging.level(logger) else {
            let known: Vec<_> = self.logging.loggers().iter().map(|name| format!("`{name}`")).collect();
            let known = known.join(", ");
            return Err(HandlerError::not_found(format!("unknown logger `{logger}`; configured: {known}")));
        };
        let (init, current) = (levels.init.as_str(), levels.current.as_str());
        let body = json!({"init-log-level": init, "current-log-level": current});
        Ok(text_response("application/json", format!("{body}\n")))
    }
}
