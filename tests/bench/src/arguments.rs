//! The command line of every client.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};

/// Most records in flight.
pub const IN_FLIGHT_MAX: usize = 100_000;

/// Sends that are awaited at the same time.
pub const CONCURRENCY: usize = 10_000;

/// Records of one `produce-batch`, and most messages of one batch consumed.
pub const BATCH: usize = 500;

/// What is measured, and with which settings.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// What to measure.
    pub op: Op,
    /// Addresses of the brokers, `host:port[,host:port…]`.
    #[arg(long)]
    pub brokers: String,
    /// The topic, which exists.
    #[arg(long)]
    pub topic: String,
    /// Number of records.
    #[arg(long)]
    pub messages: usize,
    /// Bytes of each payload.
    #[arg(long)]
    pub size: usize,
    /// Group of the consumer. Default: one of its own.
    #[arg(long)]
    pub group: Option<String>,
    /// Acknowledgements that the leader waits for.
    #[arg(long, default_value = "all")]
    pub acks: String,
    /// How long a record waits for others to share a request with, in milliseconds.
    #[arg(long, default_value_t = 5)]
    pub linger_ms: u32,
    /// Compression.
    #[arg(long, default_value = "none")]
    pub codec: String,
    /// Records per second of `latency`.
    #[arg(long, default_value_t = 1000)]
    pub rate: u32,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Op {
    /// Awaited sends, [`CONCURRENCY`] at a time: as many senders, each of which sends one record and waits for it.
    Produce,
    /// Many records in one call.
    ProduceBatch,
    /// Batches of at most [`BATCH`].
    Consume,
    /// Time from handing a record over to being handed it back.
    Latency,
    /// Consumers and producers without work, until the process is ended.
    Idle,
}

impl Arguments {
    /// The consumer's group.
    #[must_use]
    pub fn group(&self) -> String {
        let own = || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
            format!("bench-{}-{now:x}", std::process::id())
        };
        self.group.clone().unwrap_or_else(own)
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Op::Produce => "produce",
            Op::ProduceBatch => "produce-batch",
            Op::Consume => "consume",
            Op::Latency => "latency",
            Op::Idle => "idle",
        })
    }
}
