//! The consumer: one queue of group events, one of messages, both waited for without polling.
//!
//! Assigned partitions are forwarded to a fetch queue of their own. librdkafka's batch call must not be used on the queue
//! that rebalances arrive on: it would answer them with an empty assignment, silently.

use std::fmt;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::client::{Client, Kind, c_string};
use crate::code::KafkaCode;
use crate::config::ClientConfig;
use crate::error::{CreateError, KafkaError};
use crate::event::{Common, Event, LogLine};
use crate::message::{Message, MessageError};
use crate::partitions::{List, TopicPartition};
use crate::queries::Queries;
use crate::queue::Queue;
use crate::sys;
use crate::teardown::{Destroyed, Reaped, Teardown};

/// Messages taken per call into librdkafka: enough to make the call cheap, small enough for the stack.
const MESSAGES_PER_CALL: usize = 128;

/// Messages taken per call of [`Consumer::poll_batch`], so that a long backlog does not keep its task from anything else.
const MESSAGES_PER_TURN: usize = 1024;

/// Longest time a dropped consumer takes to leave its group; past it the group waits for the session timeout.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(10);

/// Longest wait between two looks at whether a close is over.
const CLOSE_POLL_MS: i32 = 100;

/// A member of a consumer group.
///
/// To leave the group in good order, call [`Consumer::start_close`] and serve events until [`ConsumerEvent::Closed`].
/// Dropping it instead leaves the group in the background, within ten seconds, and commits nothing.
pub struct Consumer {
    inner: Reaped<Inner>,
    closing: AtomicBool,
}

/// What is torn down, in this order: all of it refers to the client.
struct Inner {
    events: Queue,
    fetched: Queue,
    client: Client,
}

impl Teardown for Inner {
    /// Leaves the group, answering for whoever let go. A rebalance left unanswered would make the destroy hang for ever.
    fn teardown(self) {
        let deadline = Instant::now() + CLOSE_TIME_MAX;
        drop(self.unassign());
        // Refused when closed already or failed fatally: then there is nothing to wait for.
        let closing = self.start_close().is_ok();
        // Under the cooperative protocol it is refused until the close has begun, and a revocation that was taken but not
        // answered comes again by no event.
        drop(self.unassign());
        while closing && !self.is_closed() && Instant::now() < deadline {
            let event = self.events.wait_event(CLOSE_POLL_MS);
            if event.is_some_and(|event| event.kind() == sys::RD_KAFKA_EVENT_REBALANCE) {
                drop(self.unassign());
            }
        }
    }
}

impl Inner {
    fn unassign(&self) -> Result<(), KafkaError> {
        // SAFETY: the client is live; null means no partitions.
        KafkaError::check(unsafe { sys::int::rd_kafka_assign(self.client.as_ptr(), ptr::null()) })
    }

    fn start_close(&self) -> Result<(), KafkaError> {
        // SAFETY: client and queue are live. The queue is the group's own, so its events keep coming there.
        let error = unsafe { sys::rd_kafka_consumer_close_queue(self.client.as_ptr(), self.events.as_ptr()) };
        // SAFETY: null or an error object that is ours.
        unsafe { KafkaError::take(error) }
    }

    fn is_closed(&self) -> bool {
        // SAFETY: the client is live.
        unsafe { sys::rd_kafka_consumer_closed(self.client.as_ptr()) != 0 }
    }
}

/// How the group hands partitions over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RebalanceProtocol {
    /// No group was joined yet.
    None,
    /// All at once: answer with [`Consumer::assign`] and [`Consumer::unassign`].
    Eager,
    /// Bit by bit: answer with [`Consumer::incremental_assign`] and [`Consumer::incremental_unassign`].
    Cooperative,
}

