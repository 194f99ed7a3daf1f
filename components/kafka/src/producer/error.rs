//! Why a record was not delivered, and whether sending it again may help.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mainspring_config::HumanDuration;
use mainspring_kafka_ffi::KafkaCode;

use crate::producer::batch::Deliveries;
use crate::producer::codes::{self, Kind};

/// Where a record was going: `` `orders`[3] ``, or `` `orders` `` without a chosen partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition, when one was chosen: by the sender, or by the partitioner before it failed.
    pub partition: Option<i32>,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.topic)?;
        self.partition.map_or(Ok(()), |partition| write!(f, "[{partition}]"))
    }
}

/// A record was not delivered.
///
/// [`SendError::is_retryable`] says whether sending it again may help; `docs/kafka-errors.md` has all codes, each with the
/// reason why or why not.
///
/// A topic counts as unknown once no broker has known it for half of `delivery_timeout`, at most 30 s: brokers learn of new
/// topics one by one.
///
/// librdkafka has tried again by itself, until `delivery_timeout`, before most of these are reported. A record whose fate
/// is unknown may be stored twice when it is sent again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// No broker acknowledged it in time; it may have been stored.
    #[error("send to {target} failed: no acknowledgement within {timeout} (retryable)")]
    DeliveryTimeout {
        /// Where it was going.
        target: Target,
        /// `delivery_timeout`.
        timeout: HumanDuration,
    },
    /// The producer's queue had no space for it in time.
    #[error("send to {target} failed: no space in the producer's queue within {timeout} (retryable)")]
    QueueFull {
        /// Where it was going.
        target: Target,
        /// `delivery_timeout`.
        timeout: HumanDuration,
    },
    /// It is larger than `message_max_bytes`, or than what the broker takes.
    #[error("send to {target} failed: the record is too large")]
    MessageTooLarge {
        /// Where it was going.
        target: Target,
    },
    /// There is no such topic.
    #[error("send to {target} failed: the topic is unknown")]
    UnknownTopic {
        /// Where it was going.
        target: Target,
        /// librdkafka's number for it, or the broker's.
        code: i32,
    },
    /// The topic has no such partition.
    #[error("send to {target} failed: the partition is unknown")]
    UnknownPartition {
        /// Where it was going.
        target: Target,
    },
    /// [`Producer::purge`](crate::Producer::purge) gave up on it.
    #[error("send to {target} failed: {}", purged(*.possibly_stored))]
    Purged {
        /// Where it was going.
        target: Target,
        /// It was on its way, so that a broker may have stored it.
        possibly_stored: bool,
    },
    /// The producer has stopped. The record may have been stored if it was in flight then.
    #[error("send to {target} failed: the producer has stopped")]
    ShutDown {
        /// Where it was going.
        target: Target,
    },
    /// The client that had it failed for good, so that the broker cannot be asked to store it once and in order any more. It
    /// may have been stored. A new client takes the place of the failed one by itself, for records sent from then on.
    #[error("send to {target} failed: the client failed for good and is replaced: {reason}")]
    Fatal {
        /// Where it was going.
        target: Target,
        /// What happened, as librdkafka says it.
        reason: String,
        /// librdkafka's number for it, or the broker's.
        code: i32,
    },
    /// Any other reason.
    #[error("send to {target} failed: {reason}{}", suffix(*.code))]
    Rejected {
        /// Where it was going.
        target: Target,
        /// What happened, as librdkafka says it.
        reason: String,
        /// librdkafka's number for it, or the broker's.
        code: i32,
    },
}

impl SendError {
    /// The error that `code` stands for.
    pub(crate) fn new(code: KafkaCode, target: Target, timeout: Duration) -> SendError {
        let timeout = HumanDuration::from(timeout);
        let raw = code.as_raw();
        match codes::lookup(code).0 {
            Kind::DeliveryTimeout => Self::DeliveryTimeout { target, timeout },
            Kind::QueueFull => Self::QueueFull { target, timeout },
            Kind::MessageTooLarge => Self::MessageTooLarge { target },
            Kind::UnknownTopic => Self::UnknownTopic { target, code: raw },
            Kind::UnknownPartition => Self::UnknownPartition { target },
            Kind::Purged => Self::Purged { target, possibly_stored: code == KafkaCode::PURGE_INFLIGHT },
            Kind::ShutDown => Self::ShutDown { target },
            Kind::Fatal => Self::Fatal { target, reason: code.description(), code: raw },
            Kind::Rejected => Self::Rejected { target, reason: code.description(), code: raw },
        }
    }

