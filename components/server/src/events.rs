//! Everything the server reports: log lines and metrics, one function per event.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::{Method, StatusCode};
use mainspring_core::ComponentContext;
use mainspring_logging::{Level, LocalLevel};
use mainspring_metrics::{
    Collector, Counter, DURATION_BOUNDS, Family, Gauge, Histogram, MetricsScope, Registration, Snapshot,
    UserverView,
};
use tracing::{Span, debug, error, info, trace, warn};

use crate::body::{BODY_SIZE, BODY_TIMEOUT};
use crate::error::Failure;
use crate::options::{Levels, ListenerKind};
use crate::throttle::{Exceeded, Limits};

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
    "Connections opened, closed, failed to be accepted, broken, and given up on because the client stalled.",
);

/// Values of the label `reason` for heads that no route ever sees.
const MALFORMED: &str = "malformed";
const HEAD_SIZE: &str = "head_size";
const HEAD_TIMEOUT: &str = "head_timeout";

/// And for requests that were one too many for their handler.
const IN_FLIGHT: &str = "max_requests_in_flight";
const PER_SECOND: &str = "max_requests_per_second";

/// nginx's number for a client that went away, which userver logs and counts too. It is never sent, so the label of
/// the histogram, which tells what was sent, is empty.
const CLIENT_CLOSED: u16 = 499;
const CLIENT_CLOSED_TYPE: &str = "client_closed";
const SCHEME: (&str, &str) = ("url_scheme", "http");

/// Most characters of a path in the line of its request: clients choose them.
const PATH_CHARS_MAX: usize = 300;

/// How a request ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Answered { status: StatusCode, failure: Failure },
    ClientClosed,
}

/// A request that has ended.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) took: Duration,
    pub(crate) active: &'a Gauge,
}

/// The sums over all routes, for userver's view.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    in_flight: Gauge,
    replies: RwLock<BTreeMap<u16, Counter>>,
}

/// The reports of one route, with its metric handles looked up once per method and status.
pub(crate) struct RouteEvents {
    component: String,
    route: String,
    levels: Levels,
    local_level: Option<LocalLevel>,
    totals: Arc<Totals>,
    metrics: MetricsScope,
    active: RwLock<BTreeMap<&'static str, Gauge>>,
    durations: RwLock<BTreeMap<Ending, Histogram>>,
    rejected_by_size: Counter,
    rejected_by_timeout: Counter,
    rejected_in_flight: Counter,
    rejected_per_second: Counter,
}

/// What tells the histograms of a route apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Ending {
    method: &'static str,
    /// What was sent, if anything was.
    status: Option<u16>,
    error_type: Option<&'static str>,
}

impl RouteEvents {
    /// Reports for `route`, which is empty for requests that no route takes.
    pub(crate) fn new(cx: &ComponentContext, totals: &Arc<Totals>, route: &str, levels: Levels) -> Arc<Self> {
        let metrics = MetricsScope::new(cx.metrics(), cx.name());
        let rejected = |reason| metrics.counter(&REJECTED, &[("reason", reason)]);
        Arc::new(Self {
            component: cx.name().to_owned(),
            route: route.to_owned(),
            local_level: levels.local.map(|level| cx.logging().local_level(level)),
            levels,
            totals: Arc::clone(totals),
            active: RwLock::default(),
            durations: RwLock::default(),
            rejected_by_size: rejected(BODY_SIZE),
            rejected_by_timeout: rejected(BODY_TIMEOUT),
            rejected_in_flight: rejected(IN_FLIGHT),
            rejected_per_second: rejected(PER_SECOND),
            metrics,
        })
    }

    /// A span inside the current one in which the handler's own log level counts, if it has one.
    pub(crate) fn log_span(&self) -> Option<Span> {
        self.local_level.as_ref().map(LocalLevel::span)
    }

    /// A request has begun; its gauge.
    pub(crate) fn request_began(&self, method: &Method) -> Gauge {
        let active = self.active(method);
        active.inc();
        self.totals.in_flight.inc();
        active
    }

    /// The gauge of requests under way.
    pub(crate) fn active(&self, method: &Method) -> Gauge {
        let method = method_label(method);
        cached(&self.active, method, || {
            self.metrics.gauge(&ACTIVE, &[("http_request_method", method), SCHEME])
        })
    }

    /// A request was refused, or failed, for this reason.
    pub(crate) fn failed(&self, error_type: &str) {
        match error_type {
            BODY_SIZE => self.rejected_by_size.inc(),
            BODY_TIMEOUT => self.rejected_by_timeout.inc(),
            _ => {}
        }
    }

    /// A request was one too many.
    pub(crate) fn throttled(&self, exceeded: Exceeded) {
        match exceeded {
            Exceeded::InFlight => self.rejected_in_flight.inc(),
            Exceeded::PerSecond(_) => self.rejected_per_second.inc(),
        }
    }

    pub(crate) fn request_ended(&self, request: &Request<'_>, outcome: &Outcome) {
        let (sent, error_type, cause) = match outcome {
            Outcome::Answered { status, failure } => {
                (Some(status.as_u16()), failure.error_type, failure.cause.as_deref())
            }
            Outcome::ClientClosed => (None, Some(CLIENT_CLOSED_TYPE), None),
        };
        self.duration(Ending { method: method_label(request.method), status: sent, error_type })
            .observe(request.took.as_secs_f64());
        let status = sent.unwrap_or(CLIENT_CLOSED);
        cached(&self.totals.replies, status, Counter::default).inc();
        match self.log_span() {
            Some(span) => span.in_scope(|| self.log(request, status, cause)),
            None => self.log(request, status, cause),
        }
        // Last: whoever sees that the request is over finds all of the above.
        request.active.dec();
        self.totals.in_flight.dec();
    }