/// Something to know about a consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConsumerEvent {
    /// The group gives these partitions; it waits for an assign call.
    Assign(Vec<TopicPartition>),
    /// The group takes these partitions; it waits for an unassign call.
    Revoke {
        /// What is taken; under [`RebalanceProtocol::Eager`] everything.
        partitions: Vec<TopicPartition>,
        /// They belong to others already, so nothing can be committed for them.
        lost: bool,
    },
    /// A commit was answered.
    Committed {
        /// The tag given to [`Consumer::commit_async`].
        tag: usize,
        /// The result as a whole; partitions may carry errors of their own.
        result: Result<(), KafkaError>,
        /// What was committed.
        offsets: Vec<TopicPartition>,
    },
    /// Something is wrong with a broker, or, when fatal, with this client for good.
    Error(KafkaError),
    /// A line of librdkafka's log.
    Log(LogLine),
    /// Statistics as JSON (`statistics.interval.ms`).
    Stats(String),
    /// The OAUTHBEARER token needs renewal: answer with [`Consumer::set_oauth_token`].
    OauthRefresh,
    /// The close begun by [`Consumer::start_close`] is complete. The last event of interest.
    Closed,
}

impl Consumer {
    /// Creates a consumer; brokers need not be reachable. Needs `group.id`. Sets `log.queue`, so that log lines arrive as
    /// events. Whether offsets are stored or committed by themselves is up to the configuration: turn both off to commit
    /// what was processed.
    ///
    /// # Errors
    /// [`CreateError`] when `group.id` is missing, properties do not fit together or a thread cannot be started.
    pub fn new(mut config: ClientConfig) -> Result<Consumer, CreateError> {
        config.queue_logs()?;
        let events = sys::RD_KAFKA_EVENT_REBALANCE
            | sys::RD_KAFKA_EVENT_ERROR
            | sys::RD_KAFKA_EVENT_OFFSET_COMMIT
            | sys::RD_KAFKA_EVENT_STATS
            | sys::RD_KAFKA_EVENT_LOG
            | sys::RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH;
        let client = Client::new(Kind::Consumer, config, events)?;
        let events = Queue::consumer(&client).ok_or_else(|| CreateError {
            code: KafkaCode::INVALID_ARG,
            text: "a consumer needs `group.id`".to_owned(),
        })?;
        // SAFETY: the client is live. This makes its main queue and its consumer queue one.
        KafkaError::check(unsafe { sys::int::rd_kafka_poll_set_consumer(client.as_ptr()) })?;
        events.receive_logs()?;
        let fetched = Queue::create(&client);
        let inner = Reaped::new(Inner { events, fetched, client });
        Ok(Consumer { inner, closing: AtomicBool::new(false) })
    }

    pub(crate) fn rk(&self) -> *mut sys::rd_kafka_t {
        self.inner.client.as_ptr()
    }

    /// Subscribes to topics, in place of those before; a name that begins with `^` is a regular expression. The group
    /// answers with [`ConsumerEvent::Assign`].
    ///
    /// # Errors
    /// No topics, a name that is not valid, or a client that failed fatally.
    pub fn subscribe(&self, topics: &[&str]) -> Result<(), KafkaError> {
        let list = List::of_topics(topics)?;
        // SAFETY: client and list are live; the list is copied.
        KafkaError::check(unsafe { sys::int::rd_kafka_subscribe(self.rk(), list.as_ptr()) })
    }

    /// Leaves all topics; assigned partitions are revoked by an event.
    ///
    /// # Errors
    /// A client that is being destroyed.
    pub fn unsubscribe(&self) -> Result<(), KafkaError> {
        // SAFETY: the client is live.
        KafkaError::check(unsafe { sys::int::rd_kafka_unsubscribe(self.rk()) })
    }

    /// The next event of the group, the client or a commit.
    ///
    /// Only one task at a time may wait here. It must be served for as long as the consumer lives, also while messages are
    /// being processed.
    ///
    /// # Cancel safety
    /// Safe: an event is either returned or still queued.
    pub fn poll_event(&self, cx: &mut Context<'_>) -> Poll<ConsumerEvent> {
        self.inner.events.register(cx.waker());
        while let Some(event) = self.inner.events.next_event() {
            if let Some(event) = self.read(&event) {
                return Poll::Ready(event);
            }
        }
        // The end of a close is no event of its own: librdkafka only wakes the queue up for it.
        if self.is_closed() && self.closing.swap(false, Ordering::Relaxed) {
            return Poll::Ready(ConsumerEvent::Closed);
        }
        Poll::Pending
    }

