//! The repository itself is tidy, and the report is readable.

use super::*;

#[test]
fn repository_is_tidy() {
    let findings = findings(crate::root()).unwrap();
    assert!(findings.is_empty(), "{}", report(&findings));
}

#[test]
fn report_names_place_problem_and_fix() {
    let findings = [Finding::new("a/b.rs", 3, "something is wrong", "do something")];
    assert_eq!(report(&findings), "a/b.rs:3: something is wrong; do something\ntidy: 1 findings");
}

#[test]
fn ignored_directories_are_not_looked_at() {
    let files = files(crate::root()).unwrap();
    let is_in = |name: &str| files.iter().any(|file| file.starts_with(crate::root().join(name)));
    assert!(is_in("tests") && is_in(".cargo"));
    assert!(!is_in("target") && !is_in(".git") && !is_in(".cache"));
}
