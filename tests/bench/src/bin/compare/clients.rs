//! The clients as programs: how they are built and run.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use mainspring_bench::{LatencyReport, Report, output, workspace};

/// Says what to do where there is no Go; Debian's own may be too old for franz-go.
const NO_GO: &str = "\
!!! franz-go is NOT measured: there is no Go toolchain that builds tests/bench/go (see above). Install one, then again:
!!!     curl -L https://go.dev/dl/go1.26.0.linux-amd64.tar.gz | tar -xz -C \"$HOME\" && PATH=\"$HOME/go/bin:$PATH\"";

/// A measurement takes seconds; one that takes so long is stuck.
const LIMIT: Duration = Duration::from_secs(120);

/// One program that obeys the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Client {
    /// What it calls itself.
    pub(crate) name: &'static str,
    path: PathBuf,
}

/// All of them, those beside which the others are measured first.
#[derive(Debug)]
pub(crate) struct Clients {
    pub(crate) c: Client,
    pub(crate) mainspring: Client,
    pub(crate) rdkafka: Client,
    pub(crate) go: Option<Client>,
}

impl Clients {
    /// Builds whatever is not up to date.
    #[expect(clippy::print_stderr, reason = "a command-line tool speaks to its user")]
    pub(crate) fn build() -> anyhow::Result<Self> {
        // Both together, as one may otherwise get another build of librdkafka than the other.
        let directory = mainspring_bench::build(&["mainspring-bench", "mainspring-peers"])?;
        let client = |name, file: &str| Client { name, path: directory.join(file) };
        let go = client("franz-go", "kafka_bench_go");
        let mut command = Command::new("go");
        command.args(["build", "-o"]).arg(&go.path).arg(".").current_dir(workspace().join("tests/bench/go"));
        let go = match command.status() {
            Ok(status) if status.success() => Some(go),
            Ok(_) | Err(_) => {
                eprintln!("{NO_GO}");
                None
            }
        };
        Ok(Self {
            c: client("c", "kafka_bench_c"),
            mainspring: client("mainspring", "kafka_bench"),
            rdkafka: client("rust-rdkafka", "kafka_bench_rdkafka"),
            go,
        })
    }

    /// All there are.
    pub(crate) fn all(&self) -> Vec<&Client> {
        [&self.c, &self.mainspring, &self.rdkafka].into_iter().chain(&self.go).collect()
    }
}

impl Client {
    /// Runs it to its end and reads its line.
    fn line(&self, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
        output(Command::new(&self.path).args(arguments), LIMIT)
            .with_context(|| format!("{} {}", self.path.display(), arguments.join(" ")))
    }

    /// One measurement.
    pub(crate) fn report(&self, arguments: &[&str]) -> anyhow::Result<Report> {
        serde_json::from_slice(&self.line(arguments)?)
            .with_context(|| format!("{} does not obey the contract", self.name))
    }

    /// One measurement of latencies.
    pub(crate) fn latencies(&self, arguments: &[&str]) -> anyhow::Result<LatencyReport> {
        serde_json::from_slice(&self.line(arguments)?)
            .with_context(|| format!("{} does not obey the contract", self.name))
    }

    /// Starts it and leaves it to its own.
    pub(crate) fn start(&self, arguments: &[&str]) -> anyhow::Result<std::process::Child> {
        Command::new(&self.path)
            .args(arguments)
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot run {}", self.path.display()))
    }
}
