//! HTTP listeners and handler components over axum.
//!
//! [`ServerComponent`] owns the listeners. Everything that answers requests is a component of its own: a struct
//! that implements [`JsonHandler`] (one typed JSON method) or [`HttpHandler`] (axum's request and response),
//! registered as [`JsonHandlerComponent`] or [`HttpHandlerComponent`]. Its section of the configuration says at
//! which path, for which methods and on which task processor it works.
//!
//! ```
//! use mainspring_core::{ComponentContext, ComponentList, LoadError, NoConfig};
//! use mainspring_server::{HandlerError, JsonHandler, JsonHandlerComponent, RequestContext, ServerComponent};
//!
//! struct Hello;
//!
//! #[derive(serde::Deserialize)]
//! struct Who {
//!     name: String,
//! }
//!
//! impl JsonHandler for Hello {
//!     const DEFAULT_NAME: &'static str = "handler-hello";
//!     type Config = NoConfig;
//!     type Request = Who;
//!     type Response = String;
//!
//!     async fn load(_config: NoConfig, _cx: &ComponentContext) -> Result<Self, LoadError> {
//!         Ok(Self)
//!     }
//!
//!     async fn handle(&self, request: Who, _cx: &RequestContext) -> Result<String, HandlerError> {
//!         if request.name.is_empty() {
//!             return Err(HandlerError::bad_request("a name is not empty"));
//!         }
//!         Ok(format!("Hello, {}!", request.name))
//!     }
//! }
//!
//! let list = ComponentList::minimal()
//!     .append_default::<ServerComponent>()
//!     .append_default::<JsonHandlerComponent<Hello>>();
//! assert!(list.names().eq(["handler-hello", "logging", "server"]));
//! ```
//!
//! A request passes, in this order: hyper (parsing, bounds on the head), axum's router, and the middlewares of
//! its route: observation (the log line and metrics), the limits on how many there may be, the hop to the handler's task
//! processor (where a panic ends), the handler's log level, the bound on the body, the adapter that calls the handler.
//!
//! Deliberately absent until the HTTP issue: TLS, HTTP/2, unix sockets, compression, authentication, deadlines,
//! middlewares as components.

mod component;
mod config;

mod handler;
mod http_handler;
mod json_handler;
mod ping;

mod context;
mod error;
mod options;

mod body;
mod events;
mod linger;
mod listener;
mod methods;
mod path;
mod patience;
mod pipeline;
mod routes;
mod stream;
mod throttle;

#[cfg(test)]
mod tests;

pub use axum::body::Body;
pub use axum::extract::Request;
pub use axum::response::Response;
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};

pub use crate::body::read_body;
pub use crate::component::ServerComponent;
pub use crate::config::{ListenerConfig, ListenerHandlerDefaults, ServerConfig};
pub use crate::context::RequestContext;
pub use crate::error::HandlerError;
pub use crate::http_handler::{HttpHandler, HttpHandlerComponent};
pub use crate::json_handler::{JsonHandler, JsonHandlerComponent};
pub use crate::methods::Methods;
pub use crate::options::{HandlerConfig, HandlerDefaults, HandlerOptions, StatusLevels};
pub use crate::ping::PingHandler;
pub use crate::throttle::{HTTP_HANDLER, HandlerTuning};
