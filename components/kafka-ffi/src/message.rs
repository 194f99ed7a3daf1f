//! Consumed messages, lent from librdkafka's fetch buffers.
//!
//! A message pins the whole fetch buffer it came in (often a megabyte) and keeps its client alive. Keep it for as long as a
//! callback runs; copy what should live longer.

use std::ffi::c_void;
use std::fmt;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::client::Client;
use crate::code::KafkaCode;
use crate::sys;

/// A message of a topic.
pub struct Message {
    raw: NonNull<sys::rd_kafka_message_t>,
    client: Client,
    headers: OnceLock<Option<NonNull<sys::rd_kafka_headers_t>>>,
    /// Set once a payload is shared: then the last sharer frees the message, else `Drop` does.
    shared: OnceLock<Arc<Shared>>,
}

// SAFETY: a taken message belongs to its holder alone; what it points to is counted atomically inside librdkafka.
unsafe impl Send for Message {}
// SAFETY: `&self` only reads, but for parsing the headers, which `OnceLock` lets happen once.
unsafe impl Sync for Message {}

/// Where a message's time comes from, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Timestamp {
    /// Set by the producer.
    Created(i64),
    /// Set by the broker when it stored the message.
    Appended(i64),
}

impl Timestamp {
    /// Milliseconds since the Unix epoch, wherever they come from.
    #[must_use]
    pub fn millis(self) -> i64 {
        match self {
            Timestamp::Created(millis) | Timestamp::Appended(millis) => millis,
        }
    }
}

/// What the fetch queue reports instead of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageError {
    /// What happened, such as [`KafkaCode::PARTITION_EOF`].
    pub code: KafkaCode,
    /// librdkafka's text.
    pub text: String,
    /// The topic, or empty if it is not about one.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset it is about; for the end of a partition, the next one.
    pub offset: i64,
}

impl Message {
    /// Takes over a message from a fetch queue; see [`Message::to_error`] for entries that carry an error.
    ///
    /// # Safety
    /// `raw` is a message of `client` that the caller owns and does not use again.
    #[inline]
    pub(crate) unsafe fn take(raw: NonNull<sys::rd_kafka_message_t>, client: &Client) -> Message {
        Message { raw, client: client.clone(), headers: OnceLock::new(), shared: OnceLock::new() }
    }

    /// What is said instead of a message, if this is none.
    #[inline]
    pub(crate) fn to_error(&self) -> Option<MessageError> {
        self.code().ok().err().map(|code| self.error(code))
    }

    fn code(&self) -> KafkaCode {
        // SAFETY: `self` owns the live message; only an address is taken.
        let code = unsafe { &raw const (*self.raw.as_ptr()).err };
        // SAFETY: `code` points into the live message.
        KafkaCode::from_raw(unsafe { sys::code_at(code) })
    }

    #[cold]
    fn error(&self, code: KafkaCode) -> MessageError {
        // SAFETY: `self` owns the live message; the text belongs to it.
        let text = unsafe { sys::rd_kafka_message_errstr(self.raw.as_ptr()) };
        MessageError {
            code,
            // SAFETY: null or ended by a zero byte.
            text: unsafe { sys::text(text) },
            topic: self.topic().to_owned(),
            partition: self.partition(),
            offset: self.offset(),
        }
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        // SAFETY: `self` owns the live message; one place is read.
        let topic = unsafe { (*self.raw.as_ptr()).rkt };
        if topic.is_null() {
            return "";
        }
        // SAFETY: not null, and the message holds its topic.
        let name = unsafe { sys::rd_kafka_topic_name(topic) };
        // SAFETY: the name lives as long as the topic and ends with a zero byte.
        unsafe { sys::borrowed_text(name) }
    }

    /// A number that messages of one topic and client share, and messages of other topics of the client do not have: to tell
    /// topics apart without comparing their names.
    #[must_use]
    #[inline]
    pub fn topic_id(&self) -> usize {
        // SAFETY: `self` owns the live message; one place is read, and the address in it is not used.
        unsafe { (*self.raw.as_ptr()).rkt }.addr()
    }

    /// The partition.
    #[must_use]
    #[inline]
    pub fn partition(&self) -> i32 {
        // SAFETY: `self` owns the live message; one place is read.
        unsafe { (*self.raw.as_ptr()).partition }
    }

    /// The offset in its partition.
    #[must_use]
    #[inline]
    pub fn offset(&self) -> i64 {
        // SAFETY: `self` owns the live message; one place is read.
        unsafe { (*self.raw.as_ptr()).offset }
    }

