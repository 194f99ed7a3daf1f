//! A plain Kafka client for tests: makes topics, writes, and reads back what is really there.
//!
//! It shares no code with the framework's driver beyond librdkafka, so it can be a witness of what the driver did.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::{ClientConfig, FromClientConfig};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::{Offset, TopicPartitionList};

use crate::{BrokerError, wait};

/// How long a request may take, restarts of a broker included.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// One record as it lies in its partition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct ReadRecord {
    /// Its partition.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Its key; empty when it has none.
    pub key: Vec<u8>,
    /// Its payload; empty when it has none.
    pub payload: Vec<u8>,
}

/// A blocking client of one cluster; also usable with one that this crate did not start.
#[derive(Debug)]
pub struct Client {
    bootstrap_servers: String,
    producer: OnceLock<WriteProducer>,
}

struct WriteProducer(BaseProducer<Reports>);

impl std::fmt::Debug for WriteProducer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WriteProducer")
    }
}

impl Client {
    /// A client of the cluster at this address, `host:port[,host:port…]`. Connects when first used.
    pub fn new(bootstrap_servers: impl Into<String>) -> Self {
        Self { bootstrap_servers: bootstrap_servers.into(), producer: OnceLock::new() }
    }

    /// The address that Kafka clients are given, `host:port[,host:port…]`.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// Creates a topic with the cluster's default replication and waits until every partition has a leader.
    ///
    /// # Errors
    /// [`BrokerError::Client`] when the broker refuses, [`BrokerError::Deadline`] when no leader appears within 30 s.
    pub fn create_topic(&self, topic: &str, partitions: i32) -> Result<(), BrokerError> {
        let doing = || BrokerError::client(format!("create topic `{topic}`"));
        let admin: AdminClient<DefaultClientContext> = self.connect(&[])?;
        // -1: what the broker is configured for.
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
        let options = AdminOptions::new().operation_timeout(Some(REQUEST_LIMIT));
        let results = block_on(admin.create_topics([&new], &options)).map_err(doing())?;
        for result in results {
            result.map_err(|(_topic, code)| doing()(KafkaError::AdminOp(code)))?;
        }
        let expected = usize::try_from(partitions).unwrap_or_default();
        self.until_leaders(topic, expected)
    }

    /// Deletes a topic.
    ///
    /// # Errors
    /// [`BrokerError::Client`] when the broker refuses.
    pub fn delete_topic(&self, topic: &str) -> Result<(), BrokerError> {
        let doing = || BrokerError::client(format!("delete topic `{topic}`"));
        let admin: AdminClient<DefaultClientContext> = self.connect(&[])?;
        let options = AdminOptions::new().operation_timeout(Some(REQUEST_LIMIT));
        for result in block_on(admin.delete_topics(&[topic], &options)).map_err(doing())? {
            result.map_err(|(_topic, code)| doing()(KafkaError::AdminOp(code)))?;
        }
        Ok(())
    }

    /// Writes one record and waits for its acknowledgement; the key chooses the partition.
    ///
    /// # Errors
    /// [`BrokerError::Client`] when it is not acknowledged within 30 s.
    pub fn write(
        &self,
        topic: &str,
        key: impl AsRef<[u8]>,
        payload: impl AsRef<[u8]>,
    ) -> Result<(), BrokerError> {
        self.write_all(topic, [(key, payload)])
    }

