//! Links in Markdown lead somewhere.

use super::Finding;

/// Checks the relative links of a Markdown file; `exists` answers for a path relative to the file's directory.
pub(super) fn check(path: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut in_code = false;
    for (line_idx, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for target in targets(line).filter(|target| is_file(target)) {
            let file = target.split('#').next().unwrap_or_default();
            if !exists(file) {
                let problem = format!("link to `{target}`, which does not exist");
                findings.push(Finding::new(path, line_idx + 1, problem, "correct or remove it"));
            }
        }
    }
    findings
}

/// What stands between `](` and `)`, without a title.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| {
        let (target, _after) = rest.split_once(')')?;
        target.split_whitespace().next()
    })
}

/// Whether a target is a file of the repository, rather than a page, a heading or an item of rustdoc.
fn is_file(target: &str) -> bool {
    !(target.contains(':') || target.starts_with('#'))
}

#[cfg(test)]
mod tests;
