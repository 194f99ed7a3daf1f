//! What a producer reports: each event once, its log line and its figures together. Payloads and keys are never logged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mainspring_kafka_ffi::{Delivered, DeliveryReport, KafkaCode};
use mainspring_logging::Level;

use crate::client::log_at;
use crate::producer::error;
use crate::producer::metrics::{Metrics, TopicMetrics};

pub(crate) fn started(component: &str, brokers: &str, security_protocol: &str, client: &str) {
    tracing::info!(component, brokers, security_protocol, client, "Producer is ready to connect");
}

pub(crate) fn delivered(
    component: &str,
    level: Level,
    topic: &TopicMetrics,
    report: &DeliveryReport<'_>,
    delivered: &Delivered,
) {
    let bytes = report.payload.map_or(0, <[u8]>::len) + report.key_len;
    topic.delivered(bytes, report.latency);
    let offset = delivered.offset.unwrap_or(-1);
    let latency_ms = report.latency.unwrap_or_default().as_secs_f64() * 1e3;
    log_at!(
        level,
        component,
        topic = &*topic.name,
        partition = delivered.partition,
        offset,
        latency_ms,
        "Record delivered"
    );
}

pub(crate) fn delivery_failed(
    component: &str,
    metrics: &Metrics,
    topic: &TopicMetrics,
    report: &DeliveryReport<'_>,
    code: KafkaCode,
) {
    topic.failed(report.latency);
    let retryable = error::is_retryable(code.as_raw());
    metrics.error(&topic.name, &code.name(), retryable, report.latency);
    let error = code.description();
    let (topic, partition) = (&*topic.name, report.partition);
    tracing::warn!(component, topic, partition, %code, error, retryable, "Record was not delivered");
}

/// The record never reached librdkafka's queue.
pub(crate) fn refused(
    component: &str,
    metrics: &Metrics,
    topic: &str,
    partition: Option<i32>,
    code: KafkaCode,
) {
    let retryable = error::is_retryable(code.as_raw());
    metrics.error(topic, &code.name(), retryable, None);
    let error = code.description();
    tracing::warn!(component, topic, partition, %code, error, retryable, "Record was refused");
}

pub(crate) fn met_full_queue(component: &str, level: Level, topic: &TopicMetrics) {
    topic.met_full_queue();
    log_at!(level, component, topic = &*topic.name, "Record waits for space in the queue");
}

pub(crate) fn draining(component: &str, in_flight: usize, limit: Duration) {
    let limit_ms = limit.as_millis();
    tracing::info!(component, in_flight, limit_ms, "Producer waits for records in flight");
}

pub(crate) fn stopped(component: &str, undelivered: &BTreeMap<Arc<str>, u64>, in_flight: usize) {
    let total: u64 = undelivered.values().sum();
    if total == 0 && in_flight == 0 {
        tracing::info!(component, "Producer stopped; every record was answered");
        return;
    }
    let topics: Vec<_> = undelivered.iter().map(|(topic, count)| format!("{topic}: {count}")).collect();
    let topics = topics.join(", ");
    tracing::error!(
        component,
        undelivered = total,
        topics,
        in_flight,
        "Producer stopped with records not delivered"
    );
}

/// The stop was cut short.
pub(crate) fn abandoned(component: &str, in_flight: usize) {
    tracing::error!(component, in_flight, "Producer was abandoned with records in flight");
}

/// The client did not end in time; it goes on ending by itself.
pub(crate) fn client_lingers(component: &str, limit: Duration) {
    let limit_ms = limit.as_millis();
    tracing::warn!(component, limit_ms, "Stopping goes on while the client is still ending");
}
