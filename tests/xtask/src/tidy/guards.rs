//! The list of librdkafka's defects names tests that exist.

use std::collections::BTreeSet;

use super::Finding;

/// The list.
pub(super) const PATH: &str = "docs/librdkafka-defects.md";

/// Names of tests say something, so they have at least so many words; names of properties and errors in the list have fewer,
/// or capitals.
const WORDS_MIN: usize = 5;

/// The functions of a source file.
pub(super) fn functions(source: &str) -> impl Iterator<Item = &str> {
    let definitions = source.lines().filter_map(|line| line.trim_start().split_once("fn "));
    definitions.filter_map(|(_, rest)| rest.split(['(', '<']).next())
}

/// Complains of names in the list that no function has.
pub(super) fn check(text: &str, functions: &BTreeSet<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line_idx, line) in text.lines().enumerate().filter(|(_, line)| line.starts_with('|')) {
        for name in line.split('`').skip(1).step_by(2).filter(|name| is_test(name)) {
            if !functions.contains(name) {
                let problem = format!("there is no test `{name}`");
                findings.push(Finding::new(PATH, line_idx + 1, problem, "name the one that shows the guard"));
            }
        }
    }
    findings
}

fn is_test(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    WORDS_MIN <= name.split('_').count() && name.bytes().all(is_word)
}

#[cfg(test)]
mod tests;