    /// Whether sending the record again may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            // Its code is that of the cause, which says nothing of the record.
            Self::ShutDown { .. } | Self::Fatal { .. } => false,
            _ => self.kafka_code().is_some_and(|code| codes::is_retryable(KafkaCode::from_raw(code))),
        }
    }

    /// Kafka's or librdkafka's number for the reason; `None` when the producer has stopped.
    #[must_use]
    pub fn kafka_code(&self) -> Option<i32> {
        match self {
            Self::DeliveryTimeout { .. } => Some(KafkaCode::MSG_TIMED_OUT.as_raw()),
            Self::QueueFull { .. } => Some(KafkaCode::QUEUE_FULL.as_raw()),
            Self::MessageTooLarge { .. } => Some(KafkaCode::MSG_SIZE_TOO_LARGE.as_raw()),
            Self::UnknownPartition { .. } => Some(KafkaCode::UNKNOWN_PARTITION.as_raw()),
            Self::Purged { possibly_stored: false, .. } => Some(KafkaCode::PURGE_QUEUE.as_raw()),
            Self::Purged { possibly_stored: true, .. } => Some(KafkaCode::PURGE_INFLIGHT.as_raw()),
            Self::ShutDown { .. } => None,
            Self::UnknownTopic { code, .. } | Self::Fatal { code, .. } | Self::Rejected { code, .. } => {
                Some(*code)
            }
        }
    }

    /// Where the record was going.
    #[must_use]
    pub fn target(&self) -> &Target {
        match self {
            Self::DeliveryTimeout { target, .. }
            | Self::QueueFull { target, .. }
            | Self::MessageTooLarge { target }
            | Self::UnknownTopic { target, .. }
            | Self::UnknownPartition { target }
            | Self::Purged { target, .. }
            | Self::ShutDown { target }
            | Self::Fatal { target, .. }
            | Self::Rejected { target, .. } => target,
        }
    }
}

/// Records of a batch were not delivered; the others were.
///
/// Its text names the first failure; [`SendBatchError::failures`] has them all.
#[derive(Debug)]
pub struct SendBatchError {
    /// Never empty.
    failures: Vec<(usize, SendError)>,
    deliveries: Deliveries,
}

impl fmt::Display for SendBatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (failed, all) = (self.failures.len(), self.deliveries.len());
        write!(
            f,
            "{failed} of {all} records of a batch were not delivered, the first of them record {}",
            self.failures[0].0
        )
    }
}

impl std::error::Error for SendBatchError {
    /// The first failure.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.failures[0].1)
    }
}

impl SendBatchError {
    pub(crate) fn new(failures: Vec<(usize, SendError)>, deliveries: Deliveries) -> SendBatchError {
        SendBatchError { failures, deliveries }
    }

    /// The records that failed, by their numbers in the batch, in ascending order. Never empty.
    #[must_use]
    pub fn failures(&self) -> &[(usize, SendError)] {
        &self.failures
    }

    /// Where the others are: [`Deliveries::get`] has nothing for those that failed.
    #[must_use]
    pub fn deliveries(&self) -> &Deliveries {
        &self.deliveries
    }

    /// Whether sending all that failed again may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.failures.iter().all(|(_, error)| error.is_retryable())
    }
}

fn suffix(code: i32) -> &'static str {
    if codes::is_retryable(KafkaCode::from_raw(code)) { " (retryable)" } else { "" }
}

fn purged(possibly_stored: bool) -> &'static str {
    if possibly_stored {
        "it was purged on its way; it may have been stored"
    } else {
        "it was purged before it was sent"
    }
}

#[cfg(test)]
mod tests;