    fn log(&self, request: &Request<'_>, status: u16, cause: Option<&str>) {
        let (component, route) = (self.component.as_str(), self.route.as_str());
        let (method, path) = (request.method, shortened(request.path));
        // Whole microseconds: more digits would be noise.
        let duration_ms = (request.took.as_secs_f64() * 1e6).round() / 1e3;
        macro_rules! line {
            ($log:ident) => {
                $log!(component, %method, path, route, status, duration_ms, error = cause, "Request handled")
            };
        }
        match self.levels.of_line(status) {
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
            let status = ending.status.map(|status| status.to_string()).unwrap_or_default();
            let fallback = if Some(500) <= ending.status { status.as_str() } else { "" };
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
            *replies.entry(ending.status.unwrap_or(CLIENT_CLOSED)).or_default() += duration.get().count();
        }
        replies_in_userver_view(view, "http.handler", &labels, replies);
        view.rate("http.handler.too-many-requests-in-flight", &labels, self.rejected_in_flight.get());
        view.rate("http.handler.rate-limit-reached", &labels, self.rejected_per_second.get());
    }
}

impl Collector for Totals {
    fn collect(&self, _snapshot: &mut Snapshot) {}

    fn collect_userver(&self, view: &mut UserverView) {
        let labels = [("version", "2")];
        view.gauge("http.handler.total.in-flight", &labels, float(self.in_flight.get()));
        let replies = self.replies.read().unwrap_or_else(PoisonError::into_inner);
        let replies = replies.iter().map(|(status, count)| (*status, count.get())).collect();
        replies_in_userver_view(view, "http.handler.total", &labels, replies);
    }
}

/// The replies by code, and all of them under userver's name for a rate of requests.
fn replies_in_userver_view(
    view: &mut UserverView,
    prefix: &str,
    labels: &[(&str, &str)],
    replies: BTreeMap<u16, u64>,
) {
    view.rate(&format!("{prefix}.rps"), labels, replies.values().sum());
    for (status, count) in replies {
        let status = status.to_string();
        let labels = [labels, &[("http_code", status.as_str())]].concat();
        view.rate(&format!("{prefix}.reply-codes"), &labels, count);
    }
}

/// The reports of one listener.
pub(crate) struct ListenerEvents {
    kind: ListenerKind,
    connections: Gauge,
    opened: Counter,
    closed: Counter,
    accept_failed: Counter,
    broken: Counter,
    stalled: Counter,
    malformed: Counter,
    head_size: Counter,
    head_timeout: Counter,
}

impl ListenerEvents {
    pub(crate) fn new(metrics: &MetricsScope, kind: ListenerKind) -> Self {
        let listener = ("listener", kind.name());
        let event = |event| metrics.counter(&CONNECTION_EVENTS, &[("event", event), listener]);
        let rejected = |reason| metrics.counter(&REJECTED, &[("reason", reason)]);
        Self {
            kind,
            connections: metrics.gauge(&CONNECTIONS, &[listener]),
            opened: event("opened"),
            closed: event("closed"),
            accept_failed: event("accept_failed"),
            broken: event("broken"),
            stalled: event("stalled"),
            malformed: rejected(MALFORMED),
            head_size: rejected(HEAD_SIZE),
            head_timeout: rejected(HEAD_TIMEOUT),
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

    /// A connection ended in another way than it should. Anyone may send nonsense, so nothing here is a warning.
    ///
    /// `in_head` says whether a part of a head had come: without it, a time that runs out is only the end of a
    /// connection that nobody used.
    pub(crate) fn connection_failed(&self, error: &hyper::Error, in_head: bool) {
        let listener = self.kind.name();
        let (counter, reason) = match error {
            error if error.is_parse_too_large() => (&self.head_size, HEAD_SIZE),
            error if error.is_parse() => (&self.malformed, MALFORMED),
            error if error.is_timeout() && in_head => (&self.head_timeout, HEAD_TIMEOUT),
            error if error.is_timeout() => return,
            error => {
                let stalled = is_stall(error);
                debug!(listener, stalled, error = error as &dyn std::error::Error, "Connection failed");
                if stalled { &self.stalled } else { &self.broken }.inc();
                return;
            }
        };
        debug!(listener, reason, error = error as &dyn std::error::Error, "Request refused");
        counter.inc();
    }
}

fn is_stall(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::TimedOut)
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

/// The limits of a handler were changed while it runs; 0 is none.
pub(crate) fn limits_changed(component: &str, limits: Limits) {
    let in_flight = limits.in_flight.map_or(0, NonZeroUsize::get);
    let per_second = limits.per_second.map_or(0, NonZeroU32::get);
    info!(component, in_flight, per_second, "Limits of a handler changed");
}

pub(crate) fn no_monitor_listener() {
    warn!("No `listener-monitor` is configured: metrics, probes and controls are not served");
}

fn shortened(path: &str) -> &str {
    path.char_indices().nth(PATH_CHARS_MAX).and_then(|(end, _)| path.get(..end)).unwrap_or(path)
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
