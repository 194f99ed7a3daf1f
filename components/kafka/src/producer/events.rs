//! What a producer reports: each event once, its log line and its figures together. Payloads and keys are never logged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mainspring_kafka_ffi::{DeliveryReport, DeliveryReports, KafkaCode};
use mainspring_logging::Level;

use crate::client::log_at;
use crate::producer::clients::Cause;
use crate::producer::codes;
use crate::producer::metrics::{Metrics, TopicMetrics};

pub(crate) fn started(component: &str, brokers: &str, security_protocol: &str, client: &str) {
    tracing::info!(component, brokers, security_protocol, client, "Producer is ready to connect");
}

/// How many records an event has reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) delivered: u32,
    pub(crate) failed: usize,
}

/// Records of one topic were acknowledged, or failed after they had been accepted.
pub(crate) fn reported(
    component: &str,
    level: Level,
    metrics: &Metrics,
    topic: &TopicMetrics,
    reports: &DeliveryReports<'_>,
) -> Tally {
    let mut tally = Tally::default();
    let mut bytes = 0;
    for report in reports.iter() {
        if let Some(code) = report.error() {
            tally.failed += 1;
            delivery_failed(component, metrics, topic, &report, code);
        } else {
            tally.delivered += 1;
            bytes += report.payload_len() + report.key_len();
            log_at!(
                level,
                component,
                topic = &*topic.name,
                partition = report.partition(),
                offset = report.offset().unwrap_or(-1),
                latency_ms = report.latency().unwrap_or_default().as_secs_f64() * 1e3,
                "Record delivered"
            );
        }
    }
    let delivered = reports.iter().filter(|report| report.error().is_none());
    topic.delivered(tally.delivered, bytes, delivered.map(|report| report.latency()));
    tally
}

fn delivery_failed(
    component: &str,
    metrics: &Metrics,
    topic: &TopicMetrics,
    report: &DeliveryReport<'_>,
    code: KafkaCode,
) {
    let latency = report.latency();
    topic.failed(latency);
    let retryable = codes::is_retryable(code);
    metrics.error(&topic.name, &code.name(), retryable, latency);
    let error = code.description();
    let (topic, partition) = (&*topic.name, report.partition());
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
    let retryable = codes::is_retryable(code);
    metrics.error(topic, &code.name(), retryable, None);
    let error = code.description();
    tracing::warn!(component, topic, partition, %code, error, retryable, "Record was refused");
}

pub(crate) fn met_full_queue(component: &str, level: Level, topic: &TopicMetrics, records: usize) {
    topic.met_full_queue(records);
    log_at!(level, component, topic = &*topic.name, records, "Records wait for space in the queue");
}

/// Records that waited in line for space had to give up: one line for all of a batch.
pub(crate) fn gave_up(component: &str, metrics: &Metrics, topic: &str, records: usize, code: KafkaCode) {
    let retryable = codes::is_retryable(code);
    for _ in 0..records {
        metrics.error(topic, &code.name(), retryable, None);
    }
    let error = code.description();
    tracing::warn!(component, topic, records, %code, error, retryable, "Records were refused");
}

pub(crate) fn draining(component: &str, in_flight: usize, limit: Duration) {
    let limit_ms = limit.as_millis();
    tracing::info!(component, in_flight, limit_ms, "Producer waits for records in flight");
}

pub(crate) fn stopped(component: &str, undelivered: &BTreeMap<Arc<str>, usize>, in_flight: usize) {
    let total: usize = undelivered.values().sum();
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

/// A new client is made, after so long.
pub(crate) fn client_is_replaced(component: &str, cause: Cause, delay: Duration) {
    let (cause, delay_ms) = (cause.as_str(), delay.as_millis());
    tracing::warn!(component, cause, delay_ms, "Client is going to be replaced");
}

pub(crate) fn client_not_created(component: &str, error: &str) {
    tracing::error!(component, error, "New client could not be made; it is tried again");
}

/// A new client takes the records from here on, once the old one has none left.
pub(crate) fn client_replaced(component: &str, cause: Cause, client: &str, in_flight: usize) {
    let cause = cause.as_str();
    tracing::info!(component, cause, client, in_flight, "Client was replaced");
}
