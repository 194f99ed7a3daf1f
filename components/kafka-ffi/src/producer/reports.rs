//! Delivery reports: told to the caller many at a time, then to whoever waits for each.

use std::fmt;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::slice;
use std::time::Duration;

use crate::batch::Reported;
use crate::code::KafkaCode;
use crate::delivery::{Delivered, DeliveryError, Outcome, Persistence, Ticket};
use crate::event::Event;
use crate::sys;

/// Reports taken from an event at once.
const CHUNK: usize = 256;

type Message = *const sys::rd_kafka_message_t;

/// Reports of records of one topic, in the order in which they were sent; borrowed from librdkafka.
pub struct DeliveryReports<'a> {
    messages: &'a [Message],
}

/// The fate of one record, borrowed from librdkafka, so that counting needs no second pass.
#[derive(Clone, Copy)]
pub struct DeliveryReport<'a> {
    message: Message,
    _event: PhantomData<&'a ()>,
}

/// Tells `sink` of the reports of an event and resolves their deliveries.
pub(super) fn serve(event: &Event<'_>, sink: &mut dyn FnMut(DeliveryReports<'_>)) {
    // Should the sink panic, the rest is resolved all the same.
    let mut rest = Rest { event, messages: [ptr::null(); CHUNK], left: 0..0, reported: Reported::new() };
    while rest.refill() {
        sink(DeliveryReports { messages: &rest.messages[rest.left.clone()] });
        rest.resolve();
    }
}

struct Rest<'e> {
    event: &'e Event<'e>,
    messages: [Message; CHUNK],
    /// Those of `messages` that are not resolved yet.
    left: std::ops::Range<usize>,
    reported: Reported,
}

impl Rest<'_> {
    fn refill(&mut self) -> bool {
        self.left = 0..self.event.next_messages(&mut self.messages);
        !self.left.is_empty()
    }

    fn resolve(&mut self) {
        // Each leaves `left` first, so that a panic in foreign code does not make it resolve twice.
        for idx in &mut self.left {
            let report = DeliveryReport { message: self.messages[idx], _event: PhantomData };
            let outcome = report.outcome(|| self.event.is_of_failed_client());
            // SAFETY: the event keeps the message live; one place is read.
            let opaque = unsafe { (*report.message)._private };
            if Reported::is_slot(opaque) {
                // SAFETY: the record was sent with this slot as its opaque, and is reported once.
                unsafe { self.reported.resolve(opaque, outcome) };
            } else {
                // SAFETY: the record was sent with this ticket as its opaque, and is reported once.
                unsafe { Ticket::from_opaque(opaque) }.resolve(outcome);
            }
        }
    }
}

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        self.resolve();
        while self.refill() {
            self.resolve();
        }
    }
}

impl<'a> DeliveryReports<'a> {
    /// The topic of all of them.
    #[must_use]
    pub fn topic(&self) -> &'a str {
        // SAFETY: the event keeps its messages live; one place is read.
        let topic = unsafe { (*self.messages[0]).rkt };
        // SAFETY: the message holds its topic.
        let name = unsafe { sys::rd_kafka_topic_name(topic) };
        // SAFETY: the name lives as long as the topic and ends with a zero byte.
        unsafe { sys::borrowed_text(name) }
    }

    /// How many there are; at least one.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "they are never empty")]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Each of them.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = DeliveryReport<'a>> + Clone + use<'a> {
        self.messages.iter().map(|message| DeliveryReport { message: *message, _event: PhantomData })
    }
}

impl<'a> DeliveryReport<'a> {
    /// The partition, or -1 if none was chosen.
    #[must_use]
    pub fn partition(&self) -> i32 {
        // SAFETY: the event keeps the message live; one place is read.
        unsafe { (*self.message).partition }
    }

