//! Safe owned handles over librdkafka: the only crate with unsafe code.
//!
//! It guarantees memory safety, wake-ups that are never lost, and teardown that never blocks the caller. It leaves policy,
//! logging, metrics and runtimes to `mainspring-kafka`: nothing here spawns a task, and no call of the hot paths blocks.
//!
//! # How it works
//! librdkafka runs its own threads and hands everything over through queues. Each queue we read is armed with a callback
//! that wakes one task; that task drains the queue until it is empty and sleeps again. Produced payloads are not copied:
//! the `Bytes` stay alive in a cell shared with librdkafka until its delivery report. Consumed payloads are not copied
//! either: a [`Message`] lends them from librdkafka's fetch buffers.
//!
//! # Contract
//! | Object | Owner | Threads | What must outlive what (header function) |
//! |---|---|---|---|
//! | `rd_kafka_t` | `Client`, shared by `Arc` | any; destroyed on a thread of its own | outlives every queue, topic, message and event (`rd_kafka_destroy`) |
//! | `rd_kafka_queue_t` | `Queue` | any; one task waits | disarmed before its waker is freed (`rd_kafka_queue_cb_event_enable`) |
//! | `rd_kafka_event_t` | `Event`, one loop turn | the draining one | before its client (`rd_kafka_event_destroy`) |
//! | `rd_kafka_topic_t` | [`Topic`] | any | before its client (`rd_kafka_topic_destroy`) |
//! | produced payload | the cell of its [`Delivery`], or its slot of a [`batch`] | any | outlives its delivery report (`rd_kafka_produce`, no COPY, no FREE) |
//! | consumed message | [`Message`] | any; headers parsed once | before its client (`rd_kafka_message_destroy`) |
//! | partition list | `List`, inside one call | the calling one | before its client: it holds partitions (`rd_kafka_topic_partition_list_destroy`) |
//! | group metadata | [`GroupMetadata`] | any | nothing: it is a copy (`rd_kafka_consumer_group_metadata`) |
//! | configuration | [`ClientConfig`] | any | until a client takes it over (`rd_kafka_new`) |
//! | mock cluster | [`MockCluster`] | any | before the handle it was made on (`rd_kafka_mock_cluster_destroy`) |
//!
//! Error codes cross the border as integers, see [`KafkaCode`]: brokers send codes that the bindings' Rust enum lacks, and
//! reading one of those as the enum would be undefined behaviour.
//!
//! Deliberately absent: admin requests and the legacy consumer API.
#![expect(unsafe_code, reason = "this crate is the border to librdkafka, a C library")]

mod sys;

#[cfg(feature = "allocations")]
mod allocations;
mod batch;
mod client;
mod code;
mod config;
mod consumer;
mod delivery;
mod error;
mod event;
mod message;
mod mock;
mod partitions;
mod producer;
mod queries;
mod queue;
mod teardown;
mod transactions;

#[cfg(feature = "allocations")]
pub use crate::allocations::CountingAllocator;
pub use crate::batch::{BatchDelivery, BatchSender, Outcomes, batch};
pub use crate::client::{builtin_features, version};
pub use crate::code::KafkaCode;
pub use crate::config::{ClientConfig, ConfigError, ConfigErrorKind};
pub use crate::consumer::{Consumer, ConsumerEvent, RebalanceProtocol};
pub use crate::delivery::{Delivered, Delivery, DeliveryError, Persistence, Record};
pub use crate::error::{CreateError, KafkaError};
pub use crate::event::LogLine;
pub use crate::message::{Headers, Message, MessageError, Timestamp};
pub use crate::mock::MockCluster;
pub use crate::partitions::{OFFSET_BEGINNING, OFFSET_END, TopicPartition};
pub use crate::producer::{
    DeliveryReport, DeliveryReports, Producer, ProducerEvent, RUN_MAX, Rejected, Topic,
};
pub use crate::queries::Queries;
pub use crate::teardown::Destroyed;
pub use crate::transactions::GroupMetadata;

#[cfg(test)]
mod tests;
