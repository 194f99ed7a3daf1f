//! A component-based service framework for Kafka services.
