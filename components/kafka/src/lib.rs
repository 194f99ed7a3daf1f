//! Kafka producer and consumer components over librdkafka.
