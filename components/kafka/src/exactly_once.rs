//! Consume, transform, produce, commit: each message has its effect once, whatever fails.
//!
//! The records made of a batch and the group's new offsets are one transaction, so that readers of what is committed see both
//! or neither (KIP-447: the group's generation tells a member that lost its partitions from the one that has them, so one
//! producer serves all of them).
//!
//! | What happens | What follows |
//! |---|---|
//! | the transformation fails, a record is not stored, the group has moved on | the transaction is aborted; after `restart_after_failure_delay` the batch comes again |
//! | the process is killed | the next instance with its `transactional_id`, or else `transaction_timeout`, aborts what it left open; the batch comes again, to whoever has the partition |
//! | partitions are taken away | the running transaction ends first, or its offsets are refused, or whoever gets the partitions waits for its end |
//! | the producer is shut out by another one with its `transactional_id` | the pipeline stops and leaves the group |
//! | nobody knows whether a transaction is committed | the consumer asks the group, with another client, which waits for the end |
//!
//! Once means once in Kafka: what the transformation does elsewhere, it may do again.

mod component;
mod events;
mod input;
mod pipeline;

pub use crate::exactly_once::component::{ExactlyOnceConfig, KafkaExactlyOnceComponent};
pub use crate::exactly_once::input::Input;
pub use crate::exactly_once::pipeline::ExactlyOncePipeline;
