//! Starts the real Apache Kafka for tests.
