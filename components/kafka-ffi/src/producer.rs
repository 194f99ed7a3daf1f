//! The producer: records in without copying, delivery reports out without polling.
//!
//! One task calls [`Producer::poll_events`] for as long as the producer lives; any number of tasks call
//! [`Producer::send`]. Without that task no delivery ever resolves.

mod arguments;
mod reports;
mod run;
mod topics;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::batch::BatchSender;
use crate::client::{Client, Kind, TopicRef};
use crate::code::KafkaCode;
use crate::config::ClientConfig;
use crate::delivery::{Delivery, Record, Ticket};
use crate::error::{CreateError, KafkaError};
use crate::event::{Common, Event, LogLine};
use crate::producer::arguments::Arguments;
use crate::producer::topics::Topics;
use crate::queue::Queue;
use crate::sys;
use crate::teardown::{Destroyed, Reaped, Teardown};

pub use crate::producer::reports::{DeliveryReport, DeliveryReports};
pub use crate::producer::run::RUN_MAX;

/// Events served before the task yields once; a delivery report event covers up to thousands of records.
const EVENTS_PER_TURN: usize = 64;

/// A producer. Dropping it purges what was not sent; see [`Producer::destroy`].
pub struct Producer {
    inner: Reaped<Inner>,
    cut_short: AtomicBool,
}

/// A topic to send to. Cheap to clone; keeps its client alive.
#[derive(Clone)]
pub struct Topic {
    handle: Arc<TopicRef>,
    name: Arc<str>,
}

impl Topic {
    /// The name of the topic.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name, to be kept without copying it.
    #[must_use]
    pub fn shared_name(&self) -> &Arc<str> {
        &self.name
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Topic").field(&self.name).finish()
    }
}

/// A record that was not accepted for sending, and the record itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Why: [`KafkaCode::QUEUE_FULL`] asks to wait for delivery reports; others are final for this record.
    pub code: KafkaCode,
    /// What was to be sent, untouched.
    pub record: Record,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (`{}`)", self.code.description(), self.code)
    }
}

impl std::error::Error for Rejected {}

/// Something to know about a producer.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProducerEvent<'a> {
    /// Records of one topic were delivered or failed. Their deliveries resolve right after this event.
    Reports(DeliveryReports<'a>),
    /// Something is wrong with a broker, or, when fatal, with this client for good.
    Error(KafkaError),
    /// A line of librdkafka's log.
    Log(LogLine),
    /// Statistics as JSON (`statistics.interval.ms`).
    Stats(String),
    /// The OAUTHBEARER token needs renewal: answer with [`Producer::set_oauth_token`].
    OauthRefresh,
}

/// What is torn down, in this order: all of it refers to the client.
struct Inner {
    topics: Topics,
    queue: Queue,
    client: Client,
}

impl Teardown for Inner {
    /// Purges and drains, so that every record goes back to its owner and every delivery resolves.
    fn teardown(self) {
        while out_queue_len(&self.client) > 0 {
            // Each time anew: what is on its way between two of librdkafka's queues escapes a purge.
            purge(&self.client);
            let Some(event) = self.queue.wait_event(100) else { continue };
            if event.kind() == sys::RD_KAFKA_EVENT_DR {
                reports::serve(&event, &mut |_| ());
            }
        }
    }
}

impl Producer {
    /// Creates a producer; brokers need not be reachable. Sets `log.queue`, so that log lines arrive as events.
    ///
    /// # Errors
    /// [`CreateError`] when properties do not fit together or a thread cannot be started.
    pub fn new(mut config: ClientConfig) -> Result<Producer, CreateError> {
        config.queue_logs()?;
        let events = sys::RD_KAFKA_EVENT_DR
            | sys::RD_KAFKA_EVENT_ERROR
            | sys::RD_KAFKA_EVENT_STATS
            | sys::RD_KAFKA_EVENT_LOG
            | sys::RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH;
        let client = Client::new(Kind::Producer, config, events)?;
        let queue = Queue::main(&client);
        queue.receive_logs()?;
        let inner = Reaped::new(Inner { topics: Topics::default(), queue, client });
        Ok(Producer { inner, cut_short: AtomicBool::new(false) })
    }

    /// A handle of a topic, which need not exist.
    ///
    /// # Errors
    /// When the name is empty, too long or contains a zero byte.
    pub fn topic(&self, name: &str) -> Result<Topic, KafkaError> {
        self.inner.topics.get_or_create(name, |name| {
            let handle = Arc::new(TopicRef::new(&self.inner.client, name)?);
            Ok(Topic { handle, name: name.into() })
        })
    }

