//! The consumer: a component, the scope it lends out, and the task that owns the client.
//!
//! One task per started consumer owns the librdkafka client and takes events one by one: messages, rebalances, answers to
//! commits, errors, requests to commit, the end of a callback, timers and the order to stop. Nothing else touches the
//! client, so each rule is enforced in one place:
//!
//! | Rule | Where |
//! |---|---|
//! | a batch is full or `poll_timeout` old; one is with the callback at a time | [`session`] |
//! | with `concurrency`: which batches may be with callbacks at the same time, and how far that makes a partition | [`lanes`], [`crew`] |
//! | a commit covers no more than its batch, and never a revoked partition; one that comes after its batch failed is refused | [`ledger`] |
//! | one commit request at a time, so offsets never go back; what fails for a while is tried again | [`commits`] |
//! | stopping is bounded whatever brokers and callbacks do | [`session`] |
//!
//! While a callback runs the task keeps serving the client, so that a slow callback costs neither membership nor
//! rebalances. Without `concurrency` messages are not taken meanwhile; librdkafka's own limits bound what it fetches ahead.
//!
//! Deliberately absent: dead-letter topics.

mod component;
mod config;
mod scope;

mod batch;
mod concurrency;
mod message;
mod partition;

mod callbacks;
mod decode;

mod client_error;
mod control;
mod listener;

mod session;

mod crew;
mod lanes;

mod commits;
mod ledger;

mod error;
mod events;
mod metrics;
mod run;
mod status;
pub(crate) mod transactional;
mod tuning;

#[cfg(test)]
mod tests;

pub use crate::consumer::batch::{Batch, CommitFuture};
pub use crate::consumer::client_error::{ClientError, ErrorScope, Recovery};
pub use crate::consumer::component::KafkaConsumerComponent;
pub use crate::consumer::concurrency::{Concurrency, ConcurrencyMode};
pub use crate::consumer::config::{
    AssignmentStrategy, AutoOffsetReset, CommitPolicy, ConsumerConfig, GroupProtocol, KeyLogFormat,
};
pub use crate::consumer::control::{OffsetRange, Position};
pub use crate::consumer::decode::{
    BytesDecoder, Decoder, JsonDecoder, NullableDecoder, TextDecoder, TypedBatch, TypedMessage, Undecodable,
};
pub use crate::consumer::error::{CommitError, ConsumerError, ControlError};
pub use crate::consumer::listener::{ConsumerListener, StartOffsets};
pub use crate::consumer::message::{ConsumedMessage, Message};
pub use crate::consumer::partition::TopicPartition;
pub use crate::consumer::scope::ConsumerScope;
pub use crate::consumer::tuning::{ConsumerTuning, KAFKA_CONSUMER};
