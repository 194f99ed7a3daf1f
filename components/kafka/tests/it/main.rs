//! Components against librdkafka's mock cluster, in whole services.

mod consumer;
mod embedded;
mod producer;
mod support;
