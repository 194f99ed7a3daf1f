//! Walking a configuration, and where the problems of its readers point.

use expect_test::{Expect, expect};

use super::{FakeSurroundings, try_load};
use crate::{Section, Violation, nearest};

const TEXT: &str = "a:\n  b: [x, {c: 1}]\n  dotted.key: {d: 2}\n  n: ~\nflag: true\n";

fn root() -> Section {
    try_load(TEXT, &FakeSurroundings::default()).expect("loads")
}

#[track_caller]
fn check_problem(path: &str, expect: Expect) {
    let section = root().get("a").expect("there").with_path("shown");
    expect.assert_eq(&section.violation(Violation::new(path, "bad")).to_string());
}

#[test]
fn problems_point_at_the_value_or_at_the_nearest_key_around_it() {
    check_problem("", expect!["main.yaml:2:3: shown: bad"]);
    check_problem("b", expect!["main.yaml:2:6: shown.b: bad"]);
    check_problem("b[0]", expect!["main.yaml:2:7: shown.b[0]: bad"]);
    check_problem("b[1].c", expect!["main.yaml:2:14: shown.b[1].c: bad"]);
    check_problem("b[2]", expect!["main.yaml:2:3: shown.b[2]: bad"]);
    check_problem("dotted.key.d", expect!["main.yaml:3:19: shown.dotted.key.d: bad"]);
    check_problem("missing.x", expect!["main.yaml:1:1: shown.missing.x: bad"]);
    check_problem("n", expect!["main.yaml:4:6: shown.n: bad"]);
}

#[test]
fn key_problems_point_at_the_key() {
    let section = root().get("a").and_then(|a| a.get("b")).expect("there");
    expect!["main.yaml:2:3: a.b: bad"].assert_eq(&section.key_problem("bad").to_string());
}

#[test]
fn an_empty_section_has_a_path_but_no_place() {
    let section = Section::empty("producer");
    assert!(section.is_null() && section.get("x").is_none());
    expect!["producer.x: bad"].assert_eq(&section.problem("x", "bad").to_string());
    let problem = section.key_problem("bad");
    assert_eq!((problem.file(), problem.line(), problem.column()), (None, None, None));
    assert_eq!((problem.path(), problem.message()), ("producer", "bad"));
}

#[test]
fn sections_give_what_they_hold() {
    let root = root();
    let a = root.get("a").expect("there");
    assert!(a.is_map() && !a.is_null() && a.get("n").is_some_and(|n| n.is_null()));
    assert_eq!(root.get("flag").and_then(|flag| flag.as_bool()), Some(true));
    let items = a.get("b").expect("there").items();
    assert_eq!(items[0].as_str(), Some("x"));
    assert_eq!(
        items[1].get("c").map(|c| (c.path().to_owned(), c.as_u64())),
        Some(("a.b[1].c".to_owned(), Some(1)))
    );
    let names: Vec<_> = a.entries().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["b", "dotted.key", "n"]);
}

#[test]
fn sections_can_do_without_keys() {
    let a = root().get("a").expect("there").without(&["b", "nope"]);
    let names: Vec<_> = a.entries().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["dotted.key", "n"]);
    expect!["main.yaml:1:1: a: bad"].assert_eq(&a.key_problem("bad").to_string());
}

#[test]
fn debug_shows_no_values() {
    let section = root().get("a").expect("there");
    expect![[r#"Section { path: "a", place: Some("main.yaml:1:1"), .. }"#]]
        .assert_eq(&format!("{section:?}"));
}

#[test]
fn sections_cross_threads() {
    fn is_send_and_sync<T: Send + Sync + Clone>() {}
    is_send_and_sync::<Section>();
}

#[test]
fn only_near_names_are_suggested() {
    let known = ["group_id", "max_batch_size", "topics", "poll_timeout"];
    assert_eq!(nearest("group", known), Some("group_id"));
    assert_eq!(nearest("max_batch_sise", known), Some("max_batch_size"));
    assert_eq!(nearest("Poll-Timeout", known), Some("poll_timeout"));
    assert_eq!(nearest("brokers", known), None);
    assert_eq!(nearest("", known), None);
    assert_eq!(nearest("x", []), None);
}
