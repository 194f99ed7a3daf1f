//! Measures all clients on one real broker, in turns, and writes what came of it into `docs/benchmarks.md`.
//!
//! ```text
//! OPENSSL_NO_VENDOR=1 cargo run -p mainspring-bench --bin compare
//! ```
//!
//! builds what it needs, Go's part too, and takes about ten minutes; `--help` shows how to ask for less or more.

mod clients;
mod idle;
mod machine;
mod page;
mod rounds;
mod table;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Parser;
use mainspring_bench::workspace;
use mainspring_kafka_broker::{Broker, BrokerOptions};

use crate::clients::Clients;
use crate::rounds::Plan;

/// What to measure.
#[derive(Debug, Clone, Parser)]
#[command(name = "compare", about = "Measures Mainspring's Kafka components beside other clients.")]
pub(crate) struct Flags {
    /// How often each measurement is taken; the medians count.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Records of 100 bytes that each producer sends in one measurement; as many bytes of larger ones, and four times as
    /// many messages are consumed.
    #[arg(long, default_value_t = 1_000_000)]
    messages: usize,
    /// Sizes of payloads.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1000])]
    sizes: Vec<usize>,
    /// Compressions.
    #[arg(long, value_delimiter = ',', default_values = ["none", "lz4", "zstd"])]
    codecs: Vec<String>,
    /// Sections: `rates`, `modes`, `latency`, `idle`.
    #[arg(long, value_delimiter = ',', default_values = ["rates", "modes", "latency", "idle"])]
    sections: Vec<String>,
    /// Where to write the page; `-` prints it.
    #[arg(long)]
    out: Option<PathBuf>,
}

impl Flags {
    pub(crate) fn wants(&self, section: &str) -> bool {
        self.sections.iter().any(|wanted| wanted == section)
    }
}

#[expect(clippy::print_stdout, reason = "a command-line tool speaks to its user")]
fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    let clients = Clients::build()?;
    let options = BrokerOptions::default()
        // What is deleted between two rounds is to be gone, and no segment to be rolled while one is measured.
        .with_property("log.segment.delete.delay.ms", 1000)
        .with_property("log.segment.bytes", 1 << 30);
    let broker = Broker::start(options).map_err(|error| anyhow::anyhow!(error.with_causes()))?;
    let page = page::write(&Plan { flags: &flags, clients: &clients, broker: &broker })?;
    match flags.out.as_deref() {
        Some(path) if path == Path::new("-") => println!("{page}"),
        chosen => {
            let usual = workspace().join("docs/benchmarks.md");
            let path = chosen.unwrap_or(&usual);
            std::fs::write(path, page).with_context(|| format!("cannot write {}", path.display()))?;
            println!("written to {}", path.display());
        }
    }
    Ok(())
}
