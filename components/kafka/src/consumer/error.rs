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
            CommitError::Stopped => "stopped".to_owned(),
        }
    }

    /// Kafka's or librdkafka's number for the error, where there is one.
    #[must_use]
    pub fn kafka_code(&self) -> Option<i32> {
        match self {
            CommitError::Failed { kafka_code, .. } => Some(*kafka_code),
            CommitError::Revoked { .. } | CommitError::QueueFull { .. } | CommitError::Stopped => None,
        }
    }
}
