//! The state of one client as its events tell it, for probes and metrics.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use mainspring_core::Health;
use mainspring_kafka_ffi::{self as ffi, KafkaCode, KafkaError, LogLine};
use mainspring_metrics::{Family, Snapshot, UserverView};

use crate::client::config::CommonConfig;
use crate::client::events;
use crate::client::statistics::Statistics;

static INFO: Family = Family::info("kafka_client", "Kafka clients and the library they use.");
static CONNECTION_ERRORS: Family =
    Family::counter("kafka_client_connection_errors", "Broker connections that failed.");
static ALL_BROKERS_DOWN: Family =
    Family::gauge("kafka_client_all_brokers_down", "Whether no broker can be reached.");

const RESOLVE: KafkaCode = KafkaCode::from_raw(-193);
const AUTHENTICATION: KafkaCode = KafkaCode::from_raw(-169);

/// What a client is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It sends.
    Producer,
    /// It receives.
    Consumer,
}

impl Role {
    fn as_str(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }

    fn userver_prefix(self) -> &'static str {
        match self {
            Self::Producer => "kafka_producer",
            Self::Consumer => "kafka_consumer",
        }
    }
}

/// Connection states; the number orders them from good to bad.
const ANSWERING: u8 = 0;
const FAILING: u8 = 1;
const ALL_DOWN: u8 = 2;

/// Collects what a client says of itself. Shared by its event loop, its component and the metrics.
#[derive(Debug)]
pub(crate) struct ClientState {
    component: Arc<str>,
    role: Role,
    client_id: String,
    debug_info_level: mainspring_logging::Level,
    connection: AtomicU8,
    connection_errors: AtomicU64,
    fatal: Mutex<Option<KafkaError>>,
    cluster_id: OnceLock<String>,
    statistics: Mutex<Arc<Statistics>>,
}

impl ClientState {
    pub(crate) fn new(component: impl Into<Arc<str>>, role: Role, config: &CommonConfig) -> ClientState {
        ClientState {
            component: component.into(),
            role,
            client_id: config.client_id.clone(),
            debug_info_level: config.debug_info_log_level,
            connection: AtomicU8::new(ANSWERING),
            connection_errors: AtomicU64::new(0),
            fatal: Mutex::new(None),
            cluster_id: OnceLock::new(),
            statistics: Mutex::default(),
        }
    }

    /// The name of the component.
    pub(crate) fn component(&self) -> &Arc<str> {
        &self.component
    }

    /// Takes an error event: logged when it changes the state, counted always.
    pub(crate) fn on_error(&self, error: &KafkaError) {
        if error.fatal {
            let mut fatal = self.fatal.lock().unwrap_or_else(PoisonError::into_inner);
            if fatal.is_none() {
                events::fatal(&self.component, error);
                *fatal = Some(error.clone());
            }
        } else if error.code == KafkaCode::ALL_BROKERS_DOWN {
            self.connection_errors.fetch_add(1, Ordering::Relaxed);
            if self.connection.swap(ALL_DOWN, Ordering::Relaxed) != ALL_DOWN {
                events::all_brokers_down(&self.component, error);
            }
        } else if is_connection_error(error.code) {
            self.connection_errors.fetch_add(1, Ordering::Relaxed);
            if self.connection.fetch_max(FAILING, Ordering::Relaxed) == ANSWERING {
                events::connection_lost(&self.component, error);
            }
        } else {
            events::other_error(&self.component, error);
        }
    }

    /// Takes a line of librdkafka's log.
    pub(crate) fn on_log(&self, line: &LogLine) {
        events::library_line(&self.component, line, self.debug_info_level);
    }

    /// Takes statistics as JSON.
    pub(crate) fn on_stats(&self, json: &str) {
        match Statistics::parse(json) {
            Ok(mut statistics) => {
                if statistics.has_broker_up() {
                    self.on_answer();
                }
                let mut current = self.statistics.lock().unwrap_or_else(PoisonError::into_inner);
                statistics.follow(&current);
                *current = Arc::new(statistics);
            }
            Err(error) => events::statistics_unreadable(&self.component, &error),
        }
    }

    /// A broker answered: a record was acknowledged or received. Costs one load unless something was wrong.
    pub(crate) fn on_answer(&self) {
        if self.connection.load(Ordering::Relaxed) != ANSWERING
            && self.connection.swap(ANSWERING, Ordering::Relaxed) != ANSWERING
        {
            events::connection_restored(&self.component);
        }
    }

    /// The id of the cluster, once known.
    pub(crate) fn on_cluster_id(&self, id: String) {
        // It never changes under a client; the first one stays.
        let _first = self.cluster_id.set(id);
    }

    /// What librdkafka reported last; empty before that.
    pub(crate) fn statistics(&self) -> Arc<Statistics> {
        Arc::clone(&self.statistics.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The reason why the client is unusable, once it is.
    pub(crate) fn fatal_error(&self) -> Option<KafkaError> {
        self.fatal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets everything about a client that was replaced by another one.
    pub(crate) fn on_recreated(&self) {
        *self.fatal.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.statistics.lock().unwrap_or_else(PoisonError::into_inner) = Arc::default();
    }

    /// How the client is.
    pub(crate) fn health(&self) -> Health {
        if let Some(error) = self.fatal_error() {
            return Health::fatal(format!("the client failed for good: {error}"));
        }
        match self.connection.load(Ordering::Relaxed) {
            ALL_DOWN => Health::fallback("no broker can be reached"),
            _ => Health::Ok,
        }
    }

    /// Writes the families of both kinds of client.
    pub(crate) fn collect(&self, snapshot: &mut Snapshot) {
        let component = ("component", &*self.component);
        let down = self.connection.load(Ordering::Relaxed) == ALL_DOWN;
        snapshot.gauge(&ALL_BROKERS_DOWN, &[component], f64::from(u8::from(down)));
        let errors = self.connection_errors.load(Ordering::Relaxed);
        snapshot.counter(&CONNECTION_ERRORS, &[component], errors);
        let version = ffi::version();
        let labels = [
            component,
            ("client_id", &self.client_id),
            ("cluster_id", self.cluster_id.get().map_or("", String::as_str)),
            ("librdkafka_version", &version),
            ("role", self.role.as_str()),
        ];
        snapshot.info(&INFO, &labels);
        self.statistics().collect_brokers(&self.component, snapshot);
    }

    /// Writes userver's view of the same.
    pub(crate) fn collect_userver(&self, view: &mut UserverView) {
        let path = format!("{}.connections_error", self.role.userver_prefix());
        let errors = self.connection_errors.load(Ordering::Relaxed);
        view.rate(&path, &[("component_name", &self.component)], errors);
    }
}

/// `RESOLVE`, `TRANSPORT` and `AUTHENTICATION`, as userver counts them.
fn is_connection_error(code: KafkaCode) -> bool {
    matches!(code, KafkaCode::TRANSPORT | RESOLVE | AUTHENTICATION)
}

#[cfg(test)]
mod tests;
