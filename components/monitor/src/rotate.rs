//! `handler-on-log-rotate`: opens the log files anew after they were moved away, as SIGUSR1 does.

use mainspring_core::{ComponentContext, Dependencies, LoadError, NoConfig, ServiceOutline};
use mainspring_logging::Logging;
use mainspring_server::{Body, HandlerDefaults, HandlerError, HttpHandler, Request, Response};

/// Opens all log files anew and answers with an empty body when they are open.
#[derive(Debug)]
pub struct OnLogRotateHandler {
    logging: Logging,
    cx: ComponentContext,
}

impl HttpHandler for OnLogRotateHandler {
    const DEFAULT_NAME: &'static str = "handler-on-log-rotate";
    const DEFAULTS: HandlerDefaults =
        HandlerDefaults::new().with_path("/service/on-log-rotate").with_method("POST").on_monitor();
    type Config = NoConfig;

    fn dependencies(_: &NoConfig, _: &ServiceOutline) -> Dependencies {
        Dependencies::none()
    }

    async fn load(_config: NoConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        Ok(Self { logging: cx.logging().clone(), cx: cx.clone() })
    }

    async fn handle(&self, _request: Request) -> Result<Response, HandlerError> {
        let logging = self.logging.clone();
        // Opening files blocks.
        let processor = self.cx.default_task_processor();
        let reopened = processor.spawn_blocking("reopen-logs", move || logging.reopen()).await?;
        match reopened {
            Ok(()) => Ok(Response::new(Body::empty())),
            Err(errors) => {
                let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
                Err(HandlerError::internal("some loggers write to their old files")
                    .with_cause(errors.join("; ")))
            }
        }
    }
}
