//! The component `handler-hello`.

use mainspring::prelude::*;
use mainspring::server::{HandlerError, JsonHandler, RequestContext};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Greets whoever asks, in words that the configuration chooses.
#[derive(Debug)]
pub struct Hello {
    greeting: String,
}

/// What `handler-hello` takes beside the options of every handler.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct HelloConfig {
    /// The word before the name; default `Hello`.
    #[serde(default = "HelloConfig::default_greeting")]
    greeting: String,
}

impl HelloConfig {
    fn default_greeting() -> String {
        "Hello".to_owned()
    }
}

/// The body of a request.
#[derive(Debug, Deserialize)]
pub struct HelloRequest {
    name: String,
}

/// The body of a reply.
#[derive(Debug, Serialize)]
pub struct HelloReply {
    message: String,
}

impl JsonHandler for Hello {
    const DEFAULT_NAME: &'static str = "handler-hello";
    type Config = HelloConfig;
    type Request = HelloRequest;
    type Response = HelloReply;

    fn dependencies(_config: &HelloConfig, _service: &ServiceOutline) -> Dependencies {
        Dependencies::none()
    }

    async fn load(config: HelloConfig, _cx: &ComponentContext) -> Result<Self, LoadError> {
        Ok(Self { greeting: config.greeting })
    }

    async fn handle(&self, request: HelloRequest, _cx: &RequestContext) -> Result<HelloReply, HandlerError> {
        if request.name.is_empty() {
            return Err(HandlerError::bad_request("a name is not empty"));
        }
        Ok(HelloReply { message: format!("{}, {}!", self.greeting, request.name) })
    }
}
