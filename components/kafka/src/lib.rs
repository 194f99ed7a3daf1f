//! Kafka producer and consumer components over librdkafka.
//!
//! [`KafkaProducerComponent`] sends records without copying their payloads and resolves each send with the broker's
//! answer. [`KafkaConsumerComponent`] hands messages in batches to a callback. [`KafkaTransactionalProducerComponent`] sends
//! records that readers see all or not at all, and [`KafkaExactlyOnceComponent`] joins the two so that every message has its
//! effect once. [`KafkaEmbeddedComponent`] hosts brokers in this process, for a first run and for tests. Both kinds of client
//! are driven by events: a client that has nothing to do costs nothing.
//!
//! Raw librdkafka stays below, in `mainspring-kafka-ffi`; no type of it is part of this interface.

mod client;
mod consumer;
mod embedded;
mod exactly_once;
mod producer;
mod transactions;

pub use crate::client::{CommonConfig, SaslMechanism, SecurityProtocol};
pub use crate::consumer::{
    AssignmentStrategy, AutoOffsetReset, Batch, BytesDecoder, ClientError, CommitError, CommitFuture,
    CommitPolicy, Concurrency, ConcurrencyMode, ConsumedMessage, ConsumerConfig, ConsumerError,
    ConsumerListener, ConsumerScope, ConsumerTuning, ControlError, Decoder, ErrorScope, GroupProtocol,
    JsonDecoder, KAFKA_CONSUMER, KafkaConsumerComponent, KeyLogFormat, Message, NullableDecoder, OffsetRange,
    Position, Recovery, StartOffsets, TextDecoder, TopicPartition, TypedBatch, TypedMessage, Undecodable,
};
pub use crate::embedded::{EmbeddedConfig, KafkaEmbeddedComponent};
pub use crate::exactly_once::{ExactlyOnceConfig, ExactlyOncePipeline, Input, KafkaExactlyOnceComponent};
pub use crate::producer::{
    Compression, Deliveries, Delivery, KafkaProducerComponent, Producer, ProducerConfig, Record,
    SendBatchError, SendBatchFuture, SendError, SendFuture, Target,
};
pub use crate::transactions::{
    KafkaTransactionalProducerComponent, Transaction, TransactionError, TransactionErrorClass,
    TransactionFailure, TransactionStep, TransactionalProducer, TransactionalProducerConfig,
    TransactionalSend,
};
