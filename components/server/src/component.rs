//! The component `server`: owns the listeners and their routes.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use mainspring_config::Violation;
use mainspring_core::{Component, ComponentContext, Dependencies, LoadError, ServiceOutline};
use mainspring_engine::TaskProcessor;
use mainspring_metrics::{MetricsScope, Registration};

use crate::config::{ListenerHandlerDefaults, ServerConfig};
use crate::events::{self, RouteEvents, Totals, show_in_userver_view};
use crate::listener::Listener;
use crate::options::{Levels, ListenerKind};
use crate::pipeline::{Endpoint, Observe, Pipeline};
use crate::routes::RouteTable;
use crate::{HandlerError, Request, Response};

/// How long answers of the monitor may still take once everything that uses it has stopped.
const MONITOR_DRAIN_MAX: Duration = Duration::from_secs(1);

/// The listeners of a service.
///
/// The monitor listener answers as soon as this component is loaded; the main one once all components are. When
/// the service stops the main listener closes first and requests under way are answered to their end; the monitor
/// listener and its handlers are there until every other component has stopped.
pub struct ServerComponent {
    main: Listen,
    monitor: Option<Listen>,
    totals: Arc<Totals>,
    _metrics: MetricsScope,
    _in_userver_view: [Registration; 2],
}

/// A listener with what its handlers use by default.
pub(crate) struct Listen {
    listener: Listener,
    defaults: ListenerHandlerDefaults,
}

impl Listen {
    pub(crate) fn routes(&self) -> &Arc<RouteTable> {
        self.listener.routes()
    }

    pub(crate) fn processor(&self) -> &TaskProcessor {
        self.listener.processor()
    }

    pub(crate) fn defaults(&self) -> &ListenerHandlerDefaults {
        &self.defaults
    }
}

impl ServerComponent {
    /// Where the main listener is, with the port that was given to it if the configuration says 0.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.main.listener.local_addr()
    }

    /// Where the monitor listener is; `None` when none is configured.
    #[must_use]
    pub fn monitor_addr(&self) -> Option<SocketAddr> {
        self.monitor.as_ref().map(|monitor| monitor.listener.local_addr())
    }

    pub(crate) fn totals(&self) -> &Arc<Totals> {
        &self.totals
    }

    pub(crate) fn listen(&self, kind: ListenerKind) -> Option<&Listen> {
        match kind {
            ListenerKind::Main => Some(&self.main),
            ListenerKind::Monitor => self.monitor.as_ref(),
        }
    }
}

impl Component for ServerComponent {
    const DEFAULT_NAME: &'static str = "server";
    type Config = ServerConfig;

    fn validate(config: &ServerConfig, service: &ServiceOutline) -> Vec<Violation> {
        config.violations(service)
    }

    fn dependencies(_: &ServerConfig, _: &ServiceOutline) -> Dependencies {
        Dependencies::none()
    }

    async fn load(config: ServerConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        let metrics = MetricsScope::new(cx.metrics(), cx.name());
        let totals = Arc::<Totals>::default();
        let unrouted = RouteEvents::new(cx, &totals, "", Levels::default());
        let listen = |kind, config: &crate::ListenerConfig| {
            let refuse = |refusal| {
                let observe = Observe { events: Arc::clone(&unrouted) };
                Pipeline::new(vec![Box::new(observe)], Box::new(refusal))
            };
            let routes = RouteTable::new(refuse(Refusal::NotFound), refuse(Refusal::MethodNotAllowed));
            let listener = Listener::bind(cx, kind, config, routes, &metrics)?;
            Ok::<_, LoadError>(Listen { listener, defaults: config.handler_defaults.clone() })
        };
        let main = listen(ListenerKind::Main, &config.listener)?;
        let monitor = config.listener_monitor.as_ref().map(|config| listen(ListenerKind::Monitor, config));
        let monitor = monitor.transpose()?;
        match &monitor {
            Some(monitor) => monitor.listener.serve().await?,
            None => events::no_monitor_listener(),
        }
        let in_userver_view = [show_in_userver_view(cx, &unrouted), show_in_userver_view(cx, &totals)];
        Ok(Self { main, monitor, totals, _metrics: metrics, _in_userver_view: in_userver_view })
    }

    async fn on_all_components_loaded(&self) -> Result<(), LoadError> {
        self.main.listener.serve().await
    }

    async fn on_all_components_are_stopping(&self) {
        self.main.listener.drain_or_cut_off().await;
    }

    /// It takes no more requests by then; what is left is the monitor.
    fn stops_last(&self) -> bool {
        true
    }

    async fn stop(&self) {
        // Without the hook, after a start that failed, it is open still.
        self.main.listener.close(Duration::ZERO).await;
        if let Some(monitor) = &self.monitor {
            monitor.listener.close(MONITOR_DRAIN_MAX).await;
        }
    }
}

impl fmt::Debug for ServerComponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerComponent")
            .field("local_addr", &self.local_addr())
            .field("monitor_addr", &self.monitor_addr())
            .finish_non_exhaustive()
    }
}

/// Answers what no handler answers.
#[derive(Debug, Clone, Copy)]
enum Refusal {
    NotFound,
    MethodNotAllowed,
}

impl Endpoint for Refusal {
    fn call(&self, _request: Request) -> BoxFuture<'_, Response> {
        let error = match self {
            Self::NotFound => HandlerError::not_found("Not Found"),
            Self::MethodNotAllowed => HandlerError::method_not_allowed("Method Not Allowed"),
        };
        Box::pin(std::future::ready(error.into_response()))
    }
}
