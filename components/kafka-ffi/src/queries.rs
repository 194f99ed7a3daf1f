//! Questions to brokers that wait for the answer: a handle of their own, so that they can be asked off the consumer's task.

use std::fmt;
use std::time::Duration;

use crate::client::{Client, c_string};
use crate::error::KafkaError;
use crate::partitions::{List, TopicPartition};
use crate::sys;

/// Asks brokers on behalf of a consumer. All calls block: make them on a blocking thread.
///
/// It keeps the consumer's client alive: [`Destroyed`](crate::Destroyed) waits for it.
#[derive(Clone)]
pub struct Queries(Client);

impl Queries {
    pub(crate) fn new(client: &Client) -> Queries {
        Queries(client.clone())
    }

    /// First offset of a partition and the one its next record gets, asked from its leader. With
    /// `isolation.level=read_committed` the latter is the first one of a transaction that is still open.
    ///
    /// # Errors
    /// [`UNKNOWN_PARTITION`](crate::KafkaCode::UNKNOWN_PARTITION), [`TIMED_OUT`](crate::KafkaCode::TIMED_OUT),
    /// [`TRANSPORT`](crate::KafkaCode::TRANSPORT) and others.
    pub fn watermarks(
        &self,
        topic: &str,
        partition: i32,
        timeout: Duration,
    ) -> Result<(i64, i64), KafkaError> {
        let topic = c_string(topic)?;
        let (mut low, mut high) = (0, 0);
        // SAFETY: the client is live, the name is copied, both places are ours.
        KafkaError::check(unsafe {
            sys::int::rd_kafka_query_watermark_offsets(
                self.0.as_ptr(),
                topic.as_ptr(),
                partition,
                &raw mut low,
                &raw mut high,
                sys::timeout_ms(timeout),
            )
        })?;
        Ok((low, high))
    }

    /// For each partition the first offset whose timestamp is that of `partitions` or a later one, which stand there as
    /// milliseconds in place of offsets; [`OFFSET_END`](crate::OFFSET_END) where there is none.
    ///
    /// # Errors
    /// As [`Queries::watermarks`]; errors of single partitions are in the list.
    pub fn offsets_for_times(
        &self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<Vec<TopicPartition>, KafkaError> {
        let list = List::new(partitions)?;
        // SAFETY: client and list are live; offsets of the list are replaced.
        KafkaError::check(unsafe {
            sys::int::rd_kafka_offsets_for_times(self.0.as_ptr(), list.as_ptr(), sys::timeout_ms(timeout))
        })?;
        Ok(list.read())
    }

    /// Committed offsets, asked from the group's coordinator.
    ///
    /// # Errors
    /// [`TIMED_OUT`](crate::KafkaCode::TIMED_OUT), [`TRANSPORT`](crate::KafkaCode::TRANSPORT) and others; errors of single
    /// partitions are in the list.
    pub fn committed(
        &self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<Vec<TopicPartition>, KafkaError> {
        let list = List::new(partitions)?;
        // SAFETY: client and list are live.
        KafkaError::check(unsafe {
            sys::int::rd_kafka_committed(self.0.as_ptr(), list.as_ptr(), sys::timeout_ms(timeout))
        })?;
        Ok(list.read())
    }

    /// The partitions of a topic, asked from a broker.
    ///
    /// # Errors
    /// [`UNKNOWN_TOPIC_OR_PART`](crate::KafkaCode::UNKNOWN_TOPIC_OR_PART), [`TIMED_OUT`](crate::KafkaCode::TIMED_OUT),
    /// [`TRANSPORT`](crate::KafkaCode::TRANSPORT) and others.
    pub fn partition_ids(&self, topic: &str, timeout: Duration) -> Result<Vec<i32>, KafkaError> {
        self.0.partition_ids(topic, timeout)
    }
}

impl fmt::Debug for Queries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Queries").field(&self.0.name()).finish()
    }
}
