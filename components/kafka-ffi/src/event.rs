//! Events taken from a queue, and what both kinds of client report.

use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use crate::client::Client;
use crate::code::KafkaCode;
use crate::error::KafkaError;
use crate::partitions::{self, TopicPartition};
use crate::sys;

/// A line of librdkafka's own log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Syslog level: 0 emergency to 7 debug.
    pub level: i32,
    /// What it is about, such as `FAIL` or `CGRPJOIN`.
    pub facility: String,
    /// The line, without the facility.
    pub text: String,
}

/// What any client reports.
pub(crate) enum Common {
    Error(KafkaError),
    Log(LogLine),
    Stats(String),
    OauthRefresh,
}

/// An event for one turn of a drain loop; it must not outlive the queue it came from.
pub(crate) struct Event<'q> {
    raw: NonNull<sys::rd_kafka_event_t>,
    client: &'q Client,
    not_send: PhantomData<*mut ()>,
}

impl<'q> Event<'q> {
    pub(crate) fn new(raw: NonNull<sys::rd_kafka_event_t>, client: &'q Client) -> Event<'q> {
        Event { raw, client, not_send: PhantomData }
    }

    pub(crate) fn kind(&self) -> i32 {
        // SAFETY: `self` owns the live event.
        unsafe { sys::rd_kafka_event_type(self.raw.as_ptr()) }
    }

    pub(crate) fn code(&self) -> KafkaCode {
        // SAFETY: `self` owns the live event.
        KafkaCode::from_raw(unsafe { sys::int::rd_kafka_event_error(self.raw.as_ptr()) })
    }

    /// Whether the client it comes from is unusable.
    pub(crate) fn is_of_failed_client(&self) -> bool {
        self.client.fatal_error().is_some()
    }

    /// Takes the next delivery reports, as many as there is room for; the messages belong to the event.
    pub(crate) fn next_messages(&self, messages: &mut [*const sys::rd_kafka_message_t]) -> usize {
        // SAFETY: `self` owns the live event, and `messages` has room for as many pointers as said.
        unsafe { sys::rd_kafka_event_message_array(self.raw.as_ptr(), messages.as_mut_ptr(), messages.len()) }
    }

    /// The opaque of a commit result.
    pub(crate) fn opaque(&self) -> usize {
        // SAFETY: `self` owns the live event.
        let opaque = unsafe { sys::rd_kafka_event_opaque(self.raw.as_ptr()) };
        opaque.addr()
    }

    /// A copy of the partitions the event is about.
    pub(crate) fn partitions(&self) -> Vec<TopicPartition> {
        // SAFETY: `self` owns the live event.
        let list = unsafe { sys::rd_kafka_event_topic_partition_list(self.raw.as_ptr()) };
        // SAFETY: the list is null or belongs to the event, which is not touched meanwhile.
        unsafe { partitions::read(list) }
    }

    /// Reads what any client may report; `None` for kinds that only one client knows.
    pub(crate) fn common(&self) -> Option<Common> {
        match self.kind() {
            sys::RD_KAFKA_EVENT_ERROR => Some(Common::Error(self.error())),
            sys::RD_KAFKA_EVENT_LOG => Some(Common::Log(self.log())),
            sys::RD_KAFKA_EVENT_STATS => Some(Common::Stats(self.stats())),
            sys::RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH => Some(Common::OauthRefresh),
            _ => None,
        }
    }

    pub(crate) fn error(&self) -> KafkaError {
        // SAFETY: `self` owns the live event.
        let fatal = unsafe { sys::rd_kafka_event_error_is_fatal(self.raw.as_ptr()) } != 0;
        if fatal && let Some(cause) = self.client.fatal_error() {
            return cause;
        }
        // SAFETY: `self` owns the live event, and the string belongs to it.
        let text = unsafe { sys::rd_kafka_event_error_string(self.raw.as_ptr()) };
        // SAFETY: the string is null or ended by a zero byte.
        let text = unsafe { sys::text(text) };
        KafkaError { fatal, ..KafkaError::from_text(self.code(), text) }
    }

    fn log(&self) -> LogLine {
        let (mut facility, mut text, mut level) = (ptr::null(), ptr::null(), 0);
        // SAFETY: `self` owns the live event; the three places are ours. The strings belong to the event.
        let failed = unsafe {
            sys::rd_kafka_event_log(self.raw.as_ptr(), &raw mut facility, &raw mut text, &raw mut level)
        };
        debug_assert_eq!(failed, 0, "the event is a log line");
        // SAFETY: null or ended by a zero byte.
        let facility = unsafe { sys::text(facility) };
        // SAFETY: null or ended by a zero byte.
        let text = unsafe { sys::text(text) };
        LogLine { level, facility, text }
    }

    fn stats(&self) -> String {
        // SAFETY: `self` owns the live event, and the string belongs to it.
        let json = unsafe { sys::rd_kafka_event_stats(self.raw.as_ptr()) };
        // SAFETY: null or ended by a zero byte.
        unsafe { sys::text(json) }
    }
}

impl Drop for Event<'_> {
    fn drop(&mut self) {
        // SAFETY: `self` owns the event and frees it once, while the queue it borrows keeps the client alive.
        unsafe { sys::rd_kafka_event_destroy(self.raw.as_ptr()) };
    }
}
