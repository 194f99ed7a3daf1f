//! `handler-on-log-rotate`: opens the log files anew after they were moved away, as SIGUSR1 does.

use std::sync::Arc;

use axum::http::StatusCode;
use mainspring_core::{ComponentContext, Dependencies, LoadError, NoConfig, ServiceOutline};
use mainspring_logging::Logging;
use mainspring_server::{Body, HandlerDefaults, HandlerError, HttpHandler, Request, Response};
use tokio::sync::Mutex;

/// Opens all log files anew and answers with an empty body when they are open.
#[derive(Debug)]
pub struct OnLogRotateHandler {
    logging: Logging,
    cx: ComponentContext,
    /// Held while files are opened: a file system that hangs may cost one thread, not one for each request.
    reopening: Arc<Mutex<()>>,
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
        Ok(Self { logging: cx.logging().clone(), cx: cx.clone(), reopening: Arc::default() })
    }

    async fn handle(&self, _request: Request) -> Result<Response, HandlerError> {
        let Ok(reopening) = Arc::clone(&self.reopening).try_lock_owned() else {
            let message = "log files are being opened already";
            return Err(HandlerError::new(StatusCode::SERVICE_UNAVAILABLE, message));
        };
        let logging = self.logging.clone();
        // Opening files blocks.
        let reopen = move || {
            let _reopening = reopening;
            logging.reopen()
        };
        let reopened = self.cx.spawn_blocking("reopen-logs", reopen).await?;
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
