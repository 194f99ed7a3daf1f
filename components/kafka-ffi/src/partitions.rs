//! Partition lists: plain values outside, librdkafka's list type inside one call.
//!
//! A C list keeps the partitions it names alive, and one left over makes destroying its client hang for ever. So none
//! leaves this crate: lists are copied to and from [`TopicPartition`] at the border.

use std::ffi::c_int;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use crate::client::c_string;
use crate::code::KafkaCode;
use crate::error::KafkaError;
use crate::sys;

/// In place of an offset: the first one there is.
pub const OFFSET_BEGINNING: i64 = sys::RD_KAFKA_OFFSET_BEGINNING as i64;

/// In place of an offset: the one the next record gets.
pub const OFFSET_END: i64 = sys::RD_KAFKA_OFFSET_END as i64;

const OFFSET_INVALID: i64 = sys::RD_KAFKA_OFFSET_INVALID as i64;

/// A partition, with what a call says about it or learns of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// An offset, [`OFFSET_BEGINNING`] or [`OFFSET_END`]; `None` where there is none.
    pub offset: Option<i64>,
    /// Epoch of the leader that the offset was read from, if known.
    pub leader_epoch: Option<i32>,
    /// What went wrong for this partition alone.
    pub error: Option<KafkaCode>,
}

impl TopicPartition {
    /// A partition without an offset.
    #[must_use]
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> TopicPartition {
        TopicPartition { topic: topic.into(), partition, offset: None, leader_epoch: None, error: None }
    }

    /// The same with an offset.
    #[must_use]
    pub fn with_offset(self, offset: i64) -> TopicPartition {
        TopicPartition { offset: Some(offset), ..self }
    }
}

/// An owned `rd_kafka_topic_partition_list_t`; lives inside one call.
pub(crate) struct List(NonNull<sys::rd_kafka_topic_partition_list_t>);

impl List {
    pub(crate) fn new(partitions: &[TopicPartition]) -> Result<List, KafkaError> {
        let list = List::with_capacity(partitions.len());
        for partition in partitions {
            let topic = c_string(&partition.topic)?;
            // SAFETY: the list is live and ours; the topic is copied; the returned element is initialised.
            let element = unsafe {
                sys::rd_kafka_topic_partition_list_add(list.as_ptr(), topic.as_ptr(), partition.partition)
            };
            // SAFETY: the element stays where it is until the next one is added; one place is written.
            unsafe { (*element).offset = partition.offset.unwrap_or(OFFSET_INVALID) };
            if let Some(epoch) = partition.leader_epoch {
                // SAFETY: as above.
                unsafe { sys::rd_kafka_topic_partition_set_leader_epoch(element, epoch) };
            }
        }
        Ok(list)
    }

    /// The list that a subscription takes: topics without partitions.
    pub(crate) fn of_topics(topics: &[&str]) -> Result<List, KafkaError> {
        let topics: Vec<_> = topics.iter().map(|topic| TopicPartition::new(*topic, -1)).collect();
        List::new(&topics)
    }

    /// Takes over a list that a call returned; null is an empty one.
    pub(crate) fn from_raw(raw: *mut sys::rd_kafka_topic_partition_list_t) -> List {
        NonNull::new(raw).map_or_else(|| List::with_capacity(0), List)
    }

    fn with_capacity(capacity: usize) -> List {
        let capacity = c_int::try_from(capacity).unwrap_or(0);
        // SAFETY: no preconditions; the capacity is a hint.
        let raw = unsafe { sys::rd_kafka_topic_partition_list_new(capacity) };
        List(NonNull::new(raw).expect("librdkafka aborts when out of memory"))
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::rd_kafka_topic_partition_list_t {
        self.0.as_ptr()
    }

    pub(crate) fn read(&self) -> Vec<TopicPartition> {
        // SAFETY: `self` owns the live list.
        unsafe { read(self.as_ptr()) }
    }

    /// The first error of a single partition other than `expected`, with the partition named in its text.
    pub(crate) fn first_error_but(&self, expected: KafkaCode) -> Result<(), KafkaError> {
        let failed = self.read().into_iter().find_map(|partition| {
            let code = partition.error.filter(|code| *code != expected)?;
            Some((code, partition))
        });
        let Some((code, TopicPartition { topic, partition, .. })) = failed else { return Ok(()) };
        Err(KafkaError::from_text(code, format!("`{topic}`[{partition}]: {}", code.description())))
    }
}

impl Drop for List {
    fn drop(&mut self) {
        // SAFETY: `self` owns the list and frees it once.
        unsafe { sys::rd_kafka_topic_partition_list_destroy(self.as_ptr()) };
    }
}

/// Copies a C list.
///
/// # Safety
/// `list` is null or a live list that is not changed meanwhile.
pub(crate) unsafe fn read(list: *const sys::rd_kafka_topic_partition_list_t) -> Vec<TopicPartition> {
    if list.is_null() {
        return Vec::new();
    }
    // SAFETY: not null; the caller upholds that the list is live. Places are read, no reference is made.
    let count = unsafe { (*list).cnt };
    // SAFETY: as above.
    let elements = unsafe { (*list).elems };
    (0..usize::try_from(count).unwrap_or(0))
        .map(|element_idx| {
            // SAFETY: the array has `count` elements.
            let element = unsafe { elements.add(element_idx) };
            // SAFETY: the element is initialised and stays so for the call.
            unsafe { read_element(element) }
        })
        .collect()
}

/// Copies one element, place by place: its error code may be none that the bindings' enum knows.
///
/// # Safety
/// `element` is an initialised element of a live list.
unsafe fn read_element(element: *const sys::rd_kafka_topic_partition_t) -> TopicPartition {
    // SAFETY: the caller upholds that the element is initialised; one place is read.
    let topic = unsafe { (*element).topic };
    // SAFETY: the topic belongs to the element and ends with a zero byte.
    let topic = unsafe { sys::text(topic) };
    // SAFETY: as for the topic.
    let partition = unsafe { (*element).partition };
    // SAFETY: as for the topic.
    let offset = unsafe { (*element).offset };
    // SAFETY: as for the topic; only an address is taken.
    let code = unsafe { ptr::addr_of!((*element).err) };
    // SAFETY: `code` points into the element.
    let code = KafkaCode::from_raw(unsafe { sys::code_at(code) });
    // SAFETY: as for the topic.
    let leader_epoch = unsafe { sys::rd_kafka_topic_partition_get_leader_epoch(element) };
    TopicPartition {
        topic: topic.into(),
        partition,
        offset: (offset != OFFSET_INVALID).then_some(offset),
        leader_epoch: (leader_epoch >= 0).then_some(leader_epoch),
        error: code.ok().err(),
    }
}
