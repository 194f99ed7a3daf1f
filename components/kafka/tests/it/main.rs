//! Components against librdkafka's mock cluster, in whole services.

mod consumer;
mod credentials;
mod embedded;
mod producer;
mod support;