    /// Hands a record to librdkafka without copying its payload and without ever waiting.
    ///
    /// # Errors
    /// [`Rejected`] with the record: the queue is full, the record too large, the partition unknown, or `topic` belongs
    /// to another producer.
    pub fn send(&self, topic: &Topic, mut record: Record) -> Result<Delivery, Rejected> {
        if !self.owns(topic) {
            return Err(Rejected { code: KafkaCode::INVALID_ARG, record });
        }
        // The payload moves, its bytes do not: `Bytes` point to memory of their own.
        let arguments = Arguments::new(topic, &record);
        let (ticket, delivery) = Ticket::issue(record.payload.take());
        let opaque = ticket.into_opaque();
        match arguments.produce(&self.inner.client, &record, opaque) {
            Ok(()) => Ok(delivery),
            Err(code) => {
                // SAFETY: librdkafka refused the record, so it will not report this opaque.
                let ticket = unsafe { Ticket::from_opaque(opaque) };
                record.payload = ticket.refuse();
                Err(Rejected { code, record })
            }
        }
    }

    /// Hands records for one topic to librdkafka in their order, the next ones of their batch.
    ///
    /// Those that librdkafka took have left `records`, and so have those that it refuses for good: their outcome is there
    /// at once, and `refused` is told the chosen partition and why. Records without headers and time of their own go in runs of up to
    /// [`RUN_MAX`], which costs less than one by one.
    ///
    /// # Errors
    /// For those that are still in `records`: [`KafkaCode::QUEUE_FULL`] when there is no space, [`KafkaCode::FATAL`] when
    /// the client has failed for good, [`KafkaCode::INVALID_ARG`] when `topic` belongs to another producer.
    ///
    /// # Panics
    /// When there are more records than the batch has left.
    pub fn send_run(
        &self,
        topic: &Topic,
        records: &mut Vec<Record>,
        batch: &mut BatchSender,
        refused: &mut dyn FnMut(Option<i32>, KafkaCode),
    ) -> Result<(), KafkaCode> {
        if !self.owns(topic) {
            return Err(KafkaCode::INVALID_ARG);
        }
        run::send(&self.inner.client, topic, records, batch, refused)
    }

    fn owns(&self, topic: &Topic) -> bool {
        topic.handle.client().is_same(&self.inner.client)
    }

