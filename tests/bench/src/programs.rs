//! The measured programs, built for release whatever this one was built for.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Builds the programs of `packages` whose names begin with `kafka_bench` and returns the directory where they are.
///
/// # Errors
/// When cargo cannot build them.
pub fn build(packages: &[&str]) -> io::Result<PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--release", "--bin", "kafka_bench*"]);
    for package in packages {
        cargo.args(["--package", package]);
    }
    if !cargo.current_dir(workspace()).status()?.success() {
        return Err(io::Error::other(format!("{} cannot be built", packages.join(" and "))));
    }
    // `target/release` stands beside the directory of this program, wherever `target` is.
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).ok_or_else(|| io::Error::other("no directory for programs"))?;
    Ok(target.join("release"))
}

/// Runs a program to its end, which has to come within `limit`, and returns what it printed.
///
/// # Errors
/// When it cannot be run, fails, or has to be killed.
pub fn output(command: &mut Command, limit: Duration) -> io::Result<Vec<u8>> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if limit < began.elapsed() {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::other(format!("{name} has not ended within {limit:?}")));
        }
        pause();
    };
    if !status.success() {
        return Err(io::Error::other(format!("{name} failed: {status}")));
    }
    // A line or two: it never had to wait for a reader.
    let mut printed = Vec::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_end(&mut printed)?;
    }
    Ok(printed)
}

#[expect(clippy::disallowed_methods, reason = "a pause between two looks, on the only thread of a tool")]
fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}

/// The workspace this was compiled in.
///
/// # Panics
/// Never: the package lies two directories deep.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("this package lies two directories deep")
}
