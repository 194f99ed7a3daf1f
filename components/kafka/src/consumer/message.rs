//! A consumed message, lent from librdkafka's fetch buffers.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use mainspring_kafka_ffi as ffi;

use crate::consumer::batch::{CommitFuture, Committer, Handed};
use crate::consumer::lanes::Lot;

/// A message of a topic. Nothing of it is copied.
///
/// It keeps the whole fetch buffer that it came in, often a megabyte, and delays the end of its consumer. Copy what should
/// live longer than the callback.
pub struct Message(Source);

/// Where the message is kept.
enum Source {
    Here(ffi::Message),
    /// In a batch that may come again.
    Lent(Arc<Lot>, usize),
}

impl Message {
    pub(crate) fn new(message: ffi::Message) -> Message {
        Message(Source::Here(message))
    }

    /// One of a batch that may come again.
    pub(crate) fn lent(lot: Arc<Lot>, idx: usize) -> Message {
        Message(Source::Lent(lot, idx))
    }

    fn raw(&self) -> &ffi::Message {
        match &self.0 {
            Source::Here(message) => message,
            Source::Lent(lot, idx) => lot.messages[*idx].raw(),
        }
    }

    pub(crate) fn leader_epoch(&self) -> Option<i32> {
        self.raw().leader_epoch()
    }

    /// See [`ffi::Message::topic_id`].
    pub(crate) fn topic_id(&self) -> usize {
        self.raw().topic_id()
    }

    /// Its time in milliseconds since the Unix epoch, where it has one.
    pub(crate) fn timestamp_ms(&self) -> Option<i64> {
        self.raw().timestamp().map(ffi::Timestamp::millis)
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.raw().topic()
    }

    /// The partition.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.raw().partition()
    }

    /// The offset in its partition.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.raw().offset()
    }

    /// The key; an empty one is not the same as none.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.raw().key()
    }

    /// The payload; `None` is a tombstone.
    #[must_use]
    pub fn payload(&self) -> Option<&[u8]> {
        self.raw().payload()
    }

    /// The payload, shared without copying; it pins the fetch buffer for as long as it lives.
    #[must_use]
    pub fn payload_bytes(&self) -> Option<Bytes> {
        self.raw().payload_bytes()
    }

    /// When the producer created it or the broker stored it, whichever the topic records; whole milliseconds.
    #[must_use]
    pub fn timestamp(&self) -> Option<SystemTime> {
        let millis = self.timestamp_ms()?;
        let since_epoch = Duration::from_millis(millis.unsigned_abs());
        if millis < 0 {
            SystemTime::UNIX_EPOCH.checked_sub(since_epoch)
        } else {
            SystemTime::UNIX_EPOCH.checked_add(since_epoch)
        }
    }

    /// The headers in order; a name may occur more than once, and a value may be null.
    pub fn headers(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.raw().headers()
    }

    /// The value of the last header called `name`; `None` also when that value is null.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers().filter(|(header, _)| *header == name).last()?.1
    }
}

impl fmt::Debug for Message {
    /// Where it comes from; never what it says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw().fmt(f)
    }
}

/// A message with the means to commit it; everything else is that of [`Message`].
pub struct ConsumedMessage {
    message: Message,
    committer: Committer,
    handed: Handed,
}

impl ConsumedMessage {
    pub(crate) fn new(message: Message, committer: Committer, handed: Handed) -> ConsumedMessage {
        ConsumedMessage { message, committer, handed }
    }

    /// Commits its partition up to and including it; what [`Batch::commit`](crate::Batch::commit) says holds here too. So
    /// every message before it counts as processed as well.
    pub fn commit(&self) -> CommitFuture {
        self.committer.commit_through(&self.handed, &self.message)
    }

    /// The message alone.
    #[must_use]
    pub fn into_message(self) -> Message {
        self.message
    }
}

impl Deref for ConsumedMessage {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.message
    }
}

impl fmt::Debug for ConsumedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message.fmt(f)
    }
}
