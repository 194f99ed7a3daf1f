//! Kafka producer and consumer components over librdkafka.
//!
//! [`KafkaProducerComponent`] sends records without copying their payloads and resolves each send with the broker's
//! answer. [`KafkaEmbeddedComponent`] hosts brokers in this process, for a first run and for tests. Both kinds of client
//! are driven by events: a client that has nothing to do costs nothing.
//!
//! Raw librdkafka stays below, in `mainspring-kafka-ffi`; no type of it is part of this interface.

mod client;
mod consumer;
mod embedded;
mod producer;

pub use crate::client::{CommonConfig, SaslMechanism, SecurityProtocol};
pub use crate::consumer::{
    AssignmentStrategy, AutoOffsetReset, Batch, BytesDecoder, ClientError, CommitError, CommitFuture,
    CommitPolicy, Concurrency, ConcurrencyMode, ConsumedMessage, ConsumerConfig, ConsumerError,
    ConsumerListener, ConsumerScope, ConsumerTuning, ControlError, Decoder, ErrorScope, GroupProtocol,
    JsonDecoder, KAFKA_CONSUMER, KafkaConsumerComponent, KeyLogFormat, Message, NullableDecoder, OffsetRange,
    Position, Recovery, StartOffsets, TextDecoder, TopicPartition, TypedBatch, TypedMessage, Undecodable,
};
pub use crate::embedded::{EmbeddedConfig, KafkaEmbeddedComponent};
pub use crate::producer::{
    Compression, Deliveries, Delivery, KafkaProducerComponent, Producer, ProducerConfig, Record,
    SendBatchError, SendBatchFuture, SendError, SendFuture, Target,
};
