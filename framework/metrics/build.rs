//! Tells the build's target and compiler to `BuildInfo`, which cannot learn them otherwise.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=MAINSPRING_TARGET={}", variable("TARGET"));
    let version = Command::new(variable("RUSTC")).arg("--version").output();
    let version = version.ok().and_then(|output| String::from_utf8(output.stdout).ok());
    // "rustc 1.95.0 (hash date)": the second word is the version.
    let version = version.as_deref().and_then(|text| text.split(' ').nth(1)).unwrap_or("unknown");
    println!("cargo::rustc-env=MAINSPRING_RUSTC={version}");
}

#[expect(clippy::disallowed_methods, reason = "the environment is how cargo talks to a build script")]
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| "unknown".to_owned())
}
