//! Sources and a list in, names without a test out.

use super::*;

#[track_caller]
fn check_missing(text: &str, expected: &[&str]) {
    let source =
        "#[test]\nfn a_guard_that_is_there() {\n}\n    async fn another_one_that_is_there<T>(of: T) {}\n";
    let functions = functions(source).map(str::to_owned).collect();
    let missing: Vec<_> = check(text, &functions).iter().map(|finding| finding.problem.clone()).collect();
    let expected: Vec<_> = expected.iter().map(|name| format!("there is no test `{name}`")).collect();
    assert_eq!(missing, expected);
}

#[test]
fn tests_that_exist_may_be_named() {
    check_missing("| defect | guard | `a.rs`: `a_guard_that_is_there`, `another_one_that_is_there` |", &[]);
}

#[test]
fn a_test_that_does_not_exist_is_found_with_its_neighbours() {
    check_missing(
        "| a | b | `a_guard_that_is_gone`, `a_guard_that_is_there` |\n| a | b | `one_more_that_is_gone` |",
        &["a_guard_that_is_gone", "one_more_that_is_gone"],
    );
}

#[test]
fn properties_errors_and_prose_are_no_tests() {
    check_missing("| `GROUP_ID_NOT_FOUND` in `fetch.queue.backoff.ms` | `max_callback_duration` | |", &[]);
    check_missing("Tests such as `a_guard_that_is_gone` are named by their file.", &[]);
}
