//! What is sent, and what is known of it once it has arrived.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use mainspring_kafka_ffi as ffi;

/// A record to send. Payload, key and header values are handed over as [`Bytes`]; the payload is never copied.
///
/// ```
/// use mainspring_kafka::Record;
///
/// let record = Record::to("orders")
///     .with_key("customer-17")
///     .with_payload(r#"{"amount": 3}"#)
///     .with_header("content-type", "application/json");
/// assert_eq!(record.topic(), "orders");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    topic: Cow<'static, str>,
    record: ffi::Record,
}

impl Record {
    /// A record for `topic` without key and payload. A record without payload is a tombstone: in a compacted topic it
    /// deletes its key.
    pub fn to(topic: impl Into<Cow<'static, str>>) -> Record {
        Record { topic: topic.into(), record: ffi::Record::default() }
    }

    /// The same with a payload.
    #[must_use]
    pub fn with_payload(mut self, payload: impl Into<Bytes>) -> Record {
        self.record.payload = Some(payload.into());
        self
    }

    /// The same with a key, which decides the partition unless one is chosen. An empty key is not the same as none.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Bytes>) -> Record {
        self.record.key = Some(key.into());
        self
    }

    /// The same for a chosen partition.
    #[must_use]
    pub fn with_partition(mut self, partition: i32) -> Record {
        self.record.partition = Some(partition);
        self
    }

    /// The same with one header more; names may repeat.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<Bytes>) -> Record {
        self.record.headers.push((name.into(), Some(value.into())));
        self
    }

    /// The same with a time of its own, in whole milliseconds, instead of the time of sending. librdkafka takes the Unix
    /// epoch itself as no time of its own.
    #[must_use]
    pub fn with_timestamp(mut self, timestamp: SystemTime) -> Record {
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        self.record.timestamp_ms = Some(match timestamp.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since_epoch) => millis(since_epoch),
            Err(before) => -millis(before.duration()),
        });
        self
    }

    /// The topic it is for.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    pub(crate) fn into_parts(self) -> (Cow<'static, str>, ffi::Record) {
        (self.topic, self.record)
    }
}

impl fmt::Debug for Record {
    /// Where it goes; never what it says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = |bytes: &Option<Bytes>| bytes.as_ref().map(Bytes::len);
        f.debug_struct("Record")
            .field("topic", &self.topic)
            .field("partition", &self.record.partition)
            .field("key_len", &len(&self.record.key))
            .field("payload_len", &len(&self.record.payload))
            .finish_non_exhaustive()
    }
}

/// A record that a broker has acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition it went to.
    pub partition: i32,
    /// Its offset there; `None` when no acknowledgement was asked for (custom option `acks: 0`).
    pub offset: Option<i64>,
    /// Its timestamp, where the topic keeps one.
    pub timestamp: Option<SystemTime>,
}

impl Delivery {
    pub(crate) fn new(topic: Arc<str>, delivered: ffi::Delivered) -> Delivery {
        let since_epoch = delivered.timestamp_ms.and_then(|millis| u64::try_from(millis).ok());
        let timestamp =
            since_epoch.and_then(|millis| SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis)));
        Delivery { topic, partition: delivered.partition, offset: delivered.offset, timestamp }
    }
}
