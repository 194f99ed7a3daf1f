//! The measured programs, built for release whatever this one was built for.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

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

/// The workspace this was compiled in.
///
/// # Panics
/// Never: the package lies two directories deep.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("this package lies two directories deep")
}