    /// Serves events until there are none left: resolves deliveries and tells `sink` everything.
    ///
    /// Ready when something was served, so that the caller may look around and call again. Pending when the queue is
    /// empty, and once after every 64 events to let other tasks run; the task is woken either way. Only
    /// one task at a time may wait here: the last one to call is the one woken.
    ///
    /// # Cancel safety
    /// Safe: what was served was told, what was not stays queued.
    pub fn poll_events(&self, cx: &mut Context<'_>, sink: &mut dyn FnMut(ProducerEvent<'_>)) -> Poll<()> {
        self.inner.queue.register(cx.waker());
        if self.cut_short.swap(false, Ordering::Relaxed) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        for served in 0..EVENTS_PER_TURN {
            let Some(event) = self.inner.queue.next_event() else {
                return if served > 0 { Poll::Ready(()) } else { Poll::Pending };
            };
            serve(&event, sink);
        }
        self.cut_short.store(true, Ordering::Relaxed);
        Poll::Ready(())
    }

    /// Records that are not yet reported, plus events not yet served.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        out_queue_len(&self.inner.client)
    }

    /// Has everything sent at once, whatever `linger.ms` says, and waits until every record is reported and its event
    /// served by the task that calls [`Producer::poll_events`]. Blocks: call it on a blocking thread.
    ///
    /// # Errors
    /// [`KafkaCode::TIMED_OUT`] when records are left after `limit`.
    pub fn flush_blocking(&self, limit: Duration) -> Result<(), KafkaError> {
        let limit_ms = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the client is live.
        KafkaError::check(unsafe { sys::int::rd_kafka_flush(self.inner.client.as_ptr(), limit_ms) })
    }

    /// Gives up on every record not yet acknowledged: their deliveries fail with [`KafkaCode::PURGE_QUEUE`] or
    /// [`KafkaCode::PURGE_INFLIGHT`] once the events are served.
    pub fn purge(&self) {
        purge(&self.inner.client);
    }

    /// How many brokers the cluster has, asked from one of them. Blocks: call it on a blocking thread.
    ///
    /// # Errors
    /// [`KafkaCode::TIMED_OUT`], [`KafkaCode::TRANSPORT`] and others; events may tell more of the reason.
    pub fn brokers_blocking(&self, timeout: Duration) -> Result<usize, KafkaError> {
        self.inner.client.n_brokers(timeout)
    }

    /// The partitions of a topic, asked from a broker. Blocks: call it on a blocking thread.
    ///
    /// # Errors
    /// [`KafkaCode::UNKNOWN_TOPIC_OR_PART`], [`KafkaCode::TIMED_OUT`], [`KafkaCode::TRANSPORT`] and others.
    pub fn partition_ids_blocking(&self, topic: &str, timeout: Duration) -> Result<Vec<i32>, KafkaError> {
        self.inner.client.partition_ids(topic, timeout)
    }

    pub(crate) fn client(&self) -> &Client {
        &self.inner.client
    }

    /// Name of the client in librdkafka's log, such as `rdkafka#producer-1`.
    #[must_use]
    pub fn client_name(&self) -> String {
        self.inner.client.name()
    }

    /// Id of the cluster, once a broker told it.
    #[must_use]
    pub fn cluster_id(&self) -> Option<String> {
        self.inner.client.cluster_id()
    }

    /// The reason why this client is unusable, once it is.
    #[must_use]
    pub fn fatal_error(&self) -> Option<KafkaError> {
        self.inner.client.fatal_error()
    }

    /// Authenticates connections made from now on with these, by PLAIN or SCRAM; those that live stay as they are.
    ///
    /// # Errors
    /// When one of them contains a zero byte.
    pub fn set_credentials(&self, username: &str, password: &str) -> Result<(), KafkaError> {
        self.inner.client.set_credentials(username, password)
    }

    /// Answers [`ProducerEvent::OauthRefresh`]. `expires_at_ms` counts from the Unix epoch.
    ///
    /// # Errors
    /// When the token is malformed, expired, or OAUTHBEARER is not configured.
    pub fn set_oauth_token(
        &self,
        token: &str,
        expires_at_ms: i64,
        principal: &str,
    ) -> Result<(), KafkaError> {
        self.inner.client.set_oauth_token(token, expires_at_ms, principal)
    }

    /// Says that no token could be had; librdkafka asks again ten seconds later.
    ///
    /// # Errors
    /// When OAUTHBEARER is not configured.
    pub fn set_oauth_failure(&self, reason: &str) -> Result<(), KafkaError> {
        self.inner.client.set_oauth_failure(reason)
    }

    /// Makes the client fail fatally, as a fenced idempotent producer would. For tests.
    ///
    /// # Errors
    /// When a fatal error happened before.
    pub fn trigger_fatal_error(&self, code: KafkaCode, reason: &str) -> Result<(), KafkaError> {
        self.inner.client.trigger_fatal_error(code, reason)
    }

    /// Ends the producer without blocking, just as dropping it does, and returns what completes when it is gone.
    ///
    /// Records still queued are purged and their deliveries fail: to flush, keep serving events until
    /// [`Producer::in_flight`] is zero. A [`Topic`] still held delays the end.
    pub fn destroy(self) -> Destroyed {
        self.inner.client.destroyed()
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("client", &self.client_name()).finish_non_exhaustive()
    }
}

fn purge(client: &Client) {
    let flags =
        sys::RD_KAFKA_PURGE_F_QUEUE | sys::RD_KAFKA_PURGE_F_INFLIGHT | sys::RD_KAFKA_PURGE_F_NON_BLOCKING;
    // SAFETY: the client is live.
    let code = unsafe { sys::int::rd_kafka_purge(client.as_ptr(), flags) };
    debug_assert!(KafkaCode::from_raw(code).is_ok(), "a producer takes these flags");
}

fn out_queue_len(client: &Client) -> usize {
    // SAFETY: the client is live.
    let len = unsafe { sys::rd_kafka_outq_len(client.as_ptr()) };
    usize::try_from(len).unwrap_or(0)
}

fn serve(event: &Event<'_>, sink: &mut dyn FnMut(ProducerEvent<'_>)) {
    if event.kind() == sys::RD_KAFKA_EVENT_DR {
        return reports::serve(event, &mut |reports| sink(ProducerEvent::Reports(reports)));
    }
    match event.common() {
        Some(Common::Error(error)) => sink(ProducerEvent::Error(error)),
        Some(Common::Log(line)) => sink(ProducerEvent::Log(line)),
        Some(Common::Stats(json)) => sink(ProducerEvent::Stats(json)),
        Some(Common::OauthRefresh) => sink(ProducerEvent::OauthRefresh),
        None => {}
    }
}
