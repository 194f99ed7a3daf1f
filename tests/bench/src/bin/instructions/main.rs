//! Counts the instructions that Mainspring itself spends on a message, and compares them with those that are written down.
//!
//! ```text
//! OPENSSL_NO_VENDOR=1 cargo run -p mainspring-bench --bin instructions
//! ```
//!
//! `kafka_bench` runs under callgrind against librdkafka's mock cluster, each operation with few records and with many: the
//! difference is what a record costs, without the start. Only our own functions count (whatever the compiler inlined into
//! them included): librdkafka's, tokio's and the allocator's work depends on when threads meet, ours hardly does.
//! More than [`TOLERANCE`] above what `tests/bench/instructions.json` says fails. As much below is worth to be written down
//! (`--bless`), because otherwise a gain hides the next loss.

mod callgrind;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::Parser;
use mainspring::kafka::KafkaEmbeddedComponent;
use mainspring::prelude::*;
use mainspring_bench::output;
use mainspring_testsuite::TestService;

use crate::callgrind::Counts;

/// How far a count may be above what is written down; it repeats within half a percent.
const TOLERANCE: f64 = 0.03;

const FEW: usize = 10_000;
/// The mock cluster keeps the youngest 5 MiB of a partition, and records without keys may all go to one.
const MANY: usize = 40_000;

const TOPICS: &str = "topics: {produce: 1, produce-batch: 1, few: 1, many: 1}";

/// A run takes a few seconds.
const LIMIT: Duration = Duration::from_secs(120);

#[derive(Debug, Parser)]
#[command(name = "instructions", about = "Counts instructions per message.")]
struct Flags {
    /// Write down what is counted instead of comparing.
    #[arg(long)]
    bless: bool,
    /// `kafka_bench`. Default: one that is built for it.
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// Instructions per message, by path.
type PerMessage = BTreeMap<String, f64>;

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool speaks to its user")]
fn main() -> ExitCode {
    match run(&Flags::parse()) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> anyhow::Result<String> {
    let binary = match &flags.binary {
        Some(binary) => binary.clone(),
        None => mainspring_bench::build(&["mainspring-bench"])?.join("kafka_bench"),
    };
    let components = ComponentList::common().append_default::<KafkaEmbeddedComponent>();
    let service = TestService::new(components).with_component("kafka-embedded", TOPICS).start();
    let kafka = service.component::<KafkaEmbeddedComponent>("kafka-embedded");
    let counted = count_all(&binary, kafka.bootstrap_servers())?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.json");
    if flags.bless {
        let rounded: BTreeMap<_, _> = counted.iter().map(|(path, count)| (path, count.round())).collect();
        fs::write(&path, serde_json::to_string_pretty(&rounded)? + "\n")?;
        return Ok(format!("written to {}: {counted:.1?}", path.display()));
    }
    let expected = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    compare(&counted, &serde_json::from_str(&expected)?)
}

fn count_all(binary: &Path, brokers: &str) -> anyhow::Result<PerMessage> {
    let bench = Bench { binary, brokers };
    let mut counted = PerMessage::new();
    for op in ["produce", "produce-batch"] {
        let [sending, delivery] = bench.per_message(op, &[], |counts| [counts.others, counts.reports])?;
        counted.insert(op.to_owned(), sending);
        counted.insert(format!("{op}, delivery"), delivery);
    }
    bench.fill("few", FEW)?;
    bench.fill("many", MANY)?;
    // A classic group of the mock cluster takes seconds to join.
    let options = ["--key", "group_protocol=consumer", "--option", "fetch.wait.max.ms=10"];
    let [consuming] = bench.per_message("consume", &options, |counts| [counts.others + counts.reports])?;
    counted.insert("consume".to_owned(), consuming);
    Ok(counted)
}

/// What is run, and on what.
struct Bench<'run> {
    binary: &'run Path,
    brokers: &'run str,
}

impl Bench<'_> {
    fn arguments(&self, op: &str, topic: &str, messages: usize) -> Vec<String> {
        let arguments = [op, "--brokers", self.brokers, "--topic", topic, "--size", "100", "--messages"];
        arguments.into_iter().map(str::to_owned).chain([messages.to_string()]).collect()
    }

    /// Puts as many records into a topic as will be asked for, and none that would be read after the last of them.
    fn fill(&self, topic: &str, messages: usize) -> anyhow::Result<()> {
        let arguments = self.arguments("produce-batch", topic, messages);
        output(Command::new(self.binary).args(arguments), LIMIT)
            .with_context(|| format!("`{topic}` cannot be filled"))?;
        Ok(())
    }

    /// The difference between many messages and few, for each.
    fn per_message<const N: usize>(
        &self,
        op: &str,
        options: &[&str],
        of: impl Fn(&Counts) -> [u64; N],
    ) -> anyhow::Result<[f64; N]> {
        let topics = if op == "consume" { ["few", "many"] } else { [op; 2] };
        let few = of(&self.count(op, options, topics[0], FEW)?);
        let many = of(&self.count(op, options, topics[1], MANY)?);
        #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 instructions are counted")]
        let per_message = |n: usize| many[n].saturating_sub(few[n]) as f64 / (MANY - FEW) as f64;
        Ok(std::array::from_fn(per_message))
    }

    fn count(&self, op: &str, options: &[&str], topic: &str, messages: usize) -> anyhow::Result<Counts> {
        let directory = tempfile::tempdir()?;
        let mut command = Command::new("valgrind");
        command
            .args([
                "--tool=callgrind",
                "--separate-threads=yes",
                "--compress-strings=no",
                "--compress-pos=no",
            ])
            .arg(format!("--callgrind-out-file={}", directory.path().join("out").display()))
            .arg(self.binary)
            .args(self.arguments(op, topic, messages))
            .args(options);
        let run = output(command.stderr(Stdio::null()), LIMIT);
        run.with_context(|| format!("cannot count `{op}`; valgrind is needed: apt-get install valgrind"))?;
        let mut counts = Counts::default();
        for file in fs::read_dir(directory.path())? {
            counts.add(&fs::read_to_string(file?.path())?);
        }
        Ok(counts)
    }
}

/// A line for each path; an error when one is too far from what is expected.
fn compare(counted: &PerMessage, expected: &PerMessage) -> anyhow::Result<String> {
    let mut lines = Vec::new();
    let mut is_right = counted.len() == expected.len();
    for (path, count) in counted {
        let Some(before) = expected.get(path) else { bail!("`{path}` is not written down; --bless does it") };
        let change = count / before - 1.0;
        is_right &= change <= TOLERANCE;
        let verdict = match change {
            _ if TOLERANCE < change => "  TOO MANY",
            _ if change < -TOLERANCE => "  fewer: --bless writes it down",
            _ => "",
        };
        lines.push(format!(
            "{path:<24} {count:>8.1} instructions per message, {before:.0} before, {:+.1} %{verdict}",
            100.0 * change
        ));
    }
    let text = lines.join("\n");
    ensure!(
        is_right,
        "{text}\nmore than {:.0} % above tests/bench/instructions.json; make it cheaper, or say with --bless that it is meant",
        100.0 * TOLERANCE
    );
    Ok(text)
}
