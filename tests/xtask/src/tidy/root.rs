//! The root of the repository: what may lie there, and one version of Rust in both places that name it.

use super::Finding;

/// Directories and files of the root; those that begin with a dot are tools' settings.
const ENTRIES: &[&str] = &[
    "components",
    "configs",
    "docs",
    "framework",
    "samples",
    "schemas",
    "tests",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "DESIGN.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "clippy.toml",
    "deny.toml",
    "justfile",
    "rust-toolchain.toml",
    "rustfmt.toml",
];

/// Checks the names that lie in the root.
pub(super) fn check_entries<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<Finding> {
    let strange = names.into_iter().filter(|name| !name.starts_with('.') && !ENTRIES.contains(name));
    let finding = |name| Finding::new(name, 1, "it has no place in the root", "move it to where it belongs");
    strange.map(finding).collect()
}

/// Checks that the oldest Rust that the manifest promises is the one that everything is tested with.
pub(super) fn check_rust_version(manifest: &str, toolchain: &str) -> Vec<Finding> {
    let (line, promised) = value(manifest, "rust-version").unwrap_or((1, ""));
    let (_, channel) = value(toolchain, "channel").unwrap_or((1, ""));
    let tested = channel.rsplit_once('.').map_or(channel, |(minor, _patch)| minor);
    if promised == tested {
        return Vec::new();
    }
    let problem = format!("`rust-version` is `{promised}`, but the tests run with `{channel}`");
    let fix = "change one of Cargo.toml and rust-toolchain.toml";
    vec![Finding::new("Cargo.toml", line, problem, fix)]
}

/// The line and the text of `key = "text"`.
fn value<'a>(toml: &'a str, key: &str) -> Option<(usize, &'a str)> {
    toml.lines().enumerate().find_map(|(line_idx, line)| {
        let text = line.strip_prefix(key)?.trim_start().strip_prefix('=')?;
        Some((line_idx + 1, text.trim().trim_matches('"')))
    })
}

#[cfg(test)]
mod tests;