    /// The key; an empty one is not the same as none.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        // SAFETY: `self` owns the live message; one place is read.
        let key = unsafe { (*self.raw.as_ptr()).key };
        // SAFETY: as above.
        let len = unsafe { (*self.raw.as_ptr()).key_len };
        // SAFETY: librdkafka keeps `len` bytes at `key` unchanged until the message is freed, which outlasts `&self`.
        unsafe { bytes_at(key, len) }
    }

    /// The payload; `None` is a tombstone.
    #[must_use]
    pub fn payload(&self) -> Option<&[u8]> {
        // SAFETY: `self` owns the live message.
        unsafe { payload_of(self.raw) }
    }

    /// The payload, shared without copying. It pins the message and its client for as long as it lives.
    #[must_use]
    pub fn payload_bytes(&self) -> Option<Bytes> {
        self.payload()?;
        let share = || Arc::new(Shared { raw: self.raw, _client: self.client.clone() });
        let shared = self.shared.get_or_init(share);
        Some(Bytes::from_owner(SharedPayload(Arc::clone(shared))))
    }

    /// Bytes of key and payload.
    #[must_use]
    #[inline]
    pub fn size(&self) -> usize {
        // SAFETY: `self` owns the live message; one place is read.
        let key_len = unsafe { (*self.raw.as_ptr()).key_len };
        // SAFETY: as above.
        let len = unsafe { (*self.raw.as_ptr()).len };
        key_len + len
    }

    /// When the message was created or stored, if it says so.
    #[must_use]
    pub fn timestamp(&self) -> Option<Timestamp> {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: `self` owns the live message; `kind` is ours.
        let millis = unsafe { sys::rd_kafka_message_timestamp(self.raw.as_ptr(), &raw mut kind) };
        match kind {
            sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE => None,
            sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_CREATE_TIME => {
                Some(Timestamp::Created(millis))
            }
            sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => {
                Some(Timestamp::Appended(millis))
            }
        }
    }

    /// Epoch of the leader that served it; commit it along with the offset.
    #[must_use]
    pub fn leader_epoch(&self) -> Option<i32> {
        // SAFETY: `self` owns the live message.
        let epoch = unsafe { sys::rd_kafka_message_leader_epoch(self.raw.as_ptr()) };
        (epoch >= 0).then_some(epoch)
    }

    /// The headers in order, parsed on the first call.
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        self.headers.get_or_init(|| {
            let mut headers = ptr::null_mut();
            // SAFETY: `self` owns the live message, and `OnceLock` keeps other threads out while it is changed.
            let code = unsafe { sys::int::rd_kafka_message_headers(self.raw.as_ptr(), &raw mut headers) };
            KafkaCode::from_raw(code).ok().ok()?;
            NonNull::new(headers)
        });
        Headers { message: self, next_idx: 0 }
    }
}

impl fmt::Debug for Message {
    /// Where it comes from; never what it says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("topic", &self.topic())
            .field("partition", &self.partition())
            .field("offset", &self.offset())
            .finish_non_exhaustive()
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        if self.shared.get().is_none() {
            // SAFETY: nothing shares the message, so `self` owns it alone; `client` is still alive.
            unsafe { sys::rd_kafka_message_destroy(self.raw.as_ptr()) };
        }
    }
}

/// The headers of a message: names with their values.
#[derive(Debug, Clone)]
pub struct Headers<'m> {
    message: &'m Message,
    next_idx: usize,
}

impl<'m> Iterator for Headers<'m> {
    type Item = (&'m str, Option<&'m [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let list = (*self.message.headers.get()?)?;
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the list belongs to the borrowed message and does not change once parsed; the places are ours.
        let code = unsafe {
            sys::int::rd_kafka_header_get_all(
                list.as_ptr(),
                self.next_idx,
                &raw mut name,
                &raw mut value,
                &raw mut size,
            )
        };
        KafkaCode::from_raw(code).ok().ok()?;
        self.next_idx += 1;
        // SAFETY: the name lives as long as the message and ends with a zero byte.
        let name: &'m str = unsafe { sys::borrowed_text(name) };
        // SAFETY: null, or `size` bytes that live as long as the message.
        let value: Option<&'m [u8]> = unsafe { bytes_at(value.cast_mut(), size) };
        Some((name, value))
    }
}

/// A message whose payload is shared.
struct Shared {
    raw: NonNull<sys::rd_kafka_message_t>,
    // Freed after the message: fields go after `drop`.
    _client: Client,
}

// SAFETY: as for `Message`; of a shared message only the payload is read.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the last sharer frees the message, which `Drop for Message` then leaves alone.
        unsafe { sys::rd_kafka_message_destroy(self.raw.as_ptr()) };
    }
}

struct SharedPayload(Arc<Shared>);

impl AsRef<[u8]> for SharedPayload {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the shared owner keeps the message live.
        unsafe { payload_of(self.0.raw) }.unwrap_or_default()
    }
}

/// # Safety
/// `raw` is live and not freed for `'m`.
unsafe fn payload_of<'m>(raw: NonNull<sys::rd_kafka_message_t>) -> Option<&'m [u8]> {
    // SAFETY: the caller upholds that the message is live; one place is read.
    let payload = unsafe { (*raw.as_ptr()).payload };
    // SAFETY: as above.
    let len = unsafe { (*raw.as_ptr()).len };
    // SAFETY: librdkafka keeps `len` bytes at `payload` unchanged until the message is freed.
    unsafe { bytes_at(payload, len) }
}

/// # Safety
/// `first` is null or points to `len` initialised bytes that stay unchanged for `'m`.
unsafe fn bytes_at<'m>(first: *mut c_void, len: usize) -> Option<&'m [u8]> {
    let first = NonNull::new(first.cast::<u8>())?;
    // SAFETY: not null; the caller upholds the rest.
    Some(unsafe { slice::from_raw_parts(first.as_ptr(), len) })
}
