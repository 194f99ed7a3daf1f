//! The producer: records in without copying, delivery reports out without polling.
//!
//! One task calls [`Producer::poll_events`] for as long as the producer lives; any number of tasks call
//! [`Producer::send`]. Without that task no delivery ever resolves.

use std::collections::HashMap;
use std::ffi::c_void;
use std::fmt;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::client::{Client, Kind, TopicRef};
use crate::code::KafkaCode;
use crate::config::ClientConfig;
use crate::delivery::{Delivered, Delivery, Persistence, Record, Ticket};
use crate::error::{CreateError, KafkaError};
use crate::event::{Common, Event, LogLine};
use crate::queue::Queue;
use crate::sys;
use crate::teardown::{Destroyed, Reaped, Teardown};

/// Topic handles kept ready; past it each call of [`Producer::topic`] asks librdkafka anew.
const TOPICS_CACHED_MAX: usize = 1024;

/// Events served before the task yields once; a delivery report event covers up to thousands of records.
const EVENTS_PER_TURN: usize = 64;

/// `RD_KAFKA_PARTITION_UA`, a macro that the bindings lack: the partitioner chooses.
const PARTITION_UNASSIGNED: i32 = -1;

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
    /// A record was delivered or failed. Its [`Delivery`] resolves right after this event.
    Delivered(DeliveryReport<'a>),
    /// Something is wrong with a broker, or, when fatal, with this client for good.
    Error(KafkaError),
    /// A line of librdkafka's log.
    Log(LogLine),
    /// Statistics as JSON (`statistics.interval.ms`).
    Stats(String),
    /// The OAUTHBEARER token needs renewal: answer with [`Producer::set_oauth_token`].
    OauthRefresh,
}

/// The fate of one record, borrowed from librdkafka, so that counting needs no second pass.
pub struct DeliveryReport<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition, or -1 if none was chosen.
    pub partition: i32,
    /// The outcome.
    pub result: Result<Delivered, KafkaCode>,
    /// Time from [`Producer::send`] to the broker's answer, if there was one.
    pub latency: Option<Duration>,
    /// The very bytes that were sent.
    pub payload: Option<&'a [u8]>,
    /// Length of the key in bytes.
    pub key_len: usize,
}

impl fmt::Debug for DeliveryReport<'_> {
    /// What became of it; never what it says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeliveryReport")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .field("result", &self.result)
            .field("latency", &self.latency)
            .field("key_len", &self.key_len)
            .field("payload_len", &self.payload.map(<[u8]>::len))
            .finish()
    }
}

/// What is torn down, in this order: all of it refers to the client.
struct Inner {
    topics: RwLock<HashMap<String, Topic>>,
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
                serve_reports(&event, &mut |_| ());
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
        let inner = Reaped::new(Inner { topics: RwLock::default(), queue, client });
        Ok(Producer { inner, cut_short: AtomicBool::new(false) })
    }

    /// A handle of a topic, which need not exist.
    ///
    /// # Errors
    /// When the name is empty, too long or contains a zero byte.
    pub fn topic(&self, name: &str) -> Result<Topic, KafkaError> {
        if let Some(topic) = self.inner.topics.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Ok(topic.clone());
        }
        let handle = Arc::new(TopicRef::new(&self.inner.client, name)?);
        let topic = Topic { handle, name: name.into() };
        let mut topics = self.inner.topics.write().unwrap_or_else(PoisonError::into_inner);
        if topics.len() < TOPICS_CACHED_MAX {
            topics.insert(name.to_owned(), topic.clone());
        }
        Ok(topic)
    }

    /// Hands a record to librdkafka without copying its payload and without ever waiting.
    ///
    /// # Errors
    /// [`Rejected`] with the record: the queue is full, the record too large, the partition unknown, or `topic` belongs
    /// to another producer.
    pub fn send(&self, topic: &Topic, record: Record) -> Result<Delivery, Rejected> {
        if !topic.handle.client().is_same(&self.inner.client) {
            return Err(Rejected { code: KafkaCode::INVALID_ARG, record });
        }
        let headers = match HeaderList::new(&record.headers) {
            Ok(headers) => headers,
            Err(code) => return Err(Rejected { code, record }),
        };
        let arguments = Arguments::new(topic, &record, headers.as_ref());
        // The record moves, its bytes do not: `Bytes` point to memory of their own.
        let (ticket, delivery) = Ticket::issue(record);
        let opaque = ticket.into_opaque();
        match arguments.produce(&self.inner.client, opaque) {
            Ok(()) => {
                // librdkafka owns the headers now.
                if let Some(headers) = headers {
                    headers.release();
                }
                Ok(delivery)
            }
            Err(error) => {
                // SAFETY: librdkafka refused the record, so it will not report this opaque.
                let ticket = unsafe { Ticket::from_opaque(opaque) };
                Err(Rejected { code: error.code, record: ticket.refuse() })
            }
        }
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
        return serve_reports(event, sink);
    }
    match event.common() {
        Some(Common::Error(error)) => sink(ProducerEvent::Error(error)),
        Some(Common::Log(line)) => sink(ProducerEvent::Log(line)),
        Some(Common::Stats(json)) => sink(ProducerEvent::Stats(json)),
        Some(Common::OauthRefresh) => sink(ProducerEvent::OauthRefresh),
        None => {}
    }
}

