//! What can go wrong between a user's component and a consumer.

use mainspring_kafka_ffi as ffi;

/// Why a consumer could not be had or started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConsumerError {
    /// The component gives out one scope at a time.
    #[error("consumer `{component}` is in use already: drop its other scope first")]
    InUse {
        /// The component.
        component: String,
    },
    /// The scope was started before and not stopped since.
    #[error("consumer `{component}` runs already: stop it first")]
    Running {
        /// The component.
        component: String,
    },
    /// The component is stopped, so nothing can be consumed any more.
    #[error("consumer `{component}` is stopped along with its service")]
    Stopped {
        /// The component.
        component: String,
    },
}

/// Why offsets were not committed. Messages that are not committed are consumed again, by this or another member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The partition went to another member, or its batch failed, since the messages were handed out.
    #[error("`{topic}`[{partition}] was taken back before its offset was committed")]
    Revoked {
        /// The topic.
        topic: String,
        /// The first such partition of the commit; those still held are committed.
        partition: i32,
    },
    /// The group's coordinator refused, or could not be reached.
    #[error("commit of `{topic}`[{partition}] failed: {message}")]
    Failed {
        /// The topic.
        topic: String,
        /// The first such partition of the commit.
        partition: i32,
        /// What librdkafka says about it.
        message: String,
        /// Kafka's or librdkafka's number for it.
        kafka_code: i32,
    },
    /// Too many commits wait for the consumer, or for the coordinator's answer, already.
    #[error("{limit} commits are waiting already")]
    QueueFull {
        /// How many may wait.
        limit: usize,
    },
    /// The consumer is not running, or stopped before the coordinator answered.
    #[error("the consumer is stopped")]
    Stopped,
    /// Offsets that a transaction was to commit are of a consumer that works on several batches at once, so that messages
    /// before them may not be processed.
    #[error("a consumer with `concurrency` cannot have its offsets committed by a transaction")]
    Concurrent,
}

impl CommitError {
    pub(crate) fn failed(topic: &str, partition: i32, code: ffi::KafkaCode, message: String) -> CommitError {
        CommitError::Failed { topic: topic.to_owned(), partition, message, kafka_code: code.as_raw() }
    }

    pub(crate) fn revoked(topic: &str, partition: i32) -> CommitError {
        CommitError::Revoked { topic: topic.to_owned(), partition }
    }

    /// The value of the label `error_type`.
    pub(crate) fn name(&self) -> String {
        match self {
            CommitError::Revoked { .. } => "revoked".to_owned(),
            CommitError::Failed { kafka_code, .. } => {
                ffi::KafkaCode::from_raw(*kafka_code).name().into_owned()
            }
            CommitError::QueueFull { .. } => "queue_full".to_owned(),
            CommitError::Concurrent => "concurrent".to_owned(),
            CommitError::Stopped => "stopped".to_owned(),
        }
    }

    /// Kafka's or librdkafka's number for the error, where there is one.
    #[must_use]
    pub fn kafka_code(&self) -> Option<i32> {
        match self {
            CommitError::Failed { kafka_code, .. } => Some(*kafka_code),
            CommitError::Revoked { .. }
            | CommitError::QueueFull { .. }
            | CommitError::Stopped
            | CommitError::Concurrent => None,
        }
    }
}

/// Why something asked of a running consumer was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The partition belongs to another member, or to none.
    #[error("`{topic}`[{partition}] is not assigned to this member")]
    NotAssigned {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// No message has such an offset.
    #[error("expected an offset of at least 0, found `{offset}`")]
    InvalidOffset {
        /// What was given.
        offset: i64,
    },
    /// librdkafka refused.
    #[error("{what} of `{topic}`[{partition}] failed: {message}")]
    Refused {
        /// What was to be done.
        what: &'static str,
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// What librdkafka says about it.
        message: String,
        /// Kafka's or librdkafka's number for it.
        kafka_code: i32,
    },
    /// Brokers did not answer, or not well.
    #[error("cannot ask for {what} of `{topic}`{}: {message}", in_brackets(*.partition))]
    Query {
        /// What was asked for.
        what: &'static str,
        /// The topic.
        topic: String,
        /// The partition; `None` when it is about the topic.
        partition: Option<i32>,
        /// What librdkafka says about it.
        message: String,
        /// Kafka's or librdkafka's number for it.
        kafka_code: i32,
        /// Whether the same question may be answered later.
        retryable: bool,
    },
    /// Too much waits for the consumer's task already.
    #[error("the consumer has too much to do already")]
    Busy,
    /// The consumer is between two clients, waiting after a failure.
    #[error("the consumer has no client at the moment")]
    NoClient,
    /// The consumer is not running.
    #[error("the consumer is stopped")]
    Stopped,
}

fn in_brackets(partition: Option<i32>) -> String {
    partition.map(|partition| format!("[{partition}]")).unwrap_or_default()
}

impl ControlError {
    pub(crate) fn not_assigned(topic: &str, partition: i32) -> ControlError {
        ControlError::NotAssigned { topic: topic.to_owned(), partition }
    }

    pub(crate) fn refused(
        what: &'static str,
        topic: &str,
        partition: i32,
        error: &ffi::KafkaError,
    ) -> ControlError {
        let (message, kafka_code) = (error.text.clone(), error.code.as_raw());
        ControlError::Refused { what, topic: topic.to_owned(), partition, message, kafka_code }
    }

    pub(crate) fn query(
        what: &'static str,
        topic: &str,
        partition: Option<i32>,
        error: &ffi::KafkaError,
    ) -> ControlError {
        ControlError::Query {
            what,
            topic: topic.to_owned(),
            partition,
            message: error.text.clone(),
            kafka_code: error.code.as_raw(),
            // _TIMED_OUT, _TRANSPORT, _ALL_BROKERS_DOWN, and LEADER_NOT_AVAILABLE, NOT_LEADER, REQUEST_TIMED_OUT, the
            // coordinator's three.
            retryable: matches!(
                error.code.as_raw(),
                -185 | -195 | -187 | -180 | 5 | 6 | 7 | 13 | 14 | 15 | 16
            ),
        }
    }

    /// Whether the same may succeed a little later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            ControlError::Busy | ControlError::NoClient => true,
            ControlError::Query { retryable, .. } => *retryable,
            ControlError::NotAssigned { .. }
            | ControlError::InvalidOffset { .. }
            | ControlError::Refused { .. }
            | ControlError::Stopped => false,
        }
    }
}
