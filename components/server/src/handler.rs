//! What the two forms of handler components share: registering a route from options and defaults.

use std::sync::Arc;

use mainspring_core::dynamic::Subscription;
use mainspring_core::{Component, ComponentContext, LoadError};
use mainspring_metrics::Registration;

use crate::events::{RouteEvents, show_in_userver_view};
use crate::options::{LastSegment, ListenerKind, Resolved};
use crate::pipeline::{BodyLimit, Endpoint, Isolate, Limit, LogLevel, Observe, Pipeline};
use crate::routes::{Route, RouteGuard};
use crate::throttle::Throttle;
use crate::{HandlerDefaults, HandlerOptions, ServerComponent};

/// A handler at its place; dropping it takes the handler away.
#[derive(Debug)]
#[must_use = "the handler is taken away when this is dropped"]
pub(crate) struct Placed {
    listener: ListenerKind,
    _route: RouteGuard,
    _in_userver_view: Registration,
    _tuning: Subscription,
}

impl Placed {
    /// Whether it answers on the monitor listener, which is there until the service has stopped.
    pub(crate) fn is_on_monitor(&self) -> bool {
        self.listener == ListenerKind::Monitor
    }
}

/// Puts `endpoint` where the options say.
///
/// `None` when that is the monitor listener, the service has none, and nobody has asked for this handler in the
/// configuration.
pub(crate) async fn place(
    cx: &ComponentContext,
    options: &HandlerOptions,
    defaults: HandlerDefaults,
    endpoint: Box<dyn Endpoint>,
) -> Result<Option<Placed>, LoadError> {
    let Resolved { path, methods, levels, listener } =
        options.resolve(defaults).expect("the options are right: checked in `validate`");
    let server = cx.find::<ServerComponent>(ServerComponent::DEFAULT_NAME).await?;
    // Asked for in the configuration, the handler is refused there without a listener.
    let Some(listen) = server.listen(listener) else { return Ok(None) };
    let processor = match &options.task_processor {
        Some(name) => cx.task_processor(name)?,
        None => listen.processor().clone(),
    };
    let bytes_max = options.max_request_size.unwrap_or_else(|| listen.defaults().max_request_size).as_usize();
    let events = RouteEvents::new(cx, server.totals(), &path.to_string(), levels);
    for method in methods.iter() {
        // Asked for so that the gauge is there, at 0, before the first request.
        let _gauge = events.active(method);
    }
    let in_userver_view = show_in_userver_view(cx, &events);
    let (throttle, tuning) = Throttle::follow(cx, options);
    let pipeline = Pipeline::new(
        vec![
            Box::new(Observe { events: Arc::clone(&events) }),
            Box::new(Limit { throttle, events: Arc::clone(&events) }),
            Box::new(Isolate { cx: cx.clone(), processor }),
            Box::new(LogLevel { events: Arc::clone(&events) }),
            Box::new(BodyLimit { bytes_max, events }),
        ],
        endpoint,
    );
    let patterns = match defaults.last_segment {
        LastSegment::Required => vec![path.pattern().to_owned()],
        LastSegment::Optional => path.patterns_without_last(),
    };
    let route = Route { component: cx.name().to_owned(), patterns, methods, pipeline };
    let route = listen.routes().register(route)?;
    Ok(Some(Placed { listener, _route: route, _in_userver_view: in_userver_view, _tuning: tuning }))
}
