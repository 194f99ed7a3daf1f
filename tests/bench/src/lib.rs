//! The contract that every measured client obeys, so that their figures can stand side by side.
//!
//! ```text
//! kafka_bench produce|produce-batch|consume --brokers B --topic T --messages N --size S
//!             [--group G] [--acks all] [--linger-ms 5] [--codec none]
//! ```
//!
//! prints one line of JSON, a [`Report`]. The rules: at most [`IN_FLIGHT_MAX`] records in flight, every delivery report
//! checked, payloads from the same [`Payloads`], the consumer reads the first and the last byte of each payload and
//! commits about once a second. `kafka_bench latency` has one process send at a steady rate and read what it sent;
//! `kafka_bench idle` has many clients that do nothing.
//!
//! `kafka_bench` is Mainspring's own; `peers/` has plain C and rust-rdkafka, `go/` has franz-go; `compare` runs them all.

mod arguments;
mod payloads;
mod programs;
mod report;
mod threads;

pub use arguments::{Arguments, BATCH, CONCURRENCY, IN_FLIGHT_MAX, Op};
pub use payloads::Payloads;
pub use programs::{build, output, workspace};
pub use report::{Latencies, LatencyReport, Meter, Report};
pub use threads::{Activity, Threads, resident_kb};