    fn read(&self, event: &Event<'_>) -> Option<ConsumerEvent> {
        match event.kind() {
            sys::RD_KAFKA_EVENT_REBALANCE => Some(self.read_rebalance(event)),
            sys::RD_KAFKA_EVENT_OFFSET_COMMIT => Some(ConsumerEvent::Committed {
                tag: event.opaque(),
                result: event.code().ok().map_err(KafkaError::from_code),
                offsets: event.partitions(),
            }),
            _ => event.common().map(|common| match common {
                Common::Error(error) => ConsumerEvent::Error(error),
                Common::Log(line) => ConsumerEvent::Log(line),
                Common::Stats(json) => ConsumerEvent::Stats(json),
                Common::OauthRefresh => ConsumerEvent::OauthRefresh,
            }),
        }
    }

    fn read_rebalance(&self, event: &Event<'_>) -> ConsumerEvent {
        match event.code() {
            KafkaCode::ASSIGN_PARTITIONS => ConsumerEvent::Assign(event.partitions()),
            KafkaCode::REVOKE_PARTITIONS => {
                // SAFETY: the client is live.
                let lost = unsafe { sys::rd_kafka_assignment_lost(self.rk()) } != 0;
                ConsumerEvent::Revoke { partitions: event.partitions(), lost }
            }
            // Not `event.error()`: librdkafka allocates no room for an error in a rebalance event.
            code => ConsumerEvent::Error(KafkaError::from_code(code)),
        }
    }

    /// Takes messages that are ready, up to `max`, and returns how many entries were added to the two lists.
    ///
    /// Ready as soon as there is one, with 1024 at most. Call again at once: waiting begins only where this returns pending. Only one task at a time may wait here, and none may change the assignment meanwhile.
    ///
    /// # Cancel safety
    /// Safe: messages are either in the list or still queued.
    pub fn poll_batch(
        &self,
        cx: &mut Context<'_>,
        max: usize,
        messages: &mut Vec<Message>,
        errors: &mut Vec<MessageError>,
    ) -> Poll<usize> {
        self.inner.fetched.register(cx.waker());
        let mut taken = 0;
        let max = max.min(MESSAGES_PER_TURN);
        while taken < max {
            let mut raws = [ptr::null_mut(); MESSAGES_PER_CALL];
            let wanted = MESSAGES_PER_CALL.min(max - taken);
            let count = self.inner.fetched.take_messages(&mut raws[..wanted]);
            for raw in raws.iter().take(count).copied().filter_map(NonNull::new) {
                // SAFETY: the queue gave this message to us, and it is used only here.
                let message = unsafe { Message::take(raw, &self.inner.client) };
                match message.to_error() {
                    None => messages.push(message),
                    Some(error) => errors.push(error),
                }
            }
            taken += count;
            if count < wanted {
                break;
            }
        }
        if taken > 0 || max == 0 { Poll::Ready(taken) } else { Poll::Pending }
    }

    /// How to answer rebalances. Waits for librdkafka's main thread to tell: ask once per rebalance, not per event.
    #[must_use]
    pub fn rebalance_protocol(&self) -> RebalanceProtocol {
        // SAFETY: the client is live; the name is static or null.
        let name = unsafe { sys::rd_kafka_rebalance_protocol(self.rk()) };
        // SAFETY: null or a static string.
        match unsafe { sys::borrowed_text(name) } {
            "EAGER" => RebalanceProtocol::Eager,
            "COOPERATIVE" => RebalanceProtocol::Cooperative,
            _ => RebalanceProtocol::None,
        }
    }

    /// Starts fetching exactly these partitions, from their offsets or else from the committed ones.
    ///
    /// # Errors
    /// Unknown partitions, or a client that failed fatally.
    pub fn assign(&self, partitions: &[TopicPartition]) -> Result<(), KafkaError> {
        let list = self.forwarded(partitions)?;
        // SAFETY: client and list are live; the list is copied.
        KafkaError::check(unsafe { sys::int::rd_kafka_assign(self.rk(), list.as_ptr()) })
    }

