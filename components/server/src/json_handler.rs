//! Handlers with one typed JSON method.

use std::fmt;

use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::StatusCode;
use mainspring_config::Violation;
use mainspring_core::dynamic::AnyVariable;
use mainspring_core::{Component, ComponentContext, ConfigMode, Dependencies, LoadError, ServiceOutline};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::json_response;
use crate::handler::{Placed, place};
use crate::pipeline::Endpoint;
use crate::{
    HTTP_HANDLER, HandlerConfig, HandlerDefaults, HandlerError, RequestContext, ServerComponent, read_body,
};

/// A handler that reads its request from JSON and writes its response as JSON, with status 200.
///
/// It becomes a component as [`JsonHandlerComponent<Self>`]. An empty body reads as `null`, as in userver.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a JSON handler",
    note = "implement `JsonHandler` for it: `DEFAULT_NAME`, the types `Config`, `Request`, `Response`, `load` and `handle`"
)]
pub trait JsonHandler: Sized + Send + Sync + 'static {
    /// The name under which `append_default` registers its component.
    const DEFAULT_NAME: &'static str;

    /// What it uses where its section says nothing.
    const DEFAULTS: HandlerDefaults = HandlerDefaults::new();

    /// Its own keys, which stand in its section beside those of
    /// [`HandlerOptions`](crate::HandlerOptions); [`NoConfig`](mainspring_core::NoConfig) for none.
    type Config: DeserializeOwned + JsonSchema + Send + 'static;

    /// What the body of a request is read into.
    type Request: DeserializeOwned + Send;

    /// What the body of an answer is written from.
    type Response: Serialize + Send;

    /// The components that its load will look for, besides the server; as [`Component::dependencies`].
    fn dependencies(config: &Self::Config, service: &ServiceOutline) -> Dependencies {
        let _ = (config, service);
        Dependencies::unknown()
    }

    /// Builds the handler; as [`Component::load`].
    ///
    /// # Errors
    /// Whatever keeps it from working; the service then does not start.
    ///
    /// # Cancel safety
    /// As for [`Component::load`].
    fn load(
        config: Self::Config,
        cx: &ComponentContext,
    ) -> impl Future<Output = Result<Self, LoadError>> + Send;

    /// Answers one request, on the handler's task processor.
    ///
    /// # Errors
    /// The answer, when it is no success.
    ///
    /// # Cancel safety
    /// The future is dropped at its next suspension point when the client goes away.
    fn handle(
        &self,
        request: Self::Request,
        cx: &RequestContext,
    ) -> impl Future<Output = Result<Self::Response, HandlerError>> + Send;
}

/// The component that a [`JsonHandler`] is registered as.
pub struct JsonHandlerComponent<H> {
    placed: Option<Placed>,
    _handler: std::marker::PhantomData<fn() -> H>,
}

impl<H: JsonHandler> Component for JsonHandlerComponent<H> {
    const DEFAULT_NAME: &'static str = H::DEFAULT_NAME;
    const CONFIG_MODE: ConfigMode = H::DEFAULTS.config_mode();
    type Config = HandlerConfig<H::Config>;

    fn dynamic_variables() -> Vec<&'static dyn AnyVariable> {
        vec![&HTTP_HANDLER]
    }

    fn validate(config: &Self::Config, service: &ServiceOutline) -> Vec<Violation> {
        config.options.violations(H::DEFAULTS, service)
    }

    fn dependencies(config: &Self::Config, service: &ServiceOutline) -> Dependencies {
        H::dependencies(&config.own, service).and(ServerComponent::DEFAULT_NAME)
    }

    async fn load(config: Self::Config, cx: &ComponentContext) -> Result<Self, LoadError> {
        let handler = H::load(config.own, cx).await?;
        let placed = place(cx, &config.options, H::DEFAULTS, Box::new(Adapter(handler))).await?;
        Ok(Self { placed, _handler: std::marker::PhantomData })
    }

    fn stops_last(&self) -> bool {
        self.placed.as_ref().is_some_and(Placed::is_on_monitor)
    }
}

impl<H> fmt::Debug for JsonHandlerComponent<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonHandlerComponent").field("placed", &self.placed).finish_non_exhaustive()
    }
}

struct Adapter<H>(H);

impl<H: JsonHandler> Endpoint for Adapter<H> {
    fn call(&self, request: Request) -> BoxFuture<'_, Response> {
        Box::pin(async move { self.answer(request).await.unwrap_or_else(HandlerError::into_response) })
    }
}

impl<H: JsonHandler> Adapter<H> {
    async fn answer(&self, request: Request) -> Result<Response, HandlerError> {
        let (parts, body) = request.into_parts();
        let cx = RequestContext::new(parts).await;
        let request = parse(&read_body(body).await?)?;
        let response = self.0.handle(request, &cx).await?;
        Ok(json_response(StatusCode::OK, serde_json::to_vec(&response)?))
    }
}

fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, HandlerError> {
    let text: &[u8] = if body.is_empty() { b"null" } else { body };
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        // `.` is the whole body, `?` an end in the middle of it.
        let at = if matches!(&*path, "." | "?") { String::new() } else { format!("`{path}`: ") };
        HandlerError::bad_request(format!("Invalid JSON body: {at}{}", error.inner()))
    })?;
    deserializer.end().map_err(|error| HandlerError::bad_request(format!("Invalid JSON body: {error}")))?;
    Ok(value)
}
