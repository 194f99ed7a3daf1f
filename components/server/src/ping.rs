//! `handler-ping`: whether the service wants requests.

use mainspring_core::{ComponentContext, Dependencies, LoadError, NoConfig, ServiceHandle, ServiceOutline};

use crate::{Body, HandlerDefaults, HandlerError, HttpHandler, Request, Response, StatusCode};

/// Answers 200 while the service is running and no component is fatal, otherwise 500; the body is empty.
#[derive(Debug)]
pub struct PingHandler {
    service: ServiceHandle,
}

impl HttpHandler for PingHandler {
    const DEFAULT_NAME: &'static str = "handler-ping";
    const DEFAULTS: HandlerDefaults = HandlerDefaults::new().with_path("/ping").with_method("GET");
    type Config = NoConfig;

    fn dependencies(_: &NoConfig, _: &ServiceOutline) -> Dependencies {
        Dependencies::none()
    }

    async fn load(_config: NoConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        Ok(Self { service: cx.service().clone() })
    }

    async fn handle(&self, _request: Request) -> Result<Response, HandlerError> {
        let mut response = Response::new(Body::empty());
        if !self.service.is_ready() {
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
        Ok(response)
    }
}
