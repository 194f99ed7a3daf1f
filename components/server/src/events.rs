//! Everything the server reports: log lines and metrics, one function per event.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::{Method, StatusCode};
use mainspring_core::ComponentContext;
use mainspring_logging::Level;
use mainspring_metrics::{
    Collector, Counter, DURATION_BOUNDS, Family, Gauge, Histogram, MetricsScope, Registration, Snapshot,
    UserverView,
};
use tracing::{debug, error, info, trace, warn};

use crate::body::BODY_SIZE;
use crate::error::Failure;
use crate::options::ListenerKind;

static DURATION: Family = Family::histogram(
    "http_server_request_duration_seconds",
    DURATION_BOUNDS,
    "Time from the head of a request to the head of its answer.",
);
static ACTIVE: Family = Family::gauge("http_server_active_requests", "Requests that are being answered.");
static REJECTED: Family =
    Family::counter("http_server_rejected_requests", "Requests refused before their handler had read them.");
static CONNECTIONS: Family = Family::gauge("http_server_connections", "Open connections.");
static CONNECTION_EVENTS: Family = Family::counter(
    "http_server_connection_events",
    "Connections opened, closed, and failed to be accepted.",
);

/// nginx's number for a client that went away, which userver logs too. It is never sent.
const CLIENT_CLOSED: u16 = 499;
const CLIENT_CLOSED_TYPE: &str = "client_closed";
const SCHEME: (&str, &str) = ("url_scheme", "http");

/// How a request ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Answered { status: StatusCode, failure: Failure },
    ClientClosed,
}

/// The reports of one route, with its metric handles looked up once per method and status.
pub(crate) struct RouteEvents {
    component: String,
    route: String,
    log_level: Level,
    metrics: MetricsScope,
    active: RwLock<BTreeMap<&'static str, Gauge>>,
    durations: RwLock<BTreeMap<Ending, Histogram>>,
    rejected_bodies: Counter,
}

/// What tells the histograms of a route apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Ending {
    method: &'static str,
    status: u16,
    error_type: Option<&'static str>,
}

impl RouteEvents {
    /// Reports for `route`, which is empty for requests that no route takes.
    pub(crate) fn new(cx: &ComponentContext, route: &str, log_level: Level) -> Arc<Self> {
        let metrics = MetricsScope::new(cx.metrics(), cx.name());
        let rejected_bodies = metrics.counter(&REJECTED, &[("reason", BODY_SIZE)]);
        Arc::new(Self {
            component: cx.name().to_owned(),
            route: route.to_owned(),
            log_level,
            metrics,
            active: RwLock::default(),
            durations: RwLock::default(),
            rejected_bodies,
        })
    }

    /// The gauge of requests under way.
    pub(crate) fn active(&self, method: &Method) -> Gauge {
        let method = method_label(method);
        cached(&self.active, method, || {
            self.metrics.gauge(&ACTIVE, &[("http_request_method", method), SCHEME])
        })
    }

    pub(crate) fn body_rejected(&self) {
        self.rejected_bodies.inc();
    }

    pub(crate) fn request_ended(&self, method: &Method, path: &str, took: Duration, outcome: &Outcome) {
        let (status, error_type, cause) = match outcome {
            Outcome::Answered { status, failure } => {
                (status.as_u16(), failure.error_type, failure.cause.as_deref())
            }
            Outcome::ClientClosed => (CLIENT_CLOSED, Some(CLIENT_CLOSED_TYPE), None),
        };
        self.duration(Ending { method: method_label(method), status, error_type })
            .observe(took.as_secs_f64());
        self.log(method, path, status, took, cause);
    }

    fn log(&self, method: &Method, path: &str, status: u16, took: Duration, cause: Option<&str>) {
        let least = match status {
            500.. => Level::Error,
            400.. => Level::Warning,
            _ => Level::Trace,
        };
        let (component, route) = (self.component.as_str(), self.route.as_str());
        // Whole microseconds: more digits would be noise.
        let duration_ms = (took.as_secs_f64() * 1e6).round() / 1e3;
        macro_rules! line {
            ($log:ident) => {
                $log!(component, %method, path, route, status, duration_ms, error = cause, "Request handled")
            };
        }
        match self.log_level.max(least) {
            Level::Trace => line!(trace),
            Level::Debug => line!(debug),
            Level::Info => line!(info),
            Level::Warning => line!(warn),
            Level::Error => line!(error),
            Level::Critical | Level::None => {}
        }
    }

    fn duration(&self, ending: Ending) -> Histogram {
        cached(&self.durations, ending, || {
            let status = ending.status.to_string();
            let fallback = if 500 <= ending.status { status.as_str() } else { "" };
            self.metrics.histogram(
                &DURATION,
                &[
                    ("error_type", ending.error_type.unwrap_or(fallback)),
                    ("http_request_method", ending.method),
                    ("http_response_status_code", &status),
                    ("http_route", &self.route),
                    SCHEME,
                ],
            )
        })
    }
}

