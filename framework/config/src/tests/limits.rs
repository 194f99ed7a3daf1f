//! Both sides of every bound, and the work that large configurations are.

use expect_test::expect;

use super::{FakeSurroundings, check_load, try_load};
use crate::parse::{DEPTH_MAX, KEY_BYTES_MAX, NODES_MAX, TEXT_BYTES_MAX};
use crate::{Source, work};

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

/// A configuration of about `5 * n` lines.
fn long(n: usize) -> String {
    let parts = (0..n).map(|idx| {
        format!("  part-{idx}:\n    wait: 10s\n    size: $size\n    name: part {idx}\n    topics: [a, b]\n")
    });
    format!("config_vars: vars.yaml\ncomponents:\n{}", parts.collect::<String>())
}

/// How much work it is to load and read a text, or to find everything wrong with it.
fn work(text: &str, vars: &str) -> usize {
    let world = FakeSurroundings::default().with_file("vars.yaml", vars);
    let read = || {
        let (root, mut problems) =
            crate::load_partly(&Source::new("main.yaml", text), &Default::default(), &world);
        problems.extend(root.without(&["config_vars"]).read::<Large>().err().into_iter().flatten());
        problems.extend(root.warnings());
        problems.len()
    };
    work::of(read).1
}

/// Ten times the text may be little more than ten times the work.
#[track_caller]
fn check_linear(text: impl Fn(usize) -> (String, String)) {
    let work = |n| {
        let (text, vars) = text(n);
        work(&text, &vars)
    };
    let (small, large) = (work(200), work(2_000));
    assert!(200 <= small && large <= 12 * small, "{small} steps, and {large} for ten times the text");
}

#[test]
fn the_work_grows_with_the_text() {
    check_linear(|n| (long(n), "size: 5".to_owned()));
}

#[test]
fn the_work_of_finding_problems_grows_with_the_text() {
    check_linear(|n| (long(n).replace("10s", "10x").replace("size: $", "szie: $"), "size: 5".to_owned()));
    check_linear(|n| (format!("components:\n  a: {{topics: [{}]}}", vec!["1"; n].join(", ")), String::new()));
    let merged = |n| (0..n).map(|idx| format!("  p{idx}: {{<<: *base, size: 1}}\n")).collect::<String>();
    check_linear(|n| {
        (format!("components:\n  p: &base {{wait: 1, size: 2, topics: []}}\n{}", merged(n)), String::new())
    });
}

/// What was meant is looked for among all the names, so there is an end to looking.
#[test]
fn the_work_of_guessing_names_is_bounded() {
    let vars = |n| (0..n).map(|idx| format!("unused{idx}: 1\n")).collect::<String>();
    let uses = |n| (0..n).map(|idx| format!("  - $unknown{idx}\n")).collect::<String>();
    let work = work(&format!("config_vars: vars.yaml\nlist:\n{}", uses(10_000)), &vars(10_000));
    assert!(work < 2_000_000, "{work} steps");
}

/// Violations of a typed configuration are located one by one.
#[test]
fn the_work_of_locating_a_violation_in_a_list_does_not_depend_on_the_list() {
    let work = |n: usize| {
        let root =
            try_load(&format!("list: [{}]", vec!["1"; n].join(",")), &FakeSurroundings::default()).unwrap();
        work::of(|| root.violation(crate::Violation::new(format!("list[{}]", n - 1), "bad"))).1
    };
    assert!(work(10_000) < work(100) + 50, "{} and {} steps", work(100), work(10_000));
}

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[expect(dead_code, reason = "only read from text")]
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

#[test]
fn the_length_of_a_key_is_bounded() {
    let world = FakeSurroundings::default();
    let key = "k".repeat(KEY_BYTES_MAX);
    assert!(try_load(&format!("? {key}\n: 1"), &world).is_ok());
    check_load(
        &format!("a:\n  ? {key}k\n  : 1"),
        &world,
        expect!["main.yaml:2:5: a: this key has 1025 bytes; the limit is 1024"],
    );
}

#[test]
fn the_depth_of_what_is_substituted_is_bounded_where_it_is_written() {
    let world = FakeSurroundings::default().with_file("vars.yaml", format!("deep: {}", nested(DEPTH_MAX)));
    check_load(
        "config_vars: vars.yaml\na: 1",
        &world,
        expect!["vars.yaml:1:70: nested deeper than 64 levels"],
    );
}

#[test]
fn merges_cannot_multiply_what_aliases_may_not() {
    let mut text = "a0: &a0 {k: lol}\n".to_owned();
    for idx in 1..8 {
        let keys = (0..10).map(|key| format!("k{key}: *a{}", idx - 1)).collect::<Vec<_>>().join(", ");
        text += &format!("a{idx}: &a{idx} {{<<: *a{}, {keys}}}\n", idx - 1);
    }
    check_load(
        &text,
        &FakeSurroundings::default(),
        expect!["main.yaml:7:23: a6.k0: more than 500000 values with all aliases written out"],
    );
}

#[test]
fn variables_cannot_multiply_what_aliases_may_not() {
    let mut vars = "a0: &a0 lol\n".to_owned();
    for idx in 1..8 {
        vars += &format!("a{idx}: &a{idx} [{}]\n", vec![format!("*a{}", idx - 1); 10].join(", "));
    }
    let world = FakeSurroundings::default().with_file("vars.yaml", vars);
    check_load(
        "config_vars: vars.yaml\nx: $a7\n",
        &world,
        expect!["vars.yaml:7:25: a6[3]: more than 500000 values with all aliases written out"],
    );
}