    /// Starts fetching these partitions as well.
    ///
    /// # Errors
    /// As [`Consumer::assign`], and for partitions assigned already.
    pub fn incremental_assign(&self, partitions: &[TopicPartition]) -> Result<(), KafkaError> {
        let list = self.forwarded(partitions)?;
        // SAFETY: client and list are live; the list is copied.
        let error = unsafe { sys::rd_kafka_incremental_assign(self.rk(), list.as_ptr()) };
        // SAFETY: null or an error object that is ours.
        unsafe { KafkaError::take(error) }
    }

    /// Stops fetching these partitions.
    ///
    /// # Errors
    /// For partitions that are not assigned.
    pub fn incremental_unassign(&self, partitions: &[TopicPartition]) -> Result<(), KafkaError> {
        let list = List::new(partitions)?;
        // SAFETY: client and list are live; the list is copied.
        let error = unsafe { sys::rd_kafka_incremental_unassign(self.rk(), list.as_ptr()) };
        // SAFETY: null or an error object that is ours.
        unsafe { KafkaError::take(error) }
    }

    /// Stops fetching altogether.
    ///
    /// # Errors
    /// A client that is being destroyed.
    pub fn unassign(&self) -> Result<(), KafkaError> {
        self.inner.unassign()
    }

    /// Makes the list for an assign call, after forwarding each partition to the fetch queue: the other way round the
    /// first messages could end up among the events.
    fn forwarded(&self, partitions: &[TopicPartition]) -> Result<List, KafkaError> {
        for partition in partitions {
            let topic = c_string(&partition.topic)?;
            // SAFETY: the client is live; the name is copied; the returned reference is ours.
            let queue =
                unsafe { sys::rd_kafka_queue_get_partition(self.rk(), topic.as_ptr(), partition.partition) };
            let queue =
                NonNull::new(queue).ok_or_else(|| KafkaError::from_code(KafkaCode::UNKNOWN_PARTITION))?;
            // SAFETY: both queues are live; librdkafka counts the reference it keeps to ours.
            unsafe { sys::rd_kafka_queue_forward(queue.as_ptr(), self.inner.fetched.as_ptr()) };
            // SAFETY: our reference is given back once; the forwarding stays with the partition.
            unsafe { sys::rd_kafka_queue_destroy(queue.as_ptr()) };
        }
        List::new(partitions)
    }

    /// What is assigned now.
    ///
    /// # Errors
    /// A client that is being destroyed.
    pub fn assignment(&self) -> Result<Vec<TopicPartition>, KafkaError> {
        let mut list = ptr::null_mut();
        // SAFETY: the client is live; on success the list is ours.
        KafkaError::check(unsafe { sys::int::rd_kafka_assignment(self.rk(), &raw mut list) })?;
        Ok(List::from_raw(list).read())
    }

    /// Stops handing out messages of these partitions; what is queued for them is fetched again on resuming.
    ///
    /// # Errors
    /// The first partition that is not known.
    pub fn pause(&self, partitions: &[TopicPartition]) -> Result<(), KafkaError> {
        let list = List::new(partitions)?;
        // SAFETY: client and list are live.
        KafkaError::check(unsafe { sys::int::rd_kafka_pause_partitions(self.rk(), list.as_ptr()) })?;
        list.first_error_but(KafkaCode::NO_ERROR)
    }

    /// Undoes [`Consumer::pause`].
    ///
    /// # Errors
    /// The first partition that is not known.
    pub fn resume(&self, partitions: &[TopicPartition]) -> Result<(), KafkaError> {
        let list = List::new(partitions)?;
        // SAFETY: client and list are live.
        KafkaError::check(unsafe { sys::int::rd_kafka_resume_partitions(self.rk(), list.as_ptr()) })?;
        list.first_error_but(KafkaCode::NO_ERROR)
    }