impl Collector for RouteEvents {
    /// The scope reports these.
    fn collect(&self, _snapshot: &mut Snapshot) {}

    fn collect_userver(&self, view: &mut UserverView) {
        let path = self.route.replace(|c: char| !(c.is_ascii_alphanumeric() || "/._-".contains(c)), "_");
        let labels =
            [("http_handler", self.component.as_str()), ("http_path", path.as_str()), ("version", "2")];
        let active = self.active.read().unwrap_or_else(PoisonError::into_inner);
        let in_flight: i64 = active.values().map(Gauge::get).sum();
        view.gauge("http.handler.in-flight", &labels, float(in_flight));
        let mut replies = BTreeMap::<u16, u64>::new();
        for (ending, duration) in &*self.durations.read().unwrap_or_else(PoisonError::into_inner) {
            *replies.entry(ending.status).or_default() += duration.get().count();
        }
        for (status, count) in replies {
            let status = status.to_string();
            let labels = [&labels[..], &[("http_code", status.as_str())]].concat();
            view.rate("http.handler.reply-codes", &labels, count);
        }
    }
}

/// The reports of one listener.
pub(crate) struct ListenerEvents {
    kind: ListenerKind,
    connections: Gauge,
    opened: Counter,
    closed: Counter,
    accept_failed: Counter,
}

impl ListenerEvents {
    pub(crate) fn new(metrics: &MetricsScope, kind: ListenerKind) -> Self {
        let listener = ("listener", kind.name());
        let event = |event| metrics.counter(&CONNECTION_EVENTS, &[("event", event), listener]);
        Self {
            kind,
            connections: metrics.gauge(&CONNECTIONS, &[listener]),
            opened: event("opened"),
            closed: event("closed"),
            accept_failed: event("accept_failed"),
        }
    }

    pub(crate) fn listening(&self, address: SocketAddr) {
        info!(listener = self.kind.name(), %address, "Listening");
    }

    pub(crate) fn draining(&self) {
        info!(listener = self.kind.name(), connections = self.connections.get(), "No longer listening");
    }

    pub(crate) fn cutting_off(&self) {
        warn!(
            listener = self.kind.name(),
            connections = self.connections.get(),
            "Cutting off connections that did not finish"
        );
    }

    /// Counts a connection for as long as the guard lives.
    pub(crate) fn opened(self: &Arc<Self>) -> OpenConnection {
        self.opened.inc();
        self.connections.inc();
        OpenConnection(Arc::clone(self))
    }

    /// Mostly a process out of file descriptors; connections wait in the backlog meanwhile.
    pub(crate) fn accept_failed(&self, error: &std::io::Error) {
        self.accept_failed.inc();
        warn!(listener = self.kind.name(), %error, "Cannot accept a connection");
    }

    /// Anyone may send nonsense, so this is no warning.
    pub(crate) fn connection_failed(&self, error: &hyper::Error) {
        debug!(listener = self.kind.name(), %error, "Connection failed");
    }
}

impl Collector for ListenerEvents {
    fn collect(&self, _snapshot: &mut Snapshot) {}

    fn collect_userver(&self, view: &mut UserverView) {
        let labels = [("listener", self.kind.name())];
        view.gauge("server.connections.active", &labels, float(self.connections.get()));
        view.rate("server.connections.opened", &labels, self.opened.get());
        view.rate("server.connections.closed", &labels, self.closed.get());
    }
}

/// An open connection.
pub(crate) struct OpenConnection(Arc<ListenerEvents>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connections.dec();
        self.0.closed.inc();
    }
}

/// Shows `collector` under userver's names for as long as the guard lives.
pub(crate) fn show_in_userver_view<C: Collector + 'static>(
    cx: &ComponentContext,
    collector: &Arc<C>,
) -> Registration {
    cx.metrics().register(Arc::<C>::clone(collector))
}

pub(crate) fn no_monitor_listener() {
    warn!("No `listener-monitor` is configured: metrics, probes and controls are not served");
}

fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        Method::TRACE => "TRACE",
        Method::CONNECT => "CONNECT",
        // OpenTelemetry's word for the rest, which keeps the label bounded.
        _ => "_OTHER",
    }
}

fn cached<K: Ord + Copy, V: Clone>(cache: &RwLock<BTreeMap<K, V>>, key: K, create: impl FnOnce() -> V) -> V {
    if let Some(value) = cache.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
        return value.clone();
    }
    let mut cache = cache.write().unwrap_or_else(PoisonError::into_inner);
    cache.entry(key).or_insert_with(create).clone()
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests and connections stay far below 2^53")]
fn float(count: i64) -> f64 {
    count as f64
}
