//! What a client prints.

use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde::{Deserialize, Serialize};

use crate::{Arguments, Op};

/// The line of `produce`, `produce-batch` and `consume`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Who was measured.
    pub client: String,
    /// What.
    pub op: String,
    /// Records acknowledged, or messages received.
    pub messages: usize,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// From the first send, or the first message, to the last acknowledgement, or message.
    pub seconds: f64,
    /// Seconds of processor time that the process has spent in itself.
    pub cpu_user: f64,
    /// And in the kernel.
    pub cpu_sys: f64,
    /// The most memory that it had resident, in KiB.
    pub max_rss_kb: u64,
}

/// The line of `latency`, in microseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatencyReport {
    /// Who was measured.
    pub client: String,
    /// `latency`.
    pub op: String,
    /// Messages that were sent and came back.
    pub messages: usize,
    /// Half of them took no longer.
    pub p50_us: f64,
    /// 99 % of them.
    pub p99_us: f64,
    /// 99.9 % of them.
    pub p999_us: f64,
    /// All of them.
    pub max_us: f64,
}

/// Counts from the first record on.
#[derive(Debug)]
pub struct Meter {
    client: &'static str,
    op: Op,
    began: Instant,
}

impl Meter {
    /// Starts the clock.
    #[must_use]
    pub fn start(client: &'static str, op: Op) -> Self {
        Self { client, op, began: Instant::now() }
    }

    /// Stops it.
    ///
    /// # Panics
    /// When the system does not say what the process has used.
    #[must_use]
    pub fn stop(&self, messages: usize, bytes: u64) -> Report {
        let seconds = self.began.elapsed().as_secs_f64();
        let usage = getrusage(UsageWho::RUSAGE_SELF).expect("there is always a process itself");
        Report {
            client: self.client.to_owned(),
            op: self.op.to_string(),
            messages,
            bytes,
            seconds,
            cpu_user: as_seconds(usage.user_time()),
            cpu_sys: as_seconds(usage.system_time()),
            max_rss_kb: usage.max_rss().unsigned_abs(),
        }
    }
}

/// How long each message took.
#[derive(Debug, Default)]
pub struct Latencies(Vec<u64>);

impl Latencies {
    /// Adds one, in nanoseconds.
    pub fn add(&mut self, nanos: u64) {
        self.0.push(nanos);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their distribution, without the first tenth, during which connections are made.
    ///
    /// # Panics
    /// When there are none.
    #[must_use]
    pub fn report(mut self, client: &str) -> LatencyReport {
        let messages = self.0.len();
        self.0.drain(..messages / 10);
        self.0.sort_unstable();
        let at = |per_mille: usize| {
            let index = (self.0.len() * per_mille).div_ceil(1000).saturating_sub(1);
            micros(self.0[index])
        };
        LatencyReport {
            client: client.to_owned(),
            op: Op::Latency.to_string(),
            messages,
            p50_us: at(500),
            p99_us: at(990),
            p999_us: at(999),
            max_us: at(1000),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a latency fits into 52 bits")]
fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

#[expect(clippy::cast_precision_loss, reason = "a process does not run for a hundred million years")]
fn as_seconds(time: TimeVal) -> f64 {
    time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
}

/// The contract's parameters in the words of librdkafka.
impl Arguments {
    /// What every librdkafka producer is told.
    #[must_use]
    pub fn producer_properties(&self) -> [(&'static str, String); 5] {
        [
            ("bootstrap.servers", self.brokers.clone()),
            ("acks", self.acks.clone()),
            ("linger.ms", self.linger_ms.to_string()),
            ("compression.codec", self.codec.clone()),
            ("queue.buffering.max.messages", crate::IN_FLIGHT_MAX.to_string()),
        ]
    }
}
