//! What goes wrong around a consumer, typed for its listener.

use mainspring_kafka_ffi::{KafkaCode, KafkaError, MessageError};

use crate::client::broker_of;
use crate::consumer::partition::TopicPartition;

/// Something is wrong with a client, a broker or a partition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct ClientError {
    /// What it is about.
    pub scope: ErrorScope,
    /// How it ends.
    pub recovery: Recovery,
    /// What librdkafka says about it.
    pub message: String,
    code: KafkaCode,
}

/// What an error is about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorScope {
    /// The client as a whole, its group included.
    Client,
    /// One broker, as `host:port/id`; `GroupCoordinator` is the one that the group has.
    Broker(String),
    /// One partition.
    Partition(TopicPartition),
}

/// How an error ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recovery {
    /// The client recovers by itself as soon as the cause is gone: a broker that is down, a network that fails.
    Client,
    /// The client is given up, and the consumer makes another one after `restart_after_failure_delay`.
    Consumer,
    /// The client keeps trying, but somebody has to change something: credentials, permissions, certificates, an offset.
    Operator,
}

impl ClientError {
    /// Of a client's error event.
    pub(crate) fn of_client(error: &KafkaError) -> ClientError {
        let broker = broker_of(&error.text);
        let scope =
            if broker.is_empty() { ErrorScope::Client } else { ErrorScope::Broker(broker.to_owned()) };
        let recovery = if error.fatal { Recovery::Consumer } else { recovery_of(error.code) };
        ClientError { scope, recovery, message: error.text.clone(), code: error.code }
    }

    /// Of a partition that cannot be read.
    pub(crate) fn of_partition(error: &MessageError) -> ClientError {
        let scope = if error.topic.is_empty() {
            ErrorScope::Client
        } else {
            ErrorScope::Partition(TopicPartition::new(error.topic.as_str(), error.partition))
        };
        ClientError {
            scope,
            recovery: recovery_of(error.code),
            message: error.text.clone(),
            code: error.code,
        }
    }

    /// Whether nobody has to do anything: the client or the consumer goes on once the cause is gone.
    #[must_use]
    pub fn recovers_by_itself(&self) -> bool {
        self.recovery != Recovery::Operator
    }

    /// Kafka's or librdkafka's number for it.
    #[must_use]
    pub fn kafka_code(&self) -> i32 {
        self.code.as_raw()
    }

    /// Kafka's or librdkafka's name for it, such as `_TRANSPORT` or `TOPIC_AUTHORIZATION_FAILED`.
    #[must_use]
    pub fn kafka_name(&self) -> String {
        self.code.name().into_owned()
    }
}

/// What a code says about how it ends, where it is not fatal.
fn recovery_of(code: KafkaCode) -> Recovery {
    match code.as_raw() {
        // _SSL, _AUTHENTICATION, _UNSUPPORTED_FEATURE, _INVALID_ARG, _AUTO_OFFSET_RESET.
        -181 | -169 | -165 | -186 | -140
        // OFFSET_OUT_OF_RANGE comes here only with `auto_offset_reset: error`.
        | 1
        // INVALID_TOPIC, *_AUTHORIZATION_FAILED, UNSUPPORTED_SASL_MECHANISM, UNSUPPORTED_VERSION, CLUSTER_AUTHORIZATION_FAILED.
        | 17 | 29 | 30 | 31 | 33 | 35
        // INCONSISTENT_GROUP_PROTOCOL, INVALID_GROUP_ID, INVALID_SESSION_TIMEOUT, SASL_AUTHENTICATION_FAILED.
        | 23 | 24 | 26 | 58 => Recovery::Operator,
        _ => Recovery::Client,
    }
}
