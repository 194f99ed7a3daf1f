//! Transactions: records for several partitions, and offsets of consumers, that readers see all or not at all (KIP-98).
//!
//! A reader with `isolation.level` `read_committed`, the default, sees nothing of a transaction before it is committed, and
//! nothing at all of one that is aborted. One transaction is open at a time per producer; whoever begins another one stands in
//! line. Every call that librdkafka blocks in runs on a thread kept for that, and is called again after what passes, until
//! `transaction_timeout`.
//!
//! | What went wrong | What is left to do |
//! |---|---|
//! | retriable: the coordinator did not answer in time | the same again |
//! | abortable: a record was not stored, the group has moved on | abort, then everything again |
//! | unresolved: nobody knows whether it is committed | ask whoever knows; the client is replaced, which settles it |
//! | fatal: the cluster refuses this producer | see why; a new client asks again, later and later |
//! | fenced: another producer has the id | nothing; the other one goes on, and this one does not come back |
//!
//! Deliberately absent: two transactions at a time on one client, which Kafka does not have.

mod component;
mod config;

mod producer;
mod transaction;

mod call;
mod error;
mod events;
mod metrics;

pub use crate::transactions::component::KafkaTransactionalProducerComponent;
pub use crate::transactions::config::TransactionalProducerConfig;
pub(crate) use crate::transactions::error::is_fenced;
pub use crate::transactions::error::{
    TransactionError, TransactionErrorClass, TransactionFailure, TransactionStep,
};
pub use crate::transactions::producer::TransactionalProducer;
pub use crate::transactions::transaction::{Transaction, TransactionalSend};
