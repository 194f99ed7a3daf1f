//! The state of one client as its events tell it, for probes and metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use mainspring_core::Health;
use mainspring_kafka_ffi::{self as ffi, KafkaCode, KafkaError, LogLine};
use mainspring_metrics::{Family, LABEL_OTHER, Snapshot, UserverView};

use crate::client::config::CommonConfig;
use crate::client::events;
use crate::client::statistics::{Broker, Statistics};

static INFO: Family = Family::info("kafka_client", "Kafka clients and the library they use.");
static CONNECTION_ERRORS: Family =
    Family::counter("kafka_client_connection_errors", "Broker connections that failed.");
static ALL_BROKERS_DOWN: Family =
    Family::gauge("kafka_client_all_brokers_down", "Whether no broker can be reached.");
static CREDENTIALS_UPDATES: Family = Family::counter(
    "kafka_client_credentials_updates",
    "Changed credentials, certificates and brokers by what came of them: taken up, or not usable so that the old ones stay.",
);

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

/// Brokers whose troubles are told apart; those past it share the series of [`LABEL_OTHER`].
const BROKERS_MAX: usize = 256;

/// The troubles with single brokers, by the names that librdkafka gives them.
#[derive(Debug, Default)]
struct Troubles {
    /// Each with the codes that were told: a wrong password after a refused connection is news.
    failing: BTreeMap<String, BTreeSet<KafkaCode>>,
    errors: BTreeMap<String, u64>,
}

/// Collects what a client says of itself. Shared by its event loop, its component and the metrics.
#[derive(Debug)]
pub(crate) struct ClientState {
    component: Arc<str>,
    role: Role,
    client_id: String,
    debug_info_level: mainspring_logging::Level,
    all_down: AtomicBool,
    connection_errors: AtomicU64,
    troubles: Mutex<Troubles>,
    fatal: Mutex<Option<KafkaError>>,
    cluster_id: OnceLock<String>,
    statistics: Mutex<Arc<Statistics>>,
    credentials_taken: AtomicU64,
    credentials_unusable: AtomicU64,
}

impl ClientState {
    pub(crate) fn new(component: impl Into<Arc<str>>, role: Role, config: &CommonConfig) -> ClientState {
        ClientState {
            component: component.into(),
            role,
            client_id: config.client_id.clone(),
            debug_info_level: config.debug_info_log_level,
            all_down: AtomicBool::new(false),
            connection_errors: AtomicU64::new(0),
            troubles: Mutex::default(),
            fatal: Mutex::new(None),
            cluster_id: OnceLock::new(),
            statistics: Mutex::default(),
            credentials_taken: AtomicU64::new(0),
            credentials_unusable: AtomicU64::new(0),
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
            if !self.all_down.swap(true, Ordering::Relaxed) {
                events::all_brokers_down(&self.component, error);
            }
        } else if is_connection_error(error.code) {
            self.connection_errors.fetch_add(1, Ordering::Relaxed);
            let broker = broker_of(&error.text);
            if self.troubles().begin(broker, error.code) {
                events::connection_lost(&self.component, broker, error);
            }
        } else {
            events::other_error(&self.component, error);
        }
    }

    /// The client was given new credentials, or refused them.
    pub(crate) fn on_credentials(&self, result: Result<(), KafkaError>) {
        match result {
            Ok(()) => {
                self.credentials_taken.fetch_add(1, Ordering::Relaxed);
                events::credentials_taken(&self.component);
            }
            Err(error) => self.on_connection_unusable(&error),
        }
    }

    /// There is another client, with the brokers, certificates and keys that are new.
    pub(crate) fn on_replaced(&self) {
        self.credentials_taken.fetch_add(1, Ordering::Relaxed);
        events::replaced(&self.component);
    }

