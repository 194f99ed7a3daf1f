//! Components against librdkafka's mock cluster, in whole services.

mod batches;
mod consumer;
mod credentials;
mod embedded;
mod producer;
mod support;
