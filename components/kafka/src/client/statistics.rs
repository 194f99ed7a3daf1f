//! librdkafka's statistics as values: read leniently, because fields come and go between versions.

use std::collections::BTreeMap;

use mainspring_metrics::{Family, Snapshot};
use serde::Deserialize;

static BROKER_UP: Family = Family::gauge("kafka_client_broker_up", "Whether a broker connection is up.");
static CONNECTS: Family = Family::counter("kafka_client_connects", "Broker connections opened.");
static DISCONNECTS: Family = Family::counter("kafka_client_disconnects", "Broker connections lost.");
static SENT_BYTES: Family = Family::counter("kafka_client_sent_bytes", "Bytes sent to brokers.");
static RECEIVED_BYTES: Family =
    Family::counter("kafka_client_received_bytes", "Bytes received from brokers.");
static REQUESTS: Family = Family::counter("kafka_client_requests", "Requests sent to brokers.");
static REQUEST_TIMEOUTS: Family =
    Family::counter("kafka_client_request_timeouts", "Requests that brokers did not answer in time.");
static RTT: Family = Family::summary("kafka_client_rtt_seconds", "Time from request to response.");
static THROTTLE: Family =
    Family::summary("kafka_client_throttle_seconds", "Time that brokers asked to wait.");

/// One report. Everything defaults to nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Statistics {
    /// Records in the producer's queue.
    pub(crate) msg_cnt: u64,
    /// Their bytes.
    pub(crate) msg_size: u64,
    /// Most records the queue takes.
    pub(crate) msg_max: u64,
    /// Most bytes the queue takes.
    pub(crate) msg_size_max: u64,
    /// By `host:port/id`.
    pub(crate) brokers: BTreeMap<String, Broker>,
    /// By name.
    pub(crate) topics: BTreeMap<String, Topic>,
}

/// One broker connection.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Broker {
    pub(crate) name: String,
    pub(crate) nodeid: i64,
    pub(crate) state: String,
    pub(crate) tx: u64,
    pub(crate) txbytes: u64,
    pub(crate) rxbytes: u64,
    pub(crate) req_timeouts: u64,
    pub(crate) connects: u64,
    pub(crate) disconnects: u64,
    /// Microseconds that records waited in the producer's queue.
    pub(crate) int_latency: Window,
    /// Microseconds.
    pub(crate) rtt: Window,
    /// Milliseconds.
    pub(crate) throttle: Window,
}

/// One topic in use.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Topic {
    /// Bytes in a produced batch.
    pub(crate) batchsize: Window,
    /// Records in a produced batch.
    pub(crate) batchcnt: Window,
    /// By number; `-1` holds what has no partition yet.
    pub(crate) partitions: BTreeMap<String, Partition>,
}

/// One partition in use. Offsets below 0 are unknown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Partition {
    pub(crate) partition: i64,
    pub(crate) fetchq_cnt: i64,
    pub(crate) fetchq_size: i64,
    pub(crate) app_offset: i64,
    pub(crate) stored_offset: i64,
    pub(crate) committed_offset: i64,
    pub(crate) hi_offset: i64,
    pub(crate) ls_offset: i64,
    pub(crate) consumer_lag: i64,
    pub(crate) consumer_lag_stored: i64,
}

/// Quantiles over one statistics interval. A summary's sum and count only grow, so those are added up over all reports.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default)]
pub(crate) struct Window {
    sum: f64,
    cnt: u64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
}

impl Window {
    /// Adds what the windows before this one observed.
    fn follow(&mut self, previous: &Window) {
        self.sum += previous.sum;
        self.cnt += previous.cnt;
    }

    /// Writes it as a summary; `scale` turns its unit into the family's. Nothing without observations.
    pub(crate) fn collect(
        &self,
        family: &'static Family,
        labels: &[(&'static str, &str)],
        scale: f64,
        snapshot: &mut Snapshot,
    ) {
        if self.cnt == 0 {
            return;
        }
        let quantiles = [(0.5, self.p50 * scale), (0.9, self.p90 * scale), (0.99, self.p99 * scale)];
        snapshot.summary(family, labels, &quantiles, self.sum * scale, self.cnt);
    }
}

impl Broker {
    pub(crate) fn is_up(&self) -> bool {
        self.state == "UP"
    }
}

impl Statistics {
    pub(crate) fn parse(json: &str) -> Result<Statistics, serde_json::Error> {
        serde_json::from_str(json)
    }

    /// Carries over from the report before this one what only grows.
    pub(crate) fn follow(&mut self, previous: &Statistics) {
        for (name, broker) in &mut self.brokers {
            let Some(previous) = previous.brokers.get(name) else { continue };
            broker.int_latency.follow(&previous.int_latency);
            broker.rtt.follow(&previous.rtt);
            broker.throttle.follow(&previous.throttle);
        }
        for (name, topic) in &mut self.topics {
            let Some(previous) = previous.topics.get(name) else { continue };
            topic.batchsize.follow(&previous.batchsize);
            topic.batchcnt.follow(&previous.batchcnt);
        }
    }

    pub(crate) fn has_broker_up(&self) -> bool {
        self.brokers.values().any(Broker::is_up)
    }

    /// The brokers themselves: ids below 0 belong to bootstrap addresses and to the coordinator's alias connection.
    pub(crate) fn real_brokers(&self) -> impl Iterator<Item = &Broker> {
        self.brokers.values().filter(|broker| 0 <= broker.nodeid)
    }

    /// Writes the `kafka_client_*` families that have the label `broker`.
    pub(crate) fn collect_brokers(&self, component: &str, snapshot: &mut Snapshot) {
        for broker in self.real_brokers() {
            let labels = [("component", component), ("broker", broker.name.as_str())];
            snapshot.gauge(&BROKER_UP, &labels, f64::from(u8::from(broker.is_up())));
            for (family, value) in [
                (&CONNECTS, broker.connects),
                (&DISCONNECTS, broker.disconnects),
                (&SENT_BYTES, broker.txbytes),
                (&RECEIVED_BYTES, broker.rxbytes),
                (&REQUESTS, broker.tx),
                (&REQUEST_TIMEOUTS, broker.req_timeouts),
            ] {
                snapshot.counter(family, &labels, value);
            }
            broker.rtt.collect(&RTT, &labels, 1e-6, snapshot);
            broker.throttle.collect(&THROTTLE, &labels, 1e-3, snapshot);
        }
    }
}

#[cfg(test)]
mod tests;
