//! Handlers with axum's request and response.

use std::fmt;

use axum::extract::Request;
use axum::response::Response;
use futures_util::future::BoxFuture;
use mainspring_config::Violation;
use mainspring_core::dynamic::AnyVariable;
use mainspring_core::{Component, ComponentContext, ConfigMode, Dependencies, LoadError, ServiceOutline};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::handler::{Placed, place};
use crate::pipeline::Endpoint;
use crate::{HTTP_HANDLER, HandlerConfig, HandlerDefaults, HandlerError, ServerComponent};

/// A handler that does as it likes with a request, including axum's extractors.
///
/// It becomes a component as [`HttpHandlerComponent<Self>`]. The body is bounded by `max_request_size`;
/// [`read_body`](crate::read_body) reads it whole.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an HTTP handler",
    note = "implement `HttpHandler` for it: `DEFAULT_NAME`, `type Config`, `load` and `handle`"
)]
pub trait HttpHandler: Sized + Send + Sync + 'static {
    /// The name under which `append_default` registers its component.
    const DEFAULT_NAME: &'static str;

    /// What it uses where its section says nothing.
    const DEFAULTS: HandlerDefaults = HandlerDefaults::new();

    /// Its own keys, which stand in its section beside those of
    /// [`HandlerOptions`](crate::HandlerOptions); [`NoConfig`](mainspring_core::NoConfig) for none.
    type Config: DeserializeOwned + JsonSchema + Send + 'static;

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
    /// The answer, when it is no success and JSON will do.
    ///
    /// # Cancel safety
    /// The future is dropped at its next suspension point when the client goes away.
    fn handle(&self, request: Request) -> impl Future<Output = Result<Response, HandlerError>> + Send;
}

/// The component that an [`HttpHandler`] is registered as.
pub struct HttpHandlerComponent<H> {
    placed: Option<Placed>,
    _handler: std::marker::PhantomData<fn() -> H>,
}

impl<H: HttpHandler> Component for HttpHandlerComponent<H> {
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

impl<H> fmt::Debug for HttpHandlerComponent<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpHandlerComponent").field("placed", &self.placed).finish_non_exhaustive()
    }
}

struct Adapter<H>(H);

impl<H: HttpHandler> Endpoint for Adapter<H> {
    fn call(&self, request: Request) -> BoxFuture<'_, Response> {
        Box::pin(async move { self.0.handle(request).await.unwrap_or_else(HandlerError::into_response) })
    }
}