fn serve_reports(event: &Event<'_>, sink: &mut dyn FnMut(ProducerEvent<'_>)) {
    // Should the sink panic, the tickets of the remaining reports are still taken back.
    let rest = TakeBack(event);
    while let Some(message) = event.next_message() {
        let reported = Reported { message: message.as_ptr() };
        let ticket = reported.ticket();
        let result = reported.result();
        sink(ProducerEvent::Delivered(reported.report(result)));
        ticket.resolve(result.map_err(|code| (code, reported.persistence())));
    }
    drop(rest);
}

/// Resolves whatever reports of an event are left.
struct TakeBack<'e>(&'e Event<'e>);

impl Drop for TakeBack<'_> {
    fn drop(&mut self) {
        while let Some(message) = self.0.next_message() {
            let reported = Reported { message: message.as_ptr() };
            reported.ticket().resolve(reported.result().map_err(|code| (code, reported.persistence())));
        }
    }
}

/// One message of a delivery report event that lives for as long as this is used.
struct Reported {
    message: *const sys::rd_kafka_message_t,
}

impl Reported {
    fn ticket(&self) -> Ticket {
        // SAFETY: the event keeps the message live; one place is read.
        let opaque = unsafe { (*self.message)._private };
        // SAFETY: every record was sent with a ticket as its opaque, and each is reported once.
        unsafe { Ticket::from_opaque(opaque) }
    }

    fn result(&self) -> Result<Delivered, KafkaCode> {
        // SAFETY: the event keeps the message live; only an address is taken.
        let code = unsafe { &raw const (*self.message).err };
        // SAFETY: `code` points into the live message.
        KafkaCode::from_raw(unsafe { sys::code_at(code) }).ok()?;
        // SAFETY: as above; one place is read.
        let offset = unsafe { (*self.message).offset };
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is live and `kind` is ours.
        let timestamp = unsafe { sys::rd_kafka_message_timestamp(self.message, &raw mut kind) };
        Ok(Delivered {
            partition: self.partition(),
            offset: (offset >= 0).then_some(offset),
            timestamp_ms: (timestamp >= 0).then_some(timestamp),
            persistence: self.persistence(),
        })
    }

    fn partition(&self) -> i32 {
        // SAFETY: the event keeps the message live; one place is read.
        unsafe { (*self.message).partition }
    }

    fn persistence(&self) -> Persistence {
        // SAFETY: the event keeps the message live.
        match unsafe { sys::rd_kafka_message_status(self.message) } {
            sys::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED => Persistence::NotPersisted,
            sys::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED => {
                Persistence::PossiblyPersisted
            }
            sys::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_PERSISTED => Persistence::Persisted,
        }
    }

    /// Borrows from the message and, for the payload, from the record in its cell: valid until the ticket is resolved.
    fn report(&self, result: Result<Delivered, KafkaCode>) -> DeliveryReport<'_> {
        // SAFETY: the event keeps the message live.
        let latency = unsafe { sys::rd_kafka_message_latency(self.message) };
        // SAFETY: as above; one place is read.
        let key_len = unsafe { (*self.message).key_len };
        DeliveryReport {
            topic: self.topic(),
            partition: self.partition(),
            result,
            latency: u64::try_from(latency).ok().map(Duration::from_micros),
            payload: self.payload(),
            key_len,
        }
    }

    fn topic(&self) -> &str {
        // SAFETY: the event keeps the message live; one place is read.
        let topic = unsafe { (*self.message).rkt };
        // SAFETY: the message holds its topic.
        let name = unsafe { sys::rd_kafka_topic_name(topic) };
        // SAFETY: the name lives as long as the topic and ends with a zero byte.
        unsafe { sys::borrowed_text(name) }
    }

    fn payload(&self) -> Option<&[u8]> {
        // SAFETY: the event keeps the message live; one place is read.
        let payload = unsafe { (*self.message).payload };
        // SAFETY: as above.
        let len = unsafe { (*self.message).len };
        let payload = NonNull::new(payload.cast::<u8>())?;
        // SAFETY: this is the payload of the record in the cell, which the unresolved ticket keeps alive.
        Some(unsafe { slice::from_raw_parts(payload.as_ptr(), len) })
    }
}

/// The tagged arguments of one `rd_kafka_produceva` call.
struct Arguments {
    values: [sys::rd_kafka_vu_t; Arguments::COUNT],
    used: usize,
}

