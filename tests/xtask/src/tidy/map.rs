//! The code map of ARCHITECTURE.md and the tree agree.

use super::Finding;

/// Where the map is.
pub(super) const PATH: &str = "ARCHITECTURE.md";

const HEADING: &str = "## Code map";

/// Checks the map in `text` against the packages' directories; `exists` answers for any path of the workspace.
pub(super) fn check(text: &str, packages: &[&str], exists: impl Fn(&str) -> bool) -> Vec<Finding> {
    let paths: Vec<_> = paths(text).collect();
    let mut findings = Vec::new();
    for (line, path) in &paths {
        if !exists(path.trim_end_matches('*').trim_end_matches('/')) {
            let problem = format!("the map names `{path}`, which does not exist");
            findings.push(Finding::new(PATH, *line, problem, "correct or remove it"));
        }
    }
    let heading = text.lines().position(|line| line == HEADING).map_or(1, |index| index + 1);
    for package in packages {
        if !paths.iter().any(|(_line, path)| covers(path, package)) {
            let problem = format!("the map does not name `{package}`");
            findings.push(Finding::new(PATH, heading, problem, "say in the map what it owns"));
        }
    }
    findings
}

/// The paths in backquotes in the first column of the map's table, with their lines.
fn paths(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().skip_while(|(_, line)| *line != HEADING).skip(1);
    lines.take_while(|(_, line)| !line.starts_with("## ")).flat_map(|(line_idx, line)| {
        let column = line.strip_prefix('|').and_then(|row| row.split('|').next()).unwrap_or_default();
        column.split('`').skip(1).step_by(2).map(move |path| (line_idx + 1, path))
    })
}

/// Whether `path` is the package, or `<directory>/*` and the package lies there.
fn covers(path: &str, package: &str) -> bool {
    let below = |directory| package.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'));
    path == package || path.strip_suffix("/*").is_some_and(below)
}

#[cfg(test)]
mod tests;
