//! Error codes of librdkafka and of the Kafka protocol, kept as the integers they are.

use std::borrow::Cow;
use std::ffi::{CStr, c_int};
use std::fmt;

use crate::sys;

/// An error code: negative ones are librdkafka's own, positive ones come from a broker, zero is success.
///
/// Any integer is a valid code, because brokers newer than the library send codes it has no name for.
///
/// # Examples
/// ```
/// use mainspring_kafka_ffi::KafkaCode;
///
/// assert_eq!(KafkaCode::MSG_TIMED_OUT.name(), "_MSG_TIMED_OUT");
/// assert_eq!(KafkaCode::from_raw(12_345).name(), "ERR_12345?");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KafkaCode(c_int);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        impl KafkaCode {
            $($(#[$doc])* pub const $name: KafkaCode = KafkaCode($value);)*
        }
    };
}

codes! {
    /// Success.
    NO_ERROR = 0;
    /// The client is being destroyed.
    DESTROY = -197;
    /// A broker connection failed.
    TRANSPORT = -195;
    /// A record was not acknowledged within `delivery.timeout.ms`.
    MSG_TIMED_OUT = -192;
    /// The end of a partition was reached (`enable.partition.eof`).
    PARTITION_EOF = -191;
    /// The partition does not exist.
    UNKNOWN_PARTITION = -190;
    /// The topic does not exist.
    UNKNOWN_TOPIC = -188;
    /// No broker can be reached.
    ALL_BROKERS_DOWN = -187;
    /// An argument was refused.
    INVALID_ARG = -186;
    /// TLS does not come about.
    SSL = -181;
    /// A call took longer than its timeout.
    TIMED_OUT = -185;
    /// The producer's queue is full; wait for delivery reports.
    QUEUE_FULL = -184;
    /// The operation goes on in the background.
    IN_PROGRESS = -178;
    /// A rebalance hands partitions over.
    ASSIGN_PARTITIONS = -175;
    /// A rebalance takes partitions back.
    REVOKE_PARTITIONS = -174;
    /// The call does not fit the state of the client.
    STATE = -172;
    /// The broker refuses who we are.
    AUTHENTICATION = -169;
    /// There was no offset to commit.
    NO_OFFSET = -168;
    /// The record was purged before it was sent.
    PURGE_QUEUE = -152;
    /// The record was purged after it was sent: it may have been stored.
    PURGE_INFLIGHT = -151;
    /// The client is unusable: create a new one.
    FATAL = -150;
    /// Another producer with the same `transactional.id` took over, or the broker gave the transaction up.
    FENCED = -144;
    /// The application did not poll within `max.poll.interval.ms`.
    MAX_POLL_EXCEEDED = -147;
    /// The broker does not know the topic or the partition.
    UNKNOWN_TOPIC_OR_PART = 3;
    /// The record is larger than the client's or the broker's limit.
    MSG_SIZE_TOO_LARGE = 10;
    /// The group moved on to another generation.
    ILLEGAL_GENERATION = 22;
    /// The group does not know this member.
    UNKNOWN_MEMBER_ID = 25;
    /// The group is rebalancing.
    REBALANCE_IN_PROGRESS = 27;
    /// Not allowed to use the topic.
    TOPIC_AUTHORIZATION_FAILED = 29;
}

/// Codes that librdkafka calls by other names than the protocol does.
const RENAMED: [(c_int, &str); 7] = [
    (2, "CORRUPT_MESSAGE"),
    (3, "UNKNOWN_TOPIC_OR_PARTITION"),
    (4, "INVALID_FETCH_SIZE"),
    (6, "NOT_LEADER_OR_FOLLOWER"),
    (10, "MESSAGE_TOO_LARGE"),
    (11, "STALE_CONTROLLER_EPOCH"),
    (17, "INVALID_TOPIC_EXCEPTION"),
];

impl KafkaCode {
    /// Wraps an integer.
    #[must_use]
    pub const fn from_raw(code: i32) -> KafkaCode {
        KafkaCode(code)
    }

    /// The integer itself.
    #[must_use]
    pub const fn as_raw(self) -> i32 {
        self.0
    }

    /// Whether this is [`KafkaCode::NO_ERROR`].
    #[must_use]
    pub const fn is_ok(self) -> bool {
        self.0 == 0
    }

    /// `Ok` for success, the code otherwise.
    ///
    /// # Errors
    /// Any code but zero.
    pub fn ok(self) -> Result<(), KafkaCode> {
        if self.is_ok() { Ok(()) } else { Err(self) }
    }

    /// The name: the Kafka protocol's for a broker's code (`UNKNOWN_TOPIC_OR_PARTITION`), librdkafka's for its own
    /// (`_MSG_TIMED_OUT`), or `ERR_n?` for a code the library has no name for.
    #[must_use]
    pub fn name(self) -> Cow<'static, str> {
        if !self.is_plausible() {
            return Cow::Owned(format!("ERR_{}?", self.0));
        }
        if let Some((_, name)) = RENAMED.iter().find(|(code, _)| *code == self.0) {
            return Cow::Borrowed(name);
        }
        let name = sys::int::rd_kafka_err2name(self.0);
        // SAFETY: the function returns a static string or this thread's buffer, which lives until its next call here.
        let name = unsafe { CStr::from_ptr(name) };
        match name.to_str() {
            // Only names of unknown codes end like this; they live in the buffer of this thread.
            Ok(name) if !name.ends_with('?') => Cow::Borrowed(name),
            Ok(_) | Err(_) => Cow::Owned(name.to_string_lossy().into_owned()),
        }
    }

    /// Whether it fits the protocol's 16 bits. librdkafka subtracts from codes before it checks them, which overflows for
    /// the largest integers.
    fn is_plausible(self) -> bool {
        i16::try_from(self.0).is_ok()
    }

    /// A sentence for a person, such as `Local: Message timed out`.
    #[must_use]
    pub fn description(self) -> String {
        if !self.is_plausible() {
            return format!("Err-{}?", self.0);
        }
        let text = sys::int::rd_kafka_err2str(self.0);
        // SAFETY: as for `name`: static or this thread's buffer, copied at once.
        unsafe { sys::text(text) }
    }
}

impl fmt::Debug for KafkaCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name(), self.0)
    }
}

impl fmt::Display for KafkaCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}
