//! The component system as a service meets it, without YAML files, HTTP or Kafka.

mod support;

mod loading;
mod many;
mod plan;
mod stopping;
