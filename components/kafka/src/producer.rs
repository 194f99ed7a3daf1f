//! The producer: a component, the handle it gives out, and the task that serves librdkafka's events.
//!
//! Sending hands a record to librdkafka at once, without copying its payload; the answer arrives with a delivery report,
//! which one task takes from librdkafka when it is woken. Nothing polls, and nothing wakes while there is nothing to do.
//!
//! | Rule | Where |
//! |---|---|
//! | a full queue makes senders wait in order, for `delivery_timeout` at most | [`line`] |
//! | every future resolves, at the latest when the producer stops | [`handle`] |
//! | a client that failed, or was renewed, is replaced behind the same handle | [`clients`] |
//! | an error says whether to try again | [`error`] |
//!
//! Transactions are in [`transactions`](crate::transactions).

mod component;
mod compression;
mod config;

mod handle;
mod record;
mod send;

mod batch;
mod clients;

mod codes;
mod error;

mod events;
mod line;
mod metrics;

#[cfg(test)]
mod tests;

pub use crate::producer::batch::{Deliveries, SendBatchFuture};
pub(crate) use crate::producer::clients::Live;
pub use crate::producer::component::KafkaProducerComponent;
pub use crate::producer::compression::Compression;
pub use crate::producer::config::ProducerConfig;
pub(crate) use crate::producer::config::TransactionOptions;
pub use crate::producer::error::{SendBatchError, SendError, Target};
pub(crate) use crate::producer::handle::Inner;
pub use crate::producer::handle::Producer;
pub use crate::producer::record::{Delivery, Record};
pub use crate::producer::send::SendFuture;
pub(crate) use crate::producer::send::Unsent;