    /// Goes on reading one partition at its offset. Waits for librdkafka's main thread to take it, which asks nobody, for
    /// `timeout` at most. What is taken afterwards is from there.
    ///
    /// # Errors
    /// [`KafkaCode::STATE`] as long as the partition's assignment has not taken effect: try again;
    /// [`KafkaCode::UNKNOWN_PARTITION`] and [`KafkaCode::TIMED_OUT`].
    pub fn seek_and_wait(&self, position: &TopicPartition, timeout: Duration) -> Result<(), KafkaError> {
        let list = List::new(std::slice::from_ref(position))?;
        let timeout = sys::timeout_ms(timeout).max(1);
        // SAFETY: client and list are live.
        let error = unsafe { sys::rd_kafka_seek_partitions(self.rk(), list.as_ptr(), timeout) };
        // SAFETY: null or an error object that is ours.
        unsafe { KafkaError::take(error) }?;
        list.first_error_but(KafkaCode::NO_ERROR)
    }

    /// Goes on reading at the given offsets. Takes effect a little later: messages taken before that are not filtered,
    /// those taken after it are from there.
    ///
    /// # Errors
    /// The first partition that is not assigned.
    pub fn seek(&self, partitions: &[TopicPartition]) -> Result<(), KafkaError> {
        let list = List::new(partitions)?;
        // SAFETY: client and list are live; timeout 0 does not wait.
        let error = unsafe { sys::rd_kafka_seek_partitions(self.rk(), list.as_ptr(), 0) };
        // SAFETY: null or an error object that is ours.
        unsafe { KafkaError::take(error) }?;
        // Without waiting, "in progress" is what success looks like.
        list.first_error_but(KafkaCode::IN_PROGRESS)
    }

    /// Commits the offsets, each that of the next message to read. The answer is a [`ConsumerEvent::Committed`] with `tag`.
    ///
    /// # Errors
    /// A client that is being destroyed; broker errors come with the event.
    pub fn commit_async(&self, offsets: &[TopicPartition], tag: usize) -> Result<(), KafkaError> {
        let list = List::new(offsets)?;
        let opaque = ptr::without_provenance_mut(tag);
        // SAFETY: client, list and queue are live; the list is copied; the opaque is a number nobody dereferences.
        KafkaError::check(unsafe {
            sys::int::rd_kafka_commit_queue(
                self.rk(),
                list.as_ptr(),
                self.inner.events.as_ptr(),
                None,
                opaque,
            )
        })
    }

    /// Offset of the next message to be taken from each partition; none where none was taken.
    ///
    /// # Errors
    /// A client that is being destroyed; errors of single partitions are in the list.
    pub fn position(&self, partitions: &[TopicPartition]) -> Result<Vec<TopicPartition>, KafkaError> {
        let list = List::new(partitions)?;
        // SAFETY: client and list are live.
        KafkaError::check(unsafe { sys::int::rd_kafka_position(self.rk(), list.as_ptr()) })?;
        Ok(list.read())
    }

    /// Asks brokers off the task that serves this consumer.
    #[must_use]
    pub fn queries(&self) -> Queries {
        Queries::new(&self.inner.client)
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

    /// Starts to leave the group. Serve events, and answer the revocation among them, until [`ConsumerEvent::Closed`].
    ///
    /// # Errors
    /// When closed already, or when the client failed fatally: then just destroy it.
    pub fn start_close(&self) -> Result<(), KafkaError> {
        self.closing.store(true, Ordering::Relaxed);
        self.inner.start_close().inspect_err(|_| self.closing.store(false, Ordering::Relaxed))
    }

    /// Whether the consumer has left its group.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    /// Name of the client in librdkafka's log, such as `rdkafka#consumer-1`.
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

    /// Answers [`ConsumerEvent::OauthRefresh`]. `expires_at_ms` counts from the Unix epoch.
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

    /// Ends the consumer without blocking, just as dropping it does, and returns what completes when it is gone. A
    /// [`Message`] still held delays the end.
    pub fn destroy(self) -> Destroyed {
        self.inner.client.destroyed()
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("client", &self.client_name()).finish_non_exhaustive()
    }
}
