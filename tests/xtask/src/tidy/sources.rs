//! Source text: it says what it is for, stays readable in one sitting, is safe, and names no machine.

use super::Finding;

/// The longest Rust file.
const LINES_MAX: usize = 800;

/// The only place that may opt out of the workspace's ban of unsafe code.
const ISLAND: &str = "components/kafka-ffi/";

/// Written in two parts so that this file does not find itself.
const UNSAFE_LINT: &str = concat!("unsafe", "_code");

/// Where people's home directories are.
const HOMES: &[&str] = &[concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Use", "rs/")];

/// Checks a Rust file.
pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    // A crate's story may lie in a document of its own.
    let has_purpose = text.starts_with("//!") || text.starts_with("#![doc = include_str!");
    if !has_purpose {
        findings.push(Finding::new(
            path,
            1,
            "the file does not say what it is for",
            "begin it with a `//!` line",
        ));
    }
    let n_lines = text.lines().count();
    if LINES_MAX < n_lines {
        let problem = format!("{n_lines} lines are more than {LINES_MAX}");
        findings.push(Finding::new(path, LINES_MAX + 1, problem, "split it by what changes together"));
    }
    for (line_idx, line) in text.lines().enumerate() {
        let mut found =
            |problem: &str, fix: &str| findings.push(Finding::new(path, line_idx + 1, problem, fix));
        if has_attribute(line, "ignore") {
            found("the test is never run", "make it fast and reliable, or delete it");
        }
        if has_attribute(line, "should_panic") {
            found("the test passes on any panic", "check the error, or catch the panic and compare its text");
        }
        if line.contains(UNSAFE_LINT) && !path.starts_with(ISLAND) {
            found("unsafe code belongs to kafka-ffi only", "do it there, behind a safe function");
        }
    }
    findings
}

/// Whether the line has this attribute, alone, after another one, or behind a `cfg_attr`.
fn has_attribute(line: &str, attribute: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("#[")
        && (line.contains(&format!("#[{attribute}"))
            || line.contains("#[cfg_attr(") && line.contains(&format!(", {attribute}")))
}

/// Checks any text file for paths that exist on one machine only; `machine` is where the workspace is on this one.
pub(super) fn check_paths(path: &str, text: &str, machine: &str) -> Vec<Finding> {
    let machine = format!("{machine}/");
    let mut findings = Vec::new();
    for (line_idx, line) in text.lines().enumerate() {
        let named = HOMES.iter().copied().chain([&*machine]).find(|needle| names_root_path(line, needle));
        if let Some(needle) = named {
            let problem = format!("`{needle}` exists on one machine only");
            findings.push(Finding::new(path, line_idx + 1, problem, "use a relative path"));
        }
    }
    findings
}

/// Whether `needle` stands in the line as a path from the root, not as the middle of a longer one.
fn names_root_path(line: &str, needle: &str) -> bool {
    line.match_indices(needle).any(|(start, _)| {
        let before = line.get(..start).and_then(|before| before.chars().next_back());
        !before.is_some_and(|c| c.is_alphanumeric() || "_-.~}*/".contains(c))
    })
}

#[cfg(test)]
mod tests;
