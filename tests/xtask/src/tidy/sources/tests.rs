//! One file in, its findings out.

use super::*;

#[track_caller]
fn check_lines(path: &str, text: &str, expected: &[usize]) {
    let lines: Vec<_> = check(path, text).iter().map(|finding| finding.line).collect();
    assert_eq!(lines, expected);
}

#[test]
fn file_begins_with_its_purpose() {
    check_lines("a.rs", "//! Does it.\n", &[]);
    check_lines("a.rs", "#![doc = include_str!(\"guide.md\")]\n", &[]);
    check_lines("a.rs", "use std::fs;\n//! Does it.\n", &[1]);
    check_lines("a.rs", "", &[1]);
}

#[test]
fn file_has_at_most_800_lines() {
    check_lines("a.rs", &"//!\n".repeat(800), &[]);
    check_lines("a.rs", &"//!\n".repeat(801), &[801]);
}

#[test]
fn ignored_test_is_found() {
    check_lines("a.rs", "//!\n    #[ignore]\n", &[2]);
    check_lines("a.rs", "//!\n#[ignore = \"slow\"]\n", &[2]);
    check_lines("a.rs", "//!\n#[test] #[ignore]\nfn f() {}\n", &[2]);
    check_lines("a.rs", "//!\n#[cfg_attr(miri, ignore)]\n", &[2]);
    check_lines("a.rs", "//!\n#[cfg_attr(feature = \"ignore\", doc)]\n", &[]);
    check_lines("a.rs", "//! `#[ignore]` is banned.\n", &[]);
}

#[test]
fn expected_panic_is_found() {
    check_lines("a.rs", "//!\n#[should_panic]\n", &[2]);
    check_lines("a.rs", "//!\n#[test] #[should_panic(expected = \"x\")]\n", &[2]);
}

#[test]
fn opting_into_unsafe_belongs_to_the_island() {
    let text = format!("//!\n#![expect({UNSAFE_LINT}, reason = \"C\")]\n");
    check_lines("components/kafka-ffi/src/lib.rs", &text, &[]);
    check_lines("components/kafka/src/lib.rs", &text, &[2]);
}

#[test]
fn path_of_this_machine_is_found() {
    let found = |text: &str| check_paths("a.md", text, "/builds/this").len();
    assert_eq!(found("see /builds/this/docs"), 1);
    assert_eq!(found(&format!("cd {}someone", HOMES[0])), 1);
    assert_eq!(found("see docs/builds/this/docs and /builds/that/docs"), 0);
    assert_eq!(found(&format!("https://example.org{}page", HOMES[0])), 0);
}
