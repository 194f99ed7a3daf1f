//! What tests hold: a broker alone, a cluster of brokers, the broker that a test binary shares.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::PathBuf;
use std::process;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;

use crate::node::{Node, Spec};
use crate::settings::Role;
use crate::setup::{Installation, setup};
use crate::{BrokerError, Client};

/// A started node answers within milliseconds; a cluster needs a few seconds to find itself on a busy machine.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// A broker that is told to stop first hands over its partitions: 1 s, or 6 s when its controller is gone.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// The broker that all tests of this binary share; started on first use, ended when the process ends, however it ends.
/// Give each test its own topics and groups, see [`unique_name`].
///
/// # Panics
/// When the broker cannot be started, with the reason and the way out; in every test that asks.
pub fn shared() -> &'static Broker {
    static SHARED: LazyLock<Result<Broker, String>> =
        LazyLock::new(|| Broker::start(BrokerOptions::default()).map_err(|error| error.with_causes()));
    // Each test that uses the broker says so, for the sake of its log.
    let _session = crate::session::Session::get();
    match &*SHARED {
        Ok(broker) => broker,
        Err(error) => panic!("{error}"),
    }
}

/// A name for a topic or group that no other test uses, in this run or another: `<prefix>-<unique>`.
pub fn unique_name(prefix: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    format!("{prefix}-{now:x}-{:x}-{n}", process::id())
}

/// How a broker differs from the usual one.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct BrokerOptions {
    /// Lines of `server.properties` beside, or instead of, the usual ones.
    pub properties: BTreeMap<String, String>,
    /// Users and their passwords. With any there is one more listener, [`Broker::sasl_servers`], where clients authenticate by
    /// SCRAM-SHA-512 and nothing is encrypted.
    pub users: BTreeMap<String, String>,
    /// Files of the broker's certificates. With them there is one more listener, [`Broker::tls_servers`], where both sides show
    /// a certificate.
    pub tls: Option<TlsFiles>,
}

/// The PEM files that a broker reads whenever it starts.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// Its key, its certificate and those that vouch for it.
    pub keystore: PathBuf,
    /// The authorities whose clients it lets in.
    pub truststore: PathBuf,
}

impl BrokerOptions {
    /// Sets one line of `server.properties`.
    #[must_use]
    pub fn with_property(mut self, key: impl Into<String>, value: impl ToString) -> Self {
        self.properties.insert(key.into(), value.to_string());
        self
    }

    /// Adds the listener with TLS.
    #[must_use]
    pub fn with_tls(self, tls: TlsFiles) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// Adds a user; each costs a start of Java, 2 s.
    #[must_use]
    pub fn with_user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.users.insert(name.into(), password.into());
        self
    }
}

/// A running Kafka broker, ended when dropped.
///
/// It is used as the [`Client`] connected to it. Whoever ends or stops it needs it mutably, so the shared one is safe
/// from that. Topics are not created by using them: a misspelt name is an error.
#[derive(Debug)]
#[must_use = "the broker ends when it is dropped"]
pub struct Broker {
    node: Node,
    client: Client,
}

impl Broker {
    /// Starts a broker of one's own and waits until it answers: 1 to 3 s.
    ///
    /// # Errors
    /// What [`setup`] reports, and [`BrokerError::Exited`] or [`BrokerError::Deadline`] with the end of the log.
    pub fn start(options: BrokerOptions) -> Result<Self, BrokerError> {
        let kafka = setup()?;
        let BrokerOptions { mut properties, users, tls } = options;
        let (has_sasl, has_tls) = (!users.is_empty(), tls.is_some());
        if let Some(TlsFiles { keystore, truststore }) = tls {
            for (key, path) in [("keystore", keystore), ("truststore", truststore)] {
                properties
                    .insert(format!("listener.name.tls.ssl.{key}.location"), path.display().to_string());
            }
        }
        let spec = Spec { properties, has_sasl, has_tls, ..Spec::new("broker", Role::Combined) };
        let broker = Self::launch(&kafka, spec)?;
        broker.client.until_ready(1, READY_LIMIT)?;
        for (name, password) in &users {
            broker.set_password(name, password)?;
        }
        Ok(broker)
    }

    fn launch(kafka: &Installation, spec: Spec) -> Result<Self, BrokerError> {
        let node = Node::start(kafka, spec)?;
        let client = Client::new(format!("127.0.0.1:{}", node.port()));
        Ok(Self { node, client })
    }

    /// Kills the broker (SIGKILL). Its data stays for [`restart`](Self::restart).
    ///
    /// # Errors
    /// [`BrokerError::Io`] or [`BrokerError::Deadline`] when the process does not go away.
    pub fn kill(&mut self) -> Result<(), BrokerError> {
        self.node.kill()
    }

    /// Stops the broker in good order (SIGTERM); 30 s at most.
    ///
    /// # Errors
    /// [`BrokerError::Deadline`] when it has not stopped by then.
    pub fn stop(&mut self) -> Result<(), BrokerError> {
        self.node.stop(STOP_LIMIT)
    }

