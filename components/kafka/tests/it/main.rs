//! Components against librdkafka's mock cluster, in whole services.

mod batches;
mod consumer;
mod credentials;
mod embedded;
mod flush_and_purge;
mod producer;
mod support;
mod transactions;
