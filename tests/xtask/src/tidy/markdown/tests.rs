//! One document in, its dead links out; only `README.md` and `docs/` exist.

use super::*;

#[track_caller]
fn check_dead(text: &str, expected: &[&str]) {
    let dead: Vec<_> = check("a.md", text, |target| ["README.md", "docs/"].contains(&target))
        .iter()
        .map(|finding| finding.problem.clone())
        .collect();
    let expected: Vec<_> =
        expected.iter().map(|target| format!("link to `{target}`, which does not exist")).collect();
    assert_eq!(dead, expected);
}

#[test]
fn existing_file_may_be_linked() {
    check_dead("See [this](README.md), [a part](README.md#part \"Title\") and [those](docs/).", &[]);
}

#[test]
fn missing_file_is_found_with_its_neighbours() {
    check_dead(
        "[a](README.md) [b](missing.md) [c](docs/missing.md#part)",
        &["missing.md", "docs/missing.md#part"],
    );
}

#[test]
fn pages_headings_and_items_are_not_files() {
    check_dead("[a](https://example.org) [b](#part) [c](crate::Item) [d](mailto:someone)", &[]);
}

#[test]
fn code_is_not_read() {
    check_dead("```text\n[a](missing.md)\n```\n[b](gone.md)", &["gone.md"]);
}
