//! librdkafka's mock cluster: brokers in this process, on random ports of 127.0.0.1, with nothing durable.
//!
//! It serves tests and demonstrations. It does not prove transactions, security or durability.

use std::ffi::c_int;
use std::fmt;
use std::ptr::NonNull;
use std::time::Duration;

use crate::client::{Client, Kind, c_string};
use crate::code::KafkaCode;
use crate::config::ClientConfig;
use crate::error::{CreateError, KafkaError};
use crate::sys;
use crate::teardown::{Destroyed, Reaped, Teardown};

/// Brokers in this process. Dropping it takes them down, without waiting for it.
pub struct MockCluster {
    inner: Reaped<Inner>,
}

struct Inner {
    raw: NonNull<sys::rd_kafka_mock_cluster_t>,
    client: Client,
}

// SAFETY: mock cluster functions lock or hand over to the cluster's own thread.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Teardown for Inner {
    fn teardown(self) {
        // SAFETY: this is the only owner, and the client the cluster was made on is still alive.
        unsafe { sys::rd_kafka_mock_cluster_destroy(self.raw.as_ptr()) };
    }
}

impl MockCluster {
    /// Starts a cluster with brokers 1 to `brokers`.
    ///
    /// # Errors
    /// [`CreateError`] for fewer than one broker or when a thread or port cannot be had.
    pub fn new(brokers: i32) -> Result<MockCluster, CreateError> {
        let mut config = ClientConfig::new();
        config.queue_logs()?;
        let client = Client::new(Kind::Producer, config, 0)?;
        // SAFETY: the client is live and outlives the cluster.
        let raw = unsafe { sys::rd_kafka_mock_cluster_new(client.as_ptr(), brokers) };
        let raw = NonNull::new(raw).ok_or_else(|| CreateError {
            code: KafkaCode::INVALID_ARG,
            text: format!("a mock cluster of {brokers} brokers cannot be started"),
        })?;
        Ok(MockCluster { inner: Reaped::new(Inner { raw, client }) })
    }

    fn raw(&self) -> *mut sys::rd_kafka_mock_cluster_t {
        self.inner.raw.as_ptr()
    }

    /// The value for `bootstrap.servers`.
    #[must_use]
    pub fn bootstrap_servers(&self) -> String {
        // SAFETY: the cluster is live; the string belongs to it and never changes.
        let servers = unsafe { sys::rd_kafka_mock_cluster_bootstraps(self.raw()) };
        // SAFETY: ended by a zero byte.
        unsafe { sys::text(servers) }
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// When it exists already.
    pub fn create_topic(&self, name: &str, partitions: i32, replication: i32) -> Result<(), KafkaError> {
        let name = c_string(name)?;
        // SAFETY: the cluster is live; the name is copied.
        KafkaError::check(unsafe {
            sys::int::rd_kafka_mock_topic_create(self.raw(), name.as_ptr(), partitions, replication)
        })
    }

    /// Makes the next requests of one kind fail, one code each. `api_key` is the protocol's number: 0 produce, 1 fetch,
    /// 8 offset commit.
    pub fn push_request_errors(&self, api_key: i16, codes: &[KafkaCode]) {
        let codes: Vec<sys::Code> = codes.iter().map(|code| code.as_raw()).collect();
        // SAFETY: the cluster is live; the codes are copied.
        unsafe {
            sys::int::rd_kafka_mock_push_request_errors_array(
                self.raw(),
                api_key,
                codes.len(),
                codes.as_ptr(),
            );
        }
    }

    /// Forgets what [`MockCluster::push_request_errors`] left.
    pub fn clear_request_errors(&self, api_key: i16) {
        // SAFETY: the cluster is live.
        unsafe { sys::rd_kafka_mock_clear_request_errors(self.raw(), api_key) };
    }

    /// Takes a broker down.
    ///
    /// # Errors
    /// When there is no such broker.
    pub fn set_broker_down(&self, broker: i32) -> Result<(), KafkaError> {
        // SAFETY: the cluster is live.
        KafkaError::check(unsafe { sys::int::rd_kafka_mock_broker_set_down(self.raw(), broker) })
    }

    /// Brings a broker back.
    ///
    /// # Errors
    /// When there is no such broker.
    pub fn set_broker_up(&self, broker: i32) -> Result<(), KafkaError> {
        // SAFETY: the cluster is live.
        KafkaError::check(unsafe { sys::int::rd_kafka_mock_broker_set_up(self.raw(), broker) })
    }

    /// Delays every answer of a broker.
    ///
    /// # Errors
    /// When there is no such broker.
    pub fn set_rtt(&self, broker: i32, rtt: Duration) -> Result<(), KafkaError> {
        // SAFETY: the cluster is live.
        KafkaError::check(unsafe {
            sys::int::rd_kafka_mock_broker_set_rtt(self.raw(), broker, sys::timeout_ms(rtt))
        })
    }

    /// How long a classic group waits for more members before its first rebalance; 3 s unless told.
    pub fn set_initial_rebalance_delay(&self, delay: Duration) {
        // SAFETY: the cluster is live.
        unsafe {
            sys::rd_kafka_mock_group_initial_rebalance_delay_ms(self.raw(), sys::timeout_ms(delay));
        }
    }

    /// Session timeout of KIP-848 groups (`group.protocol=consumer`).
    pub fn set_session_timeout(&self, timeout: Duration) {
        let timeout: c_int = sys::timeout_ms(timeout);
        // SAFETY: the cluster is live.
        unsafe { sys::rd_kafka_mock_set_group_consumer_session_timeout_ms(self.raw(), timeout) };
    }

    /// Heartbeat interval of KIP-848 groups; a rebalance takes about as long.
    pub fn set_heartbeat_interval(&self, interval: Duration) {
        let interval: c_int = sys::timeout_ms(interval);
        // SAFETY: the cluster is live.
        unsafe { sys::rd_kafka_mock_set_group_consumer_heartbeat_interval_ms(self.raw(), interval) };
    }

    /// Takes the cluster down without blocking, just as dropping it does, and returns what completes when it is gone.
    pub fn destroy(self) -> Destroyed {
        self.inner.client.destroyed()
    }
}

impl fmt::Debug for MockCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockCluster").field("bootstrap_servers", &self.bootstrap_servers()).finish()
    }
}
