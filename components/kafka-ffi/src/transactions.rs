//! Transactions of a producer, and what a consumer lends to them (KIP-98, KIP-447).
//!
//! The order of calls is librdkafka's: [`Producer::init_transactions_blocking`] once, then begin, sends, offsets, and commit or
//! abort, again and again, one call at a time. A call that ended with [`KafkaError::retriable`] is called again, with nothing
//! in between; those that say so below go on in the background meanwhile. While records are in flight, commit and abort need
//! [`Producer::poll_events`] to be called by another thread.

use std::fmt;
use std::ptr::NonNull;
use std::time::Duration;

use crate::consumer::Consumer;
use crate::error::KafkaError;
use crate::partitions::{List, TopicPartition};
use crate::producer::Producer;
use crate::sys;

impl Producer {
    /// Makes the coordinator finish or give up what an earlier producer with the same `transactional.id` left open, and
    /// refuse that one from now on. Blocks: call it on a blocking thread. Goes on in the background after a timeout.
    ///
    /// # Errors
    /// Retriable ones while the coordinator is not to be reached or at work on the transaction before; fatal ones when the
    /// broker does not allow it. Without `transactional.id`, neither.
    pub fn init_transactions_blocking(&self, limit: Duration) -> Result<(), KafkaError> {
        // SAFETY: the client is live.
        let error =
            unsafe { sys::rd_kafka_init_transactions(self.client().as_ptr(), sys::timeout_ms(limit)) };
        // SAFETY: null or an error object that is ours.
        unsafe { KafkaError::take(error) }
    }

    /// Begins a transaction: what is sent from now on belongs to it. Asks no broker, but waits for librdkafka's main thread:
    /// call it on a blocking thread.
    ///
    /// # Errors
    /// When one is open already, before [`Producer::init_transactions_blocking`], and after a fatal error.
    pub fn begin_transaction_blocking(&self) -> Result<(), KafkaError> {
        // SAFETY: the client is live.
        let error = unsafe { sys::rd_kafka_begin_transaction(self.client().as_ptr()) };
        // SAFETY: null or an error object that is ours.
        unsafe { KafkaError::take(error) }
    }

    /// Makes offsets of a group, each that of the next message to read, part of the transaction. Blocks: call it on a blocking
    /// thread.
    ///
    /// # Errors
    /// [`KafkaError::txn_requires_abort`] also after a timeout, and when the group has moved on since `group` was taken.
    pub fn send_offsets_blocking(
        &self,
        offsets: &[TopicPartition],
        group: &GroupMetadata,
        limit: Duration,
    ) -> Result<(), KafkaError> {
        let list = List::new(offsets)?;
        // SAFETY: client, list and metadata are live; list and metadata are copied.
        let error = unsafe {
            sys::rd_kafka_send_offsets_to_transaction(
                self.client().as_ptr(),
                list.as_ptr(),
                group.0.as_ptr(),
                sys::timeout_ms(limit),
            )
        };
        // SAFETY: null or an error object that is ours.
        unsafe { KafkaError::take(error) }
    }

    /// Waits until everything sent in the transaction is stored, and commits it. Blocks: call it on a blocking thread. Goes on
    /// in the background after a timeout.
    ///
    /// # Errors
    /// [`KafkaError::txn_requires_abort`] when a record was not stored; a fatal error leaves open whether it was committed.
    pub fn commit_transaction_blocking(&self, limit: Duration) -> Result<(), KafkaError> {
        // SAFETY: the client is live.
        let error =
            unsafe { sys::rd_kafka_commit_transaction(self.client().as_ptr(), sys::timeout_ms(limit)) };
        // SAFETY: null or an error object that is ours.
        unsafe { KafkaError::take(error) }
    }

    /// Purges what is still queued and aborts the transaction. Blocks: call it on a blocking thread. Goes on in the background
    /// after a timeout.
    ///
    /// # Errors
    /// When none is open, and after a fatal error.
    pub fn abort_transaction_blocking(&self, limit: Duration) -> Result<(), KafkaError> {
        // SAFETY: the client is live.
        let error =
            unsafe { sys::rd_kafka_abort_transaction(self.client().as_ptr(), sys::timeout_ms(limit)) };
        // SAFETY: null or an error object that is ours.
        unsafe { KafkaError::take(error) }
    }
}

impl Consumer {
    /// Which member this is in which generation of its group, for [`Producer::send_offsets_blocking`]: what the coordinator
    /// refuses a member by that lost its partitions. `None` for a client that is being destroyed. Waits for librdkafka's
    /// main thread, which never waits for brokers.
    #[must_use]
    pub fn group_metadata(&self) -> Option<GroupMetadata> {
        // SAFETY: the client is live; the metadata returned is a copy that is ours.
        NonNull::new(unsafe { sys::rd_kafka_consumer_group_metadata(self.rk()) }).map(GroupMetadata)
    }
}

/// A member of a group in one of its generations.
pub struct GroupMetadata(NonNull<sys::rd_kafka_consumer_group_metadata_t>);

// SAFETY: a plain value on the heap that refers to no client and is never written to after it was made.
unsafe impl Send for GroupMetadata {}
// SAFETY: as above.
unsafe impl Sync for GroupMetadata {}

impl GroupMetadata {
    /// The generation, or the epoch of the member under KIP-848; -1 before the group was joined.
    #[must_use]
    pub fn generation(&self) -> i32 {
        // SAFETY: `self` owns the live metadata.
        unsafe { sys::rd_kafka_consumer_group_metadata_generation_id(self.0.as_ptr()) }
    }
}

impl fmt::Debug for GroupMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupMetadata").field("generation", &self.generation()).finish_non_exhaustive()
    }
}

impl Drop for GroupMetadata {
    fn drop(&mut self) {
        // SAFETY: `self` owns the metadata and frees it once.
        unsafe { sys::rd_kafka_consumer_group_metadata_destroy(self.0.as_ptr()) };
    }
}
