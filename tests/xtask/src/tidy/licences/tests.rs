//! Expressions and lock files in, findings out.

use super::*;

const ALLOWED: &[&str] = &["MIT", "Apache-2.0"];

#[track_caller]
fn check_expression(expression: &str, expected: bool) {
    assert_eq!(check("it", Some(expression), ALLOWED).is_none(), expected, "{expression}");
}

#[test]
fn one_allowed_choice_is_enough() {
    check_expression("MIT", true);
    check_expression("GPL-3.0 OR MIT", true);
    check_expression("Unlicense/MIT", true);
    check_expression("Apache-2.0 WITH LLVM-exception OR Apache-2.0", true);
    check_expression("GPL-3.0", false);
    check_expression("GPL-3.0 OR LGPL-3.0", false);
}

#[test]
fn every_demand_has_to_be_met() {
    check_expression("MIT AND Apache-2.0", true);
    check_expression("MIT AND GPL-3.0", false);
    check_expression("GPL-3.0 OR MIT AND Apache-2.0", true);
    check_expression("(GPL-3.0 OR MIT) AND Apache-2.0", true);
    check_expression("(MIT OR Apache-2.0) AND GPL-3.0", false);
    check_expression("MIT WITH strange-exception", false);
}

#[test]
fn expression_that_cannot_be_read_is_not_allowed() {
    for expression in ["", "(MIT", "MIT)", "MIT Apache-2.0", "MIT AND", "see LICENCE"] {
        check_expression(expression, false);
    }
}

#[test]
fn missing_licence_is_found() {
    let finding = check("it", None, ALLOWED).unwrap();
    assert_eq!(finding.problem, "`it` names no licence");
}

#[test]
fn allowed_licences_are_those_of_cargo_deny() {
    assert_eq!(allowed("# Why.\n[licenses]\nallow = [\"MIT\", \"Zlib\"]\nunused = \"x\"\n"), ["MIT", "Zlib"]);
    assert_eq!(allowed(""), [""; 0]);
}

#[test]
fn package_from_elsewhere_is_found() {
    let lock = |source: &str| format!("[[package]]\nname = \"it\"\nsource = \"{source}\"\n");
    assert_eq!(check_sources(&lock(CRATES_IO)), []);
    let found = check_sources(&lock("git+https://example.org/it#1"));
    assert_eq!(
        found[0].to_string(),
        "Cargo.lock:3: a package comes from `git+https://example.org/it#1`; take it from crates.io"
    );
}