    /// What there is to connect with now is of no use.
    pub(crate) fn on_connection_unusable(&self, error: &dyn fmt::Display) {
        self.credentials_unusable.fetch_add(1, Ordering::Relaxed);
        events::connection_unusable(&self.component, error);
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
                for broker in self.troubles().end(&statistics) {
                    events::connection_restored(&self.component, &broker);
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
        if self.all_down.load(Ordering::Relaxed) && self.all_down.swap(false, Ordering::Relaxed) {
            events::brokers_answer_again(&self.component);
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

    /// Forgets everything about a client that is gone.
    pub(crate) fn on_client_gone(&self) {
        *self.fatal.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.statistics.lock().unwrap_or_else(PoisonError::into_inner) = Arc::default();
        self.all_down.store(false, Ordering::Relaxed);
        self.troubles().failing.clear();
    }

    fn troubles(&self) -> MutexGuard<'_, Troubles> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the client is.
    pub(crate) fn health(&self) -> Health {
        if let Some(error) = self.fatal_error() {
            return Health::fatal(format!("the client failed for good: {error}"));
        }
        if self.all_down.load(Ordering::Relaxed) {
            return Health::fallback("no broker can be reached");
        }
        Health::Ok
    }

    /// Writes the families of both kinds of client.
    pub(crate) fn collect(&self, snapshot: &mut Snapshot) {
        let component = ("component", &*self.component);
        let down = self.all_down.load(Ordering::Relaxed);
        snapshot.gauge(&ALL_BROKERS_DOWN, &[component], f64::from(u8::from(down)));
        let statistics = self.statistics();
        let mut errors: BTreeMap<_, u64> =
            statistics.real_brokers().map(|broker| (broker.name.clone(), 0)).collect();
        errors.extend(self.troubles().errors.clone());
        for (broker, errors) in errors {
            snapshot.counter(&CONNECTION_ERRORS, &[component, ("broker", &broker)], errors);
        }
        for (result, updates) in [("success", &self.credentials_taken), ("error", &self.credentials_unusable)]
        {
            let labels = [component, ("result", result)];
            snapshot.counter(&CREDENTIALS_UPDATES, &labels, updates.load(Ordering::Relaxed));
        }
        let version = ffi::version();
        let labels = [
            component,
            ("client_id", &self.client_id),
            ("cluster_id", self.cluster_id.get().map_or("", String::as_str)),
            ("librdkafka_version", &version),
            ("role", self.role.as_str()),
        ];
        snapshot.info(&INFO, &labels);
        statistics.collect_brokers(&self.component, snapshot);
    }

    /// Writes userver's view of the same.
    pub(crate) fn collect_userver(&self, view: &mut UserverView) {
        let path = format!("{}.connections_error", self.role.userver_prefix());
        let errors = self.connection_errors.load(Ordering::Relaxed);
        view.rate(&path, &[("component_name", &self.component)], errors);
    }
}

impl Troubles {
    /// Counts an error of a broker; `true` when it begins a trouble, or is another one.
    fn begin(&mut self, broker: &str, code: KafkaCode) -> bool {
        let is_known = self.errors.contains_key(broker);
        let broker = if is_known || self.errors.len() < BROKERS_MAX { broker } else { LABEL_OTHER };
        *self.errors.entry(broker.to_owned()).or_default() += 1;
        self.failing.entry(broker.to_owned()).or_default().insert(code)
    }

    /// The brokers that are up again, or that are no brokers any more.
    fn end(&mut self, statistics: &Statistics) -> Vec<String> {
        // A name that stands for no broker of its own never shows up among them.
        let is_broker = |name: &str| !name.is_empty() && name != LABEL_OTHER;
        let is_over =
            |name: &String| is_broker(name) && statistics.brokers.get(name).is_none_or(Broker::is_up);
        self.failing.extract_if(.., |name, _| is_over(name)).map(|(name, _)| name).collect()
    }
}

/// What librdkafka calls its connection to the group's coordinator, whichever broker that is.
const COORDINATOR: &str = "GroupCoordinator";

/// The broker that an error is about: librdkafka's texts begin with its name. Empty when this one does not.
pub(crate) fn broker_of(text: &str) -> &str {
    match text.split_once(": ") {
        Some((name, _)) if name == COORDINATOR || (name.contains('/') && !name.contains(' ')) => name,
        _ => "",
    }
}

/// `RESOLVE`, `TRANSPORT` and `AUTHENTICATION`, as userver counts them.
fn is_connection_error(code: KafkaCode) -> bool {
    matches!(code, KafkaCode::TRANSPORT | RESOLVE | AUTHENTICATION)
}

#[cfg(test)]
mod tests;
