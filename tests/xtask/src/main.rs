//! Repository automation: `cargo xtask <verb>`.
//!
//! `tidy` checks the rules that hold for the repository as a whole; it is also a test of this crate. `setup` prepares
//! the Kafka that the tests start.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, ensure};

mod tidy;

const USAGE: &str = "usage: cargo xtask <verb>

verbs:
    tidy     check layers, contained dependencies, package names, sources and links
    setup    download Kafka and prepare it for the tests";

#[expect(clippy::print_stderr, reason = "a command-line tool speaks to its user")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["tidy"] => tidy(),
        ["setup"] => setup(),
        _ => Err(anyhow::anyhow!(USAGE)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn tidy() -> anyhow::Result<()> {
    let findings = tidy::findings(root())?;
    ensure!(findings.is_empty(), "{}", tidy::report(&findings));
    Ok(())
}

/// Starts a broker and ends it at once: that prepares everything, and proves that it works. A process of its own,
/// because a dependency would have librdkafka compiled before the first tidy check.
fn setup() -> anyhow::Result<()> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--package", "mainspring-kafka-broker"]);
    let status = command.current_dir(root()).stdin(Stdio::null()).status().context("cannot run cargo")?;
    ensure!(status.success(), "Kafka could not be prepared");
    Ok(())
}

/// The workspace this was compiled in.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("this package lies two directories deep")
}
