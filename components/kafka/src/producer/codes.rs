//! What each code of librdkafka and of Kafka means for a record: the one table that [`SendError`](crate::SendError), logs
//! and metrics go by, and that `docs/kafka-errors.md` is written from.

use mainspring_kafka_ffi::KafkaCode;

/// The error that a code becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    DeliveryTimeout,
    QueueFull,
    MessageTooLarge,
    UnknownTopic,
    UnknownPartition,
    Purged,
    ShutDown,
    Fatal,
    Rejected,
}

/// Whether sending the record again may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    May,
    Cannot,
}

/// A code and what is made of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) code: KafkaCode,
    pub(crate) kind: Kind,
    pub(crate) retry: Retry,
    /// Why so.
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the test that writes the document"))]
    pub(crate) reason: &'static str,
}

const fn row(code: i32, kind: Kind, retry: Retry, reason: &'static str) -> Row {
    Row { code: KafkaCode::from_raw(code), kind, retry, reason }
}

use Kind::{
    DeliveryTimeout, Fatal, MessageTooLarge, Purged, QueueFull, Rejected, ShutDown, UnknownPartition,
    UnknownTopic,
};
use Retry::{Cannot, May};

/// In ascending order of codes: librdkafka's own, then those of brokers.
pub(crate) const TABLE: &[Row] = &[
    row(-199, Rejected, Cannot, "what was received makes no sense; the next answer would hardly make more"),
    row(-198, Rejected, Cannot, "the codec failed, and would fail again on the same bytes"),
    row(
        -197,
        ShutDown,
        Cannot,
        "the producer has stopped; a record that was in flight then may have been stored",
    ),
    row(-196, Rejected, Cannot, "a failure that librdkafka does not name"),
    row(-195, Rejected, May, "the connection to the broker was lost; librdkafka makes another one"),
    row(-194, Rejected, Cannot, "the system is out of threads or memory"),
    row(-193, Rejected, May, "the name of the broker could not be resolved; name servers recover"),
    row(
        -192,
        DeliveryTimeout,
        May,
        "no acknowledgement within `delivery_timeout`; it may have been stored, so that sending it again may store it twice",
    ),
    row(-190, UnknownPartition, Cannot, "the topic has no such partition; partitions are added by people"),
    row(
        -188,
        UnknownTopic,
        Cannot,
        "no broker has known the topic for half of `delivery_timeout`; topics are made by people",
    ),
    row(-187, Rejected, May, "no broker can be reached at the moment"),
    row(-186, Rejected, Cannot, "the topic has no name, or one that Kafka does not allow"),
    row(-185, Rejected, May, "a request took too long; the next one may be faster"),
    row(-184, QueueFull, May, "the queue had no space for it within `delivery_timeout`; reports make space"),
    row(-181, Rejected, Cannot, "TLS does not come about: a certificate or a setting is wrong"),
    row(
        -172,
        Rejected,
        Cannot,
        "the producer is not in a state to send: no transaction is open, or the last one failed",
    ),
    row(-169, Rejected, Cannot, "the broker refuses who we are; secdist has to change"),
    row(-152, Purged, Cannot, "it was purged before it was sent, which was asked for"),
    row(
        -151,
        Purged,
        Cannot,
        "it was purged after it was sent, which was asked for; it may have been stored",
    ),
    row(
        -150,
        Fatal,
        Cannot,
        "the client failed for good with the record in its queue; it may have been stored. A new client takes over for others",
    ),
    row(-149, Rejected, Cannot, "partitions that belong together are not treated alike; a bug"),
    row(-148, Rejected, Cannot, "a record before it failed, and `enable.gapless.guarantee` wants no gap"),
    row(-144, Rejected, Cannot, "another producer with the same transactional id took over"),
    row(
        -138,
        Rejected,
        May,
        "another record of its batch was refused; this one is not stored, and goes well without that one",
    ),
    row(2, Rejected, May, "the batch was damaged on its way"),
    row(
        3,
        UnknownTopic,
        Cannot,
        "the broker does not know the topic or the partition, still after librdkafka asked again",
    ),
    row(5, Rejected, May, "the partition has no leader while one is elected"),
    row(6, Rejected, May, "the leader has moved; librdkafka learns where to"),
    row(7, Rejected, May, "replicas did not answer the leader in time; it may have been stored"),
    row(8, Rejected, May, "the broker is not available at the moment"),
    row(9, Rejected, May, "the replica is not available at the moment"),
    row(
        10,
        MessageTooLarge,
        Cannot,
        "it is larger than `message_max_bytes`, or than what broker or topic take",
    ),
    row(13, Rejected, May, "the broker lost a connection; it may have been stored"),
    row(17, Rejected, Cannot, "the topic has a name that Kafka does not allow, or is internal"),
    row(18, MessageTooLarge, Cannot, "its batch is larger than a segment of the topic"),
    row(
        19,
        Rejected,
        May,
        "fewer replicas than `min.insync.replicas` are in step at the moment; it is not stored",
    ),
    row(
        20,
        Rejected,
        May,
        "it is stored, but on fewer replicas than `min.insync.replicas`; sending it again may store it twice",
    ),
    row(21, Rejected, Cannot, "the broker does not know the value of `acks`"),
    row(29, Rejected, Cannot, "not allowed to write to the topic; an ACL has to change"),
    row(31, Rejected, Cannot, "not allowed in this cluster, such as idempotent writes; an ACL has to change"),
    row(32, Rejected, Cannot, "its timestamp is further from now than the topic allows"),
    row(35, Rejected, Cannot, "the broker is too old for what is asked of it"),
    row(42, Rejected, Cannot, "the broker refuses the request as malformed"),
    row(43, Rejected, Cannot, "the topic stores a format without what the record has, such as headers"),
    row(44, Rejected, Cannot, "a policy of the broker refuses it"),
    row(
        45,
        Rejected,
        Cannot,
        "the broker misses records before it; librdkafka makes this fatal for an idempotent producer where records may be lost",
    ),
    row(46, Rejected, Cannot, "it is stored already"),
    row(
        47,
        Rejected,
        Cannot,
        "another producer with the same transactional id took over, or the transaction has expired",
    ),
    row(53, Rejected, Cannot, "not allowed to use the transactional id; an ACL has to change"),
    row(56, Rejected, May, "the broker has trouble with a disk; another one may take the partition over"),
    row(58, Rejected, Cannot, "the broker refuses who we are; secdist has to change"),
    row(
        59,
        Rejected,
        Cannot,
        "the broker has forgotten the producer, whose records are older than the retention",
    ),
    row(74, Rejected, May, "our metadata is older than the leader; librdkafka asks for newer"),
    row(75, Rejected, May, "the broker's metadata is older than ours; it catches up"),
    row(76, Rejected, Cannot, "the broker does not know the codec; `compression` has to change"),
    row(87, Rejected, Cannot, "the broker refuses this record, such as one without key in a compacted topic"),
    row(89, Rejected, May, "a quota is used up at the moment"),
    row(90, Rejected, Cannot, "another producer with the same transactional id took over"),
];

/// What any other code is.
pub(crate) const OTHER: (Kind, Retry, &str) =
    (Rejected, Cannot, "nothing is known that would make it go away");

/// What is made of a code.
pub(crate) fn lookup(code: KafkaCode) -> (Kind, Retry) {
    match TABLE.binary_search_by_key(&code, |row| row.code) {
        Ok(idx) => (TABLE[idx].kind, TABLE[idx].retry),
        Err(_) => (OTHER.0, OTHER.1),
    }
}

/// Whether sending the record again may help.
pub(crate) fn is_retryable(code: KafkaCode) -> bool {
    lookup(code).1 == May
}

#[cfg(test)]
mod tests;