    /// Freezes the broker (SIGSTOP): connections stay open, nothing answers.
    ///
    /// # Errors
    /// [`BrokerError::Io`] when the signal cannot be sent.
    pub fn pause(&mut self) -> Result<(), BrokerError> {
        self.node.signal(Signal::STOP)
    }

    /// Lets a frozen broker go on (SIGCONT).
    ///
    /// # Errors
    /// [`BrokerError::Io`] when the signal cannot be sent.
    pub fn resume(&mut self) -> Result<(), BrokerError> {
        self.node.signal(Signal::CONT)
    }

    /// Starts the broker again on the same port and data, killing it first if it runs. Takes about 1 s after
    /// [`stop`](Self::stop) and 4 s after [`kill`](Self::kill), whose session has to run out first.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn restart(&mut self) -> Result<(), BrokerError> {
        self.node.restart()?;
        self.client.until_ready(1, READY_LIMIT)
    }

    /// The address at which clients authenticate, `host:port`; empty without users.
    pub fn sasl_servers(&self) -> String {
        self.node.sasl_port().map_or_else(String::new, |port| format!("127.0.0.1:{port}"))
    }

    /// The address at which clients encrypt, `host:port`; empty without [`BrokerOptions::tls`].
    pub fn tls_servers(&self) -> String {
        self.node.tls_port().map_or_else(String::new, |port| format!("127.0.0.1:{port}"))
    }

    /// Gives a user, who may be new, a password. Connections that are authenticated stay so.
    ///
    /// # Errors
    /// [`BrokerError::Setup`] when the broker refuses, [`BrokerError::Deadline`] when it does not answer.
    pub fn set_password(&self, user: &str, password: &str) -> Result<(), BrokerError> {
        let credentials = format!("SCRAM-SHA-512=[iterations=4096,password={password}]");
        let server = self.client.bootstrap_servers();
        let target = ["--bootstrap-server", server, "--entity-type", "users", "--entity-name", user];
        let arguments = [&target[..], &["--alter", "--add-config", &credentials]].concat();
        self.node.run_tool("setting a password", "kafka.admin.ConfigCommand", &arguments)
    }

    /// The id of its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.node.pid()
    }

    /// Where its log is, as long as it is not dropped.
    pub fn log_path(&self) -> PathBuf {
        self.node.log_path()
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        self.node.log_tail()
    }
}

/// A broker is used as its client.
impl Deref for Broker {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// A controller and several brokers, replication factor 3 with two in sync. It is used as a [`Client`] that knows all.
#[derive(Debug)]
#[must_use = "the cluster ends when it is dropped"]
pub struct Cluster {
    // Fields are dropped in this order, and brokers end sooner while they have a controller.
    brokers: Vec<Broker>,
    _controller: Node,
    client: Client,
}

impl Cluster {
    /// Starts a controller and `n_brokers` brokers, at least three, and waits until they have found each other: 3 to
    /// 8 s, about 130 MiB each.
    ///
    /// # Errors
    /// As [`Broker::start`].
    ///
    /// # Panics
    /// With fewer than three brokers: the internal topics have three replicas.
    pub fn start(n_brokers: u16) -> Result<Self, BrokerError> {
        assert!(3 <= n_brokers, "a cluster has at least three brokers, not {n_brokers}");
        let kafka = setup()?;
        let controller = Node::start(&kafka, Spec::new("controller", Role::Controller))?;
        let controller_port = controller.port();
        let specs = (1..=n_brokers)
            .map(|id| Spec::new(format!("broker-{id}"), Role::Broker { id, controller_port }))
            .map(|spec| (spec, kafka.clone()));
        // All at once; the installation lets two start at a time.
        let brokers = thread::scope(|scope| {
            let starts: Vec<_> =
                specs.map(|(spec, kafka)| scope.spawn(move || Broker::launch(&kafka, spec))).collect();
            let join =
                |start: thread::ScopedJoinHandle<'_, _>| start.join().expect("launching does not panic");
            starts.into_iter().map(join).collect::<Result<Vec<_>, _>>()
        })?;
        let addresses: Vec<_> = brokers.iter().map(|broker| broker.bootstrap_servers()).collect();
        let client = Client::new(addresses.join(","));
        let cluster = Self { brokers, _controller: controller, client };
        cluster.until_complete()?;
        Ok(cluster)
    }

    /// One broker, counted from 0.
    ///
    /// # Panics
    /// When there is no such broker.
    pub fn broker(&mut self, index: usize) -> &mut Broker {
        &mut self.brokers[index]
    }

    /// Starts one broker again, see [`Broker::restart`], and waits until every broker of the cluster is back.
    ///
    /// # Errors
    /// As [`Broker::start`].
    ///
    /// # Panics
    /// When there is no such broker.
    pub fn restart(&mut self, index: usize) -> Result<(), BrokerError> {
        self.brokers[index].node.restart()?;
        self.until_complete()
    }

    /// Waits until each broker knows all the others.
    fn until_complete(&self) -> Result<(), BrokerError> {
        self.brokers.iter().try_for_each(|broker| broker.client.until_ready(self.brokers.len(), READY_LIMIT))
    }
}

impl Deref for Cluster {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}