    /// Writes one record to a partition and waits for its acknowledgement.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_to(
        &self,
        topic: &str,
        partition: i32,
        key: impl AsRef<[u8]>,
        payload: impl AsRef<[u8]>,
    ) -> Result<(), BrokerError> {
        self.send(topic, Some(partition), [(key, payload)])
    }

    /// Writes records, each a key and a payload, and waits until all are acknowledged.
    ///
    /// # Errors
    /// [`BrokerError::Client`] with the first failure when one is not acknowledged within 30 s.
    pub fn write_all<K: AsRef<[u8]>, P: AsRef<[u8]>>(
        &self,
        topic: &str,
        records: impl IntoIterator<Item = (K, P)>,
    ) -> Result<(), BrokerError> {
        self.send(topic, None, records)
    }

    fn send<K: AsRef<[u8]>, P: AsRef<[u8]>>(
        &self,
        topic: &str,
        partition: Option<i32>,
        records: impl IntoIterator<Item = (K, P)>,
    ) -> Result<(), BrokerError> {
        let doing = || BrokerError::client(format!("write to `{topic}`"));
        let producer = self.producer()?;
        let failure = Arc::new(Mutex::new(None));
        for (key, payload) in records {
            let record = BaseRecord::with_opaque_to(topic, Box::new(Arc::clone(&failure)));
            let mut record = record.key(key.as_ref()).payload(payload.as_ref());
            record.partition = partition;
            while let Err((error, refused)) = producer.send(record) {
                if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                    return Err(doing()(error));
                }
                producer.poll(REQUEST_LIMIT);
                record = refused;
            }
        }
        producer.flush(REQUEST_LIMIT * 2).map_err(doing())?;
        let failure = failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        failure.map_or(Ok(()), |error| Err(doing()(error)))
    }

    /// Everything in a topic, by partition and offset, as soon as it is at least `n_records`. Reads to the end of every
    /// partition, so that a record too many is returned too. Of transactions, what is committed.
    ///
    /// # Errors
    /// [`BrokerError::Deadline`] when there are fewer records after `limit`; [`BrokerError::Client`] when the topic
    /// cannot be read.
    pub fn read_all(
        &self,
        topic: &str,
        n_records: usize,
        limit: Duration,
    ) -> Result<Vec<ReadRecord>, BrokerError> {
        self.read(topic, n_records, limit, "read_committed")
    }

    /// As [`read_all`](Self::read_all), also what transactions have not committed, and never will.
    ///
    /// # Errors
    /// As [`read_all`](Self::read_all).
    pub fn read_all_uncommitted(
        &self,
        topic: &str,
        n_records: usize,
        limit: Duration,
    ) -> Result<Vec<ReadRecord>, BrokerError> {
        self.read(topic, n_records, limit, "read_uncommitted")
    }

    fn read(
        &self,
        topic: &str,
        n_records: usize,
        limit: Duration,
        isolation: &str,
    ) -> Result<Vec<ReadRecord>, BrokerError> {
        let doing = || BrokerError::client(format!("read `{topic}`"));
        // The group is never joined; librdkafka asks for one all the same.
        let settings = [
            ("group.id", "reader"),
            ("enable.auto.commit", "false"),
            ("enable.partition.eof", "true"),
            ("isolation.level", isolation),
        ];
        let consumer: BaseConsumer = self.connect(&settings)?;
        let deadline = Instant::now() + limit;
        let partitions = partitions(&consumer, topic, limit).map_err(doing())?;
        let mut assignment = TopicPartitionList::new();
        for &partition in &partitions {
            assignment.add_partition_offset(topic, partition, Offset::Beginning).map_err(doing())?;
        }
        consumer.assign(&assignment).map_err(doing())?;

        let mut records = Vec::new();
        let mut unread: BTreeSet<i32> = partitions.iter().copied().collect();
        while records.len() < n_records || !unread.is_empty() {
            match consumer.poll(deadline.saturating_duration_since(Instant::now())) {
                Some(Ok(message)) => {
                    unread.insert(message.partition());
                    records.push(ReadRecord {
                        partition: message.partition(),
                        offset: message.offset(),
                        key: message.key().unwrap_or_default().to_vec(),
                        payload: message.payload().unwrap_or_default().to_vec(),
                    });
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    unread.remove(&partition);
                }
                // librdkafka reports a lost connection here and goes on by itself.
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(error)) => return Err(doing()(error)),
                // It may have handled an event of its own before the time is up.
                None if Instant::now() < deadline => {}
                None => {
                    return Err(BrokerError::Deadline {
                        what: format!("{n_records} records in `{topic}`"),
                        waited: limit,
                        seen: format!(
                            "{} records, partitions not read to their end: {unread:?}",
                            records.len()
                        ),
                    });
                }
            }
        }
        records.sort();
        Ok(records)
    }

    /// The committed offset of a group in every partition of a topic where it has committed one.
    ///
    /// # Errors
    /// [`BrokerError::Client`] when the group's coordinator does not answer within 30 s.
    pub fn committed(&self, group: &str, topic: &str) -> Result<BTreeMap<i32, i64>, BrokerError> {
        let doing = || BrokerError::client(format!("read the committed offsets of `{group}`"));
        // Asks as the group without becoming a member.
        let consumer: BaseConsumer = self.connect(&[("group.id", group), ("enable.auto.commit", "false")])?;
        let mut list = TopicPartitionList::new();
        for partition in partitions(&consumer, topic, REQUEST_LIMIT).map_err(doing())? {
            list.add_partition(topic, partition);
        }
        // The first group of a cluster waits for the topic that holds all groups' offsets.
        let what = format!("the coordinator of `{group}`");
        let committed = wait::until(&what, REQUEST_LIMIT, || {
            match consumer.committed_offsets(list.clone(), REQUEST_LIMIT) {
                Err(error) if is_coordinator_moving(&error) => Err(error.to_string()),
                result => Ok(result),
            }
        })?;
        let committed = committed.map_err(doing())?;
        let mut offsets = BTreeMap::new();
        for element in committed.elements() {
            element.error().map_err(doing())?;
            if let Offset::Offset(offset) = element.offset() {
                offsets.insert(element.partition(), offset);
            }
        }
        Ok(offsets)
    }

    /// Waits until the cluster answers and says that it has at least `n_brokers`.
    pub(crate) fn until_ready(&self, n_brokers: usize, limit: Duration) -> Result<(), BrokerError> {
        let consumer: BaseConsumer = self.connect(&[])?;
        wait::until("the cluster to be ready", limit, || {
            let metadata = consumer.fetch_metadata(None, limit).map_err(|error| error.to_string())?;
            match metadata.brokers().len() {
                n if n_brokers <= n => Ok(()),
                n => Err(format!("{n} of {n_brokers} brokers")),
            }
        })
    }

    fn until_leaders(&self, topic: &str, partitions: usize) -> Result<(), BrokerError> {
        let consumer: BaseConsumer = self.connect(&[])?;
        wait::until(&format!("the leaders of `{topic}`"), REQUEST_LIMIT, || {
            let metadata =
                consumer.fetch_metadata(Some(topic), REQUEST_LIMIT).map_err(|error| error.to_string())?;
            let leaders: Vec<i32> =
                metadata.topics().iter().flat_map(|topic| topic.partitions()).map(|p| p.leader()).collect();
            let all_lead = leaders.len() == partitions && leaders.iter().all(|&leader| 0 <= leader);
            if all_lead { Ok(()) } else { Err(format!("leaders {leaders:?}")) }
        })
    }

    fn producer(&self) -> Result<&BaseProducer<Reports>, BrokerError> {
        if self.producer.get().is_none() {
            let producer = self
                .config(&[
                    ("enable.idempotence", "true"),
                    ("message.timeout.ms", "30000"),
                    ("linger.ms", "0"),
                ])
                .create_with_context(Reports)
                .map_err(BrokerError::client("create a producer"))?;
            // Another thread may have been faster; its producer is as good.
            let _mine_or_theirs = self.producer.set(WriteProducer(producer));
        }
        Ok(&self.producer.get().expect("set above, by this thread or another").0)
    }

    fn connect<T: FromClientConfig>(&self, settings: &[(&str, &str)]) -> Result<T, BrokerError> {
        self.config(settings).create().map_err(BrokerError::client("create a client"))
    }

    fn config(&self, settings: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap_servers);
        // A broker that was restarted is found again without a pause worth mentioning.
        config.set("reconnect.backoff.max.ms", "500");
        for (key, value) in settings {
            config.set(*key, *value);
        }
        config
    }
}

/// Carries a delivery report's error to the call that waits for it.
struct Reports;

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Arc<Mutex<Option<KafkaError>>>>;

    fn delivery(&self, report: &DeliveryResult<'_>, failure: Self::DeliveryOpaque) {
        if let Err((error, _record)) = report {
            failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.clone());
        }
    }
}

fn partitions(consumer: &BaseConsumer, topic: &str, limit: Duration) -> Result<Vec<i32>, KafkaError> {
    let metadata = consumer.fetch_metadata(Some(topic), limit)?;
    let mut partitions = Vec::new();
    for topic in metadata.topics() {
        if let Some(code) = topic.error() {
            return Err(KafkaError::MetadataFetch(code.into()));
        }
        partitions.extend(topic.partitions().iter().map(|partition| partition.id()));
    }
    Ok(partitions)
}

fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown)
    )
}

fn is_coordinator_moving(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::CoordinatorLoadInProgress
        )
    )
}

/// Waits for a future on this thread. librdkafka's own threads complete the futures here, so no runtime is needed, and
/// a test that has one may call this all the same.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}
