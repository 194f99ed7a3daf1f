//! Handlers that the tests ask.

use std::sync::Arc;

use mainspring_core::{Component, ComponentContext, ComponentList, ConfigMode, LoadError, NoConfig};
use mainspring_server::{
    Body, HandlerDefaults, HandlerError, HttpHandler, HttpHandlerComponent, JsonHandler,
    JsonHandlerComponent, PingHandler, Request, RequestContext, Response, ServerComponent, read_body,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::support::Running;

/// Everything below and the server.
pub(crate) fn list() -> ComponentList {
    ComponentList::minimal()
        .append_default::<ServerComponent>()
        .append_default::<JsonHandlerComponent<Greet>>()
        .append_default::<HttpHandlerComponent<Careless>>()
        .append_default::<HttpHandlerComponent<Endless>>()
        .append_default::<HttpHandlerComponent<Status>>()
        .append_default::<HttpHandlerComponent<PingHandler>>()
        .append_default::<HttpHandlerComponent<Chatty>>()
        .append_default::<HttpHandlerComponent<Large>>()
        .append_default::<HttpHandlerComponent<Held>>()
        .append_default::<Gate>()
}

/// Greets by name, politely or as configured.
pub(crate) struct Greet {
    greeting: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GreetConfig {
    #[serde(default = "GreetConfig::default_greeting")]
    greeting: String,
}

impl GreetConfig {
    fn default_greeting() -> String {
        "Hello".to_owned()
    }
}

#[derive(Deserialize)]
pub(crate) struct Who {
    names: Vec<String>,
}

#[derive(Serialize)]
pub(crate) struct Greeting {
    greeting: String,
    thread: Option<String>,
    path: Option<String>,
    title: Option<String>,
}

impl JsonHandler for Greet {
    const DEFAULT_NAME: &'static str = "handler-greet";
    const DEFAULTS: HandlerDefaults = HandlerDefaults::new().with_path("/greet").with_method("GET,POST");
    type Config = GreetConfig;
    type Request = Option<Who>;
    type Response = Greeting;

    async fn load(config: GreetConfig, _cx: &ComponentContext) -> Result<Self, LoadError> {
        Ok(Self { greeting: config.greeting })
    }

    async fn handle(&self, request: Option<Who>, cx: &RequestContext) -> Result<Greeting, HandlerError> {
        let names = request.map_or_else(Vec::new, |who| who.names);
        if names.iter().any(String::is_empty) {
            let details = serde_json::json!({"names": names});
            return Err(HandlerError::conflict("a name is empty").with_code("EMPTY").with_details(details));
        }
        Ok(Greeting {
            greeting: format!("{}, {}", self.greeting, names.join(" and ")),
            thread: std::thread::current().name().map(str::to_owned),
            path: cx.path_param("who").map(str::to_owned),
            title: cx.query_param("title"),
        })
    }
}

/// Panics.
pub(crate) struct Careless;

impl HttpHandler for Careless {
    const DEFAULT_NAME: &'static str = "handler-careless";
    const DEFAULTS: HandlerDefaults = HandlerDefaults::new().with_path("/careless").with_method("GET");
    type Config = NoConfig;

    async fn load(_config: NoConfig, _cx: &ComponentContext) -> Result<Self, LoadError> {
        Ok(Self)
    }

    async fn handle(&self, _request: Request) -> Result<Response, HandlerError> {
        panic!("the handler lost its head")
    }
}

/// Never answers.
pub(crate) struct Endless;

impl HttpHandler for Endless {
    const DEFAULT_NAME: &'static str = "handler-endless";
    const DEFAULTS: HandlerDefaults = HandlerDefaults::new().with_path("/endless").with_method("GET");
    type Config = NoConfig;

    async fn load(_config: NoConfig, _cx: &ComponentContext) -> Result<Self, LoadError> {
        Ok(Self)
    }

    async fn handle(&self, _request: Request) -> Result<Response, HandlerError> {
        std::future::pending().await
    }
}

/// Answers with the status in its body, or fails over it.
pub(crate) struct Status;

impl HttpHandler for Status {
    const DEFAULT_NAME: &'static str = "handler-status";
    const DEFAULTS: HandlerDefaults = HandlerDefaults::new().with_path("/status").with_method("POST");
    type Config = NoConfig;

    async fn load(_config: NoConfig, _cx: &ComponentContext) -> Result<Self, LoadError> {
        Ok(Self)
    }

    async fn handle(&self, request: Request) -> Result<Response, HandlerError> {
        let body = read_body(request.into_body()).await?;
        let status: u16 = std::str::from_utf8(&body)?.parse()?;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status.try_into()?;
        Ok(response)
    }
}

/// Logs at each level, also in a task of its component.
pub(crate) struct Chatty(ComponentContext);

impl HttpHandler for Chatty {
    const DEFAULT_NAME: &'static str = "handler-chatty";
    const DEFAULTS: HandlerDefaults = HandlerDefaults::new().with_path("/chatty").with_method("GET");
    type Config = NoConfig;

    async fn load(_config: NoConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        Ok(Self(cx.clone()))
    }

    async fn handle(&self, _request: Request) -> Result<Response, HandlerError> {
        tokio::task::yield_now().await;
        tracing::debug!("Chat at debug");
        tracing::info!("Chat at info");
        tracing::warn!("Chat at warning");
        self.0.spawn("background", async { tracing::debug!("Chat in the background") }).await?;
        Ok(Response::new(Body::empty()))
    }
}

/// Answers with more than the buffers between it and a client hold.
pub(crate) struct Large;

impl Large {
    pub(crate) const BYTES: usize = 64 << 20;
}

impl HttpHandler for Large {
    const DEFAULT_NAME: &'static str = "handler-large";
    const DEFAULTS: HandlerDefaults = HandlerDefaults::new().with_path("/large").with_method("GET");
    type Config = NoConfig;

    async fn load(_config: NoConfig, _cx: &ComponentContext) -> Result<Self, LoadError> {
        Ok(Self)
    }

    async fn handle(&self, _request: Request) -> Result<Response, HandlerError> {
        Ok(Response::new(Body::from(vec![b'x'; Self::BYTES])))
    }
}

/// Answers when the test opens the gate.
pub(crate) struct Held(Arc<Gate>);

impl HttpHandler for Held {
    const DEFAULT_NAME: &'static str = "handler-held";
    const DEFAULTS: HandlerDefaults = HandlerDefaults::new().with_path("/held").with_method("GET");
    type Config = NoConfig;

    async fn load(_config: NoConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        Ok(Self(cx.find_default().await?))
    }

    async fn handle(&self, _request: Request) -> Result<Response, HandlerError> {
        let _passed = self.0.0.acquire().await?;
        Ok(Response::new(Body::empty()))
    }
}

/// What [`Held`] waits for.
pub(crate) struct Gate(Semaphore);

impl Gate {
    pub(crate) fn open(service: &Running) {
        Self::of(service).0.add_permits(1);
    }

    pub(crate) fn close(service: &Running) {
        Self::of(service).0.forget_permits(1);
    }

    fn of(service: &Running) -> Arc<Self> {
        service.handle.component(Self::DEFAULT_NAME).expect("it is loaded")
    }
}

impl Component for Gate {
    const DEFAULT_NAME: &'static str = "gate";
    const CONFIG_MODE: ConfigMode = ConfigMode::NotRequired;
    type Config = NoConfig;

    async fn load(_config: NoConfig, _cx: &ComponentContext) -> Result<Self, LoadError> {
        Ok(Self(Semaphore::new(0)))
    }
}
