//! Why a transaction did not come about, and what is left to do.

use std::fmt;
use std::sync::Arc;

use mainspring_kafka_ffi::{KafkaCode, KafkaError};

use crate::consumer::CommitError;
use crate::producer::SendError;

/// A step in the life of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransactionStep {
    /// Becoming known to the coordinator, which finishes what an earlier producer with the same id left open.
    Init,
    /// The begin.
    Begin,
    /// Sending records.
    Send,
    /// Making offsets of a group part of it.
    SendOffsets,
    /// The commit.
    Commit,
    /// The abort.
    Abort,
}

impl TransactionStep {
    /// What it is called in logs and metrics, such as `send_offsets`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Begin => "begin",
            Self::Send => "send",
            Self::SendOffsets => "send_offsets",
            Self::Commit => "commit",
            Self::Abort => "abort",
        }
    }
}

/// A step that failed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransactionFailure {
    /// The producer's `transactional_id`.
    pub transactional_id: Arc<str>,
    /// The step.
    pub step: TransactionStep,
    /// What happened, as librdkafka says it.
    pub reason: String,
    /// librdkafka's number for it, or the broker's.
    pub code: i32,
}

impl fmt::Display for TransactionFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { transactional_id, step, reason, .. } = self;
        write!(f, "{} in a transaction of `{transactional_id}` failed: {reason}", step.as_str())
    }
}

/// What an error leaves to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransactionErrorClass {
    /// The same step may succeed later; the transaction, if one is open, is as good as before.
    Retriable,
    /// The transaction can only be aborted. Afterwards everything may be done again, in another one.
    Abortable,
    /// Nobody knows whether the transaction is committed. What was consumed has to be read again from what the group has
    /// committed; what cannot be looked up must not be done again.
    Unresolved,
    /// The cluster does not let this producer begin, or there is no producer any more.
    Fatal,
}

/// A transaction, or a step of one, did not come about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// What is needed did not answer within `transaction_timeout`.
    #[error("{0} (retryable)")]
    Retriable(TransactionFailure),
    /// The transaction can only be aborted.
    #[error("{0}; it can only be aborted (retryable)")]
    Abortable(TransactionFailure),
    /// One of its records was not stored, so that it can only be aborted.
    #[error("a record of the transaction was not stored, so that it can only be aborted")]
    Record(#[source] SendError),
    /// A record was taken back before it was sent, by dropping its future, so that the transaction can only be aborted.
    #[error(
        "a record for `{topic}` was taken back while it waited for space, so that its transaction can only be aborted"
    )]
    TakenBack {
        /// The topic of the record.
        topic: Arc<str>,
    },
    /// Offsets cannot become part of it, so that it can only be aborted.
    #[error("offsets cannot be part of the transaction, so that it can only be aborted")]
    Offsets(#[source] CommitError),
    /// Nobody knows whether it is committed.
    #[error("{0}; whether it is committed is not known")]
    Unresolved(TransactionFailure),
    /// Another producer with the same `transactional_id` has taken over, or the cluster aborted a transaction that outlasted
    /// `transaction_timeout`. This one does not come back: the other would be shut out in turn.
    #[error(
        "{0}; another producer has this `transactional_id` now, or a transaction outlasted `transaction_timeout`: give each \
         instance an id of its own, and restart this one"
    )]
    Fenced(TransactionFailure),
    /// The cluster refuses this producer, such as for want of a right, or because `transaction_timeout` is longer than brokers
    /// allow. A new client asks again, later and later.
    #[error("{0}; the cluster does not let this producer begin")]
    Fatal(TransactionFailure),
    /// The producer has stopped.
    #[error("transactions of `{transactional_id}` have ended: the producer has stopped")]
    Stopped {
        /// The producer's `transactional_id`.
        transactional_id: Arc<str>,
    },
}

impl TransactionError {
    /// The error that librdkafka's answer to a step stands for.
    pub(crate) fn new(transactional_id: &Arc<str>, step: TransactionStep, error: KafkaError) -> Self {
        if error.code == KafkaCode::DESTROY {
            return Self::Stopped { transactional_id: Arc::clone(transactional_id) };
        }
        let KafkaError { code, fatal, retriable, txn_requires_abort, text } = error;
        let transactional_id = Arc::clone(transactional_id);
        let failure = TransactionFailure { transactional_id, step, reason: text, code: code.as_raw() };
        match step {
            _ if is_fenced(code) => Self::Fenced(failure),
            _ if txn_requires_abort && !fatal => Self::Abortable(failure),
            // Tried until the end of its time, or with a client that failed: the request may have arrived all the same.
            TransactionStep::Commit => Self::Unresolved(failure),
            // Another client takes over, and finds the transaction aborted.
            TransactionStep::Send | TransactionStep::SendOffsets => Self::Abortable(failure),
            TransactionStep::Init if fatal || !retriable => Self::Fatal(failure),
            TransactionStep::Init | TransactionStep::Begin | TransactionStep::Abort => {
                Self::Retriable(failure)
            }
        }
    }

    /// The error of whoever did not get a turn.
    pub(crate) fn not_in_time(transactional_id: &Arc<str>, step: TransactionStep, reason: &str) -> Self {
        let transactional_id = Arc::clone(transactional_id);
        let code = KafkaCode::TIMED_OUT.as_raw();
        let failure = TransactionFailure { transactional_id, step, reason: reason.to_owned(), code };
        if step == TransactionStep::Begin { Self::Retriable(failure) } else { Self::Abortable(failure) }
    }

    /// What is left to do.
    #[must_use]
    pub fn class(&self) -> TransactionErrorClass {
        match self {
            Self::Retriable(_) => TransactionErrorClass::Retriable,
            Self::Abortable(_) | Self::Record(_) | Self::TakenBack { .. } | Self::Offsets(_) => {
                TransactionErrorClass::Abortable
            }
            Self::Unresolved(_) => TransactionErrorClass::Unresolved,
            Self::Fenced(_) | Self::Fatal(_) | Self::Stopped { .. } => TransactionErrorClass::Fatal,
        }
    }

    /// Whether the work of the transaction may be done again, in another one, and may succeed then.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Record(error) => error.is_retryable(),
            _ => matches!(self.class(), TransactionErrorClass::Retriable | TransactionErrorClass::Abortable),
        }
    }

    /// Kafka's or librdkafka's number for the reason, where there is one.
    #[must_use]
    pub fn kafka_code(&self) -> Option<i32> {
        match self {
            Self::Retriable(failure)
            | Self::Abortable(failure)
            | Self::Unresolved(failure)
            | Self::Fenced(failure)
            | Self::Fatal(failure) => Some(failure.code),
            Self::Record(error) => error.kafka_code(),
            Self::Offsets(error) => error.kafka_code(),
            Self::TakenBack { .. } | Self::Stopped { .. } => None,
        }
    }
}

/// `_FENCED`, and what brokers call it: `INVALID_PRODUCER_EPOCH` and `PRODUCER_FENCED`.
pub(crate) fn is_fenced(code: KafkaCode) -> bool {
    code == KafkaCode::FENCED || matches!(code.as_raw(), 47 | 90)
}

#[cfg(test)]
mod tests;