    /// Why the record was not delivered; `None` when it was.
    #[must_use]
    pub fn error(&self) -> Option<KafkaCode> {
        // SAFETY: the event keeps the message live; only an address is taken.
        let code = unsafe { &raw const (*self.message).err };
        // SAFETY: `code` points into the live message.
        let code = KafkaCode::from_raw(unsafe { sys::code_at(code) });
        (!code.is_ok()).then_some(code)
    }

    /// The offset of a record that was delivered; `None` when the broker was not asked to acknowledge.
    #[must_use]
    pub fn offset(&self) -> Option<i64> {
        // SAFETY: the event keeps the message live; one place is read.
        Some(unsafe { (*self.message).offset }).filter(|offset| 0 <= *offset)
    }

    fn timestamp_ms(&self) -> Option<i64> {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the event keeps the message live, and `kind` is ours.
        let timestamp = unsafe { sys::rd_kafka_message_timestamp(self.message, &raw mut kind) };
        Some(timestamp).filter(|timestamp| 0 <= *timestamp)
    }

    /// How far the record got.
    #[must_use]
    pub fn persistence(&self) -> Persistence {
        // SAFETY: the event keeps the message live.
        match unsafe { sys::rd_kafka_message_status(self.message) } {
            sys::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED => Persistence::NotPersisted,
            sys::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED => {
                Persistence::PossiblyPersisted
            }
            sys::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_PERSISTED => Persistence::Persisted,
        }
    }

    /// Time from sending to now. Reads the clock.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        // SAFETY: the event keeps the message live.
        let latency = unsafe { sys::rd_kafka_message_latency(self.message) };
        u64::try_from(latency).ok().map(Duration::from_micros)
    }

    /// Length of the key in bytes.
    #[must_use]
    pub fn key_len(&self) -> usize {
        // SAFETY: the event keeps the message live; one place is read.
        unsafe { (*self.message).key_len }
    }

    /// Length of the payload in bytes; a tombstone has none.
    #[must_use]
    pub fn payload_len(&self) -> usize {
        // SAFETY: the event keeps the message live; one place is read.
        unsafe { (*self.message).len }
    }

    /// The very bytes that were sent.
    #[must_use]
    pub fn payload(&self) -> Option<&'a [u8]> {
        // SAFETY: the event keeps the message live; one place is read.
        let payload = unsafe { (*self.message).payload };
        let payload = NonNull::new(payload.cast::<u8>())?;
        // SAFETY: this is the payload of the record in its cell or slot, which is kept alive until the delivery is resolved,
        // after the sink has returned.
        Some(unsafe { slice::from_raw_parts(payload.as_ptr(), self.payload_len()) })
    }

    /// What a client that has failed purges, it could not send because of that.
    fn outcome(&self, is_fatal: impl Fn() -> bool) -> Outcome {
        let persistence = self.persistence();
        match self.error() {
            None => Ok(Delivered {
                partition: self.partition(),
                offset: self.offset(),
                timestamp_ms: self.timestamp_ms(),
                persistence,
            }),
            Some(code) => {
                let is_purged = matches!(code, KafkaCode::PURGE_QUEUE | KafkaCode::PURGE_INFLIGHT);
                let code = if is_purged && is_fatal() { KafkaCode::FATAL } else { code };
                let partition = Some(self.partition()).filter(|partition| 0 <= *partition);
                Err(DeliveryError { code, persistence, partition })
            }
        }
    }
}

impl fmt::Debug for DeliveryReports<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (topic, len) = (self.topic(), self.len());
        f.debug_struct("DeliveryReports").field("topic", &topic).field("len", &len).finish()
    }
}

impl fmt::Debug for DeliveryReport<'_> {
    /// What became of it; never what it says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeliveryReport")
            .field("partition", &self.partition())
            .field("error", &self.error())
            .field("offset", &self.offset())
            .field("key_len", &self.key_len())
            .field("payload_len", &self.payload_len())
            .finish_non_exhaustive()
    }
}