impl Arguments {
    const COUNT: usize = 8;

    fn new(topic: &Topic, record: &Record, headers: Option<&HeaderList>) -> Arguments {
        use sys::rd_kafka_vtype_t::{
            RD_KAFKA_VTYPE_END, RD_KAFKA_VTYPE_HEADERS, RD_KAFKA_VTYPE_KEY, RD_KAFKA_VTYPE_MSGFLAGS,
            RD_KAFKA_VTYPE_PARTITION, RD_KAFKA_VTYPE_RKT, RD_KAFKA_VTYPE_TIMESTAMP, RD_KAFKA_VTYPE_VALUE,
        };
        type Value = sys::rd_kafka_vu_s__bindgen_ty_1;

        let unused = sys::rd_kafka_vu_t { vtype: RD_KAFKA_VTYPE_END, u: Value { _pad: [0; 64] } };
        let mut arguments = Arguments { values: [unused; Arguments::COUNT], used: 0 };
        arguments.push(RD_KAFKA_VTYPE_RKT, Value { rkt: topic.handle.as_ptr() });
        let partition = record.partition.unwrap_or(PARTITION_UNASSIGNED);
        arguments.push(RD_KAFKA_VTYPE_PARTITION, Value { i32_: partition });
        // Neither COPY nor FREE: librdkafka reads the payload where it is. The key is copied always.
        arguments.push(RD_KAFKA_VTYPE_MSGFLAGS, Value { i: 0 });
        if let Some(timestamp_ms) = record.timestamp_ms {
            arguments.push(RD_KAFKA_VTYPE_TIMESTAMP, Value { i64_: timestamp_ms });
        }
        for (kind, bytes) in [(RD_KAFKA_VTYPE_VALUE, &record.payload), (RD_KAFKA_VTYPE_KEY, &record.key)] {
            if let Some(bytes) = bytes {
                let ptr = bytes.as_ptr().cast_mut().cast::<c_void>();
                let mem = sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr, size: bytes.len() };
                arguments.push(kind, Value { mem });
            }
        }
        if let Some(headers) = headers {
            arguments.push(RD_KAFKA_VTYPE_HEADERS, Value { headers: headers.0.as_ptr() });
        }
        arguments
    }

    fn push(&mut self, vtype: sys::rd_kafka_vtype_t, u: sys::rd_kafka_vu_s__bindgen_ty_1) {
        self.values[self.used] = sys::rd_kafka_vu_t { vtype, u };
        self.used += 1;
    }

    fn produce(mut self, client: &Client, opaque: *mut c_void) -> Result<(), KafkaError> {
        let value = sys::rd_kafka_vu_s__bindgen_ty_1 { ptr: opaque };
        self.push(sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_OPAQUE, value);
        // SAFETY: the client and topic are live; each value has the type its tag says. Key and headers are copied or
        // handed over in the call. The payload lives in the cell behind `opaque` until the delivery report.
        let error = unsafe { sys::rd_kafka_produceva(client.as_ptr(), self.values.as_ptr(), self.used) };
        // SAFETY: null or an error object that is ours.
        unsafe { KafkaError::take(error) }
    }
}

/// Headers on their way into librdkafka.
struct HeaderList(NonNull<sys::rd_kafka_headers_t>);

impl HeaderList {
    fn new(headers: &[(String, Option<bytes::Bytes>)]) -> Result<Option<HeaderList>, KafkaCode> {
        if headers.is_empty() {
            return Ok(None);
        }
        // SAFETY: no preconditions.
        let raw = unsafe { sys::rd_kafka_headers_new(headers.len()) };
        let list = HeaderList(NonNull::new(raw).expect("librdkafka aborts when out of memory"));
        for (name, value) in headers {
            let name_size = isize::try_from(name.len()).map_err(|_| KafkaCode::MSG_SIZE_TOO_LARGE)?;
            let (value, value_size) = match value {
                None => (ptr::null(), 0),
                Some(value) => (value.as_ptr(), value.len()),
            };
            let value_size = isize::try_from(value_size).map_err(|_| KafkaCode::MSG_SIZE_TOO_LARGE)?;
            // SAFETY: the list is live; name and value have the lengths given and are copied.
            let code = unsafe {
                sys::int::rd_kafka_header_add(
                    list.0.as_ptr(),
                    name.as_ptr().cast(),
                    name_size,
                    value.cast(),
                    value_size,
                )
            };
            KafkaCode::from_raw(code).ok()?;
        }
        Ok(Some(list))
    }

    /// librdkafka took the headers over.
    fn release(self) {
        let _released = std::mem::ManuallyDrop::new(self);
    }
}

impl Drop for HeaderList {
    fn drop(&mut self) {
        // SAFETY: `self` owns the list; `release` prevents this when librdkafka took it.
        unsafe { sys::rd_kafka_headers_destroy(self.0.as_ptr()) };
    }
}
