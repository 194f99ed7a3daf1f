//! Types of other people's crates that ours pass on: each is a decision, since replacing its crate breaks users.
//!
//! Only `pub use` is looked at. Types in public signatures are found by `cargo check-external-types`, which needs a
//! nightly compiler and is therefore no part of the checks.

use super::Finding;
use super::packages::Package;

/// What may be passed on, by the package that does; argued in DESIGN.md, "Why are axum's and http's types passed on?".
const ALLOWED: &[(&str, &str)] = &[
    ("components/server", "axum::body::Body"),
    ("components/server", "axum::extract::Request"),
    ("components/server", "axum::response::Response"),
    ("components/server", "http::HeaderMap"),
    ("components/server", "http::HeaderName"),
    ("components/server", "http::HeaderValue"),
    ("components/server", "http::Method"),
    ("components/server", "http::StatusCode"),
    ("components/server", "http::Uri"),
    ("components/server", "http::header"),
];

/// Checks a source file of a package; `ours` are the names of the workspace's packages.
pub(super) fn check(package: &Package, ours: &[&str], path: &str, text: &str) -> Vec<Finding> {
    // Only libraries that services use make promises.
    if ["samples", "tests"].contains(&package.area()) || !path.contains("/src/") {
        return Vec::new();
    }
    let theirs: Vec<_> =
        package.dependencies.iter().filter(|dependency| !ours.contains(&&*dependency.name)).collect();
    let mut findings = Vec::new();
    for (line, item) in exports(text) {
        let root = item.split("::").next().unwrap_or_default();
        let is_theirs = theirs.iter().any(|dependency| dependency.name.replace('-', "_") == root);
        if is_theirs && !ALLOWED.contains(&(&*package.directory, &*item)) {
            let problem = format!("`{item}` of another crate becomes ours");
            let fix = "wrap it, or add it to `ALLOWED` in tests/xtask/src/tidy/exports.rs and argue it in DESIGN.md";
            findings.push(Finding::new(path, line, problem, fix));
        }
    }
    findings
}

/// Every path that a `pub use` at the beginning of a line passes on, with its line. `a::{b, c as d}` are `a::b`, `a::c`.
fn exports(text: &str) -> Vec<(usize, String)> {
    let mut exports = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while let Some(start) = rest.find("\npub use ") {
        line += rest.get(..=start).map_or(0, |before| before.matches('\n').count());
        rest = rest.get(start + "\npub use ".len()..).unwrap_or_default();
        let statement = rest.split(';').next().unwrap_or_default();
        let (prefix, items) = statement.split_once('{').unwrap_or(("", statement));
        for item in items.trim_end_matches('}').split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let item = item.split(" as ").next().unwrap_or_default();
            exports.push((line, format!("{prefix}{item}")));
        }
    }
    exports
}

#[cfg(test)]
mod tests;
