//! Both sides of every bound, and the time large configurations take.

use std::time::{Duration, Instant};

use expect_test::expect;

use super::{FakeSurroundings, check_load, try_load};
use crate::parse::{DEPTH_MAX, NODES_MAX, TEXT_BYTES_MAX};

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

#[test]
fn nesting_is_bounded() {
    let world = FakeSurroundings::default();
    assert!(try_load(&nested(DEPTH_MAX), &world).is_ok());
    check_load(&nested(DEPTH_MAX + 1), &world, expect!["main.yaml:1:65: nested deeper than 64 levels"]);
    let by_alias = format!("a: &a {}\nb: [*a]", nested(DEPTH_MAX - 1));
    check_load(&by_alias, &world, expect!["main.yaml:2:5: nested deeper than 64 levels"]);
}

#[test]
fn the_size_of_a_text_is_bounded() {
    let world = FakeSurroundings::default();
    let text = format!("a: {}", "x".repeat(TEXT_BYTES_MAX - 3));
    assert!(try_load(&text, &world).is_ok());
    check_load(
        &format!("{text}x"),
        &world,
        expect!["main.yaml:1:1: the text has 4194305 bytes; the limit is 4194304"],
    );
}

#[test]
fn a_billion_laughs_are_counted_not_written_out() {
    let mut text = "a0: &a0 lol\n".to_owned();
    for idx in 1..10 {
        let alias = format!("*a{}", idx - 1);
        text += &format!("a{idx}: &a{idx} [{}]\n", vec![alias; 10].join(", "));
    }
    check_load(
        &text,
        &FakeSurroundings::default(),
        expect!["main.yaml:7:25: a6[3]: more than 500000 values with all aliases written out"],
    );
}

#[test]
fn variables_are_counted_too() {
    let list = format!("list: [{}]\n", vec!["1"; 999].join(","));
    let world = FakeSurroundings::default().with_file("vars.yaml", list);
    let uses = |n| format!("config_vars: vars.yaml\nuses: [{}]\n", vec!["$list"; n].join(","));
    assert!(try_load(&uses(NODES_MAX / 1000 - 1), &world).is_ok());
    check_load(
        &uses(NODES_MAX / 1000 + 1),
        &world,
        expect!["main.yaml:2:3008: more than 500000 values with all variables substituted"],
    );
}

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
struct Large {
    components: std::collections::BTreeMap<String, Part>,
}

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[expect(dead_code, reason = "only read from text")]
struct Part {
    wait: crate::HumanDuration,
    size: u32,
    name: Option<String>,
    topics: Vec<String>,
}

/// The promise is "well under a second"; the bound leaves room for a busy machine.
#[test]
fn ten_thousand_lines_take_no_time() {
    let mut text = "components:\n".to_owned();
    for idx in 0..2_000 {
        text += &format!(
            "  part-{idx}:\n    wait: 10s\n    size: 5\n    name: part number {idx}\n    topics: [a, b]\n"
        );
    }
    assert!(10_000 < text.lines().count());
    let start = Instant::now();
    let large: Large = try_load(&text, &FakeSurroundings::default()).expect("loads").read().expect("reads");
    assert_eq!(large.components.len(), 2_000);
    assert!(start.elapsed() < Duration::from_secs(5), "took {:?}", start.elapsed());
}
