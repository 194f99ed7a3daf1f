//! Sections as types: everything wrong is said at once, in the operator's words.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{FakeSurroundings, try_load};
use crate::{ByteSize, HumanDuration, Section, Violation, schema_of};

#[track_caller]
fn check<T: DeserializeOwned + JsonSchema + std::fmt::Debug>(text: &str, expect: Expect) {
    let root = try_load(text, &FakeSurroundings::default()).expect("the text loads");
    match root.with_path("it").read::<T>() {
        Ok(value) => expect.assert_eq(&format!("{value:?}")),
        Err(problems) => expect.assert_eq(&problems.to_string()),
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only read from text and shown")]
struct Consumer {
    /// Name of the consumer group. Members of one group share the partitions.
    group_id: String,
    /// Topics to read.
    #[schemars(length(min = 1, max = 3))]
    topics: Vec<String>,
    /// Most messages in one batch.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1_000_000))]
    max_batch_size: u32,
    /// Longest wait.
    #[serde(default)]
    poll_timeout: HumanDuration,
    #[serde(default)]
    buffer: ByteSize,
    #[serde(default)]
    auto_offset_reset: Reset,
    enabled: Option<bool>,
    retry: Option<Retry>,
}

fn one() -> u32 {
    1
}

#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Reset {
    /// From the first message kept.
    #[default]
    Earliest,
    /// From the next message.
    Latest,
    Error,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only read from text and shown")]
struct Retry {
    attempts: u8,
    #[serde(default)]
    factor: f64,
}

#[test]
fn a_valid_section_reads() {
    check::<Consumer>(
        "{group_id: g, topics: [a], poll_timeout: 250ms, buffer: 64KiB, retry: {attempts: 255, factor: 2}}",
        expect![[
            r#"Consumer { group_id: "g", topics: ["a"], max_batch_size: 1, poll_timeout: HumanDuration(250ms), buffer: ByteSize(65536), auto_offset_reset: Earliest, enabled: None, retry: Some(Retry { attempts: 255, factor: 2.0 }) }"#
        ]],
    );
}

#[test]
fn everything_wrong_is_said_at_once_in_order() {
    check::<Consumer>(
        "group: g\ntopics: []\nmax_batch_size: 0\npoll_timeout: abc\nbuffer: 1.5\nauto_offset_reset: erliest\n\
         enabled: 'true'\nretry:\n  attempts: 256\n  factor: fast\n  brokers: 1\n",
        expect![[r#"
            main.yaml:1:1: it: missing key `group_id` (Name of the consumer group)
            main.yaml:1:1: it: unknown key `group`; did you mean `group_id`?
            main.yaml:2:9: it.topics: expected at least 1 item, found 0
            main.yaml:3:17: it.max_batch_size: expected an integer from 1 to 1000000, found `0`
            main.yaml:4:15: it.poll_timeout: expected a duration such as `250ms`, found `abc`
            main.yaml:5:9: it.buffer: expected a size such as `64KiB`, found `1.5`
            main.yaml:6:20: it.auto_offset_reset: expected one of `error`, `earliest`, `latest`; found `erliest`; did you mean `earliest`?
            main.yaml:7:10: it.enabled: expected `true` or `false`, found the string `true`
            main.yaml:9:13: it.retry.attempts: expected an integer from 0 to 255, found `256`
            main.yaml:10:11: it.retry.factor: expected a number, found `fast`
            main.yaml:11:3: it.retry: unknown key `brokers`; known keys: `attempts`, `factor`"#]],
    );
}

#[test]
fn bounds_hold_on_both_sides() {
    let wrong = |max_batch_size: &str, topics: &str, expect| {
        check::<Consumer>(
            &format!("{{group_id: g, topics: {topics}, max_batch_size: {max_batch_size}}}"),
            expect,
        );
    };
    wrong(
        "1000001",
        "[a, b, c, d]",
        expect![[r#"
            main.yaml:1:23: it.topics: expected at most 3 items, found 4
            main.yaml:1:53: it.max_batch_size: expected an integer from 1 to 1000000, found `1000001`"#]],
    );
    wrong(
        "-1",
        "a",
        expect![[r#"
            main.yaml:1:23: it.topics: expected a list, found `a`
            main.yaml:1:42: it.max_batch_size: expected an integer from 1 to 1000000, found `-1`"#]],
    );
    wrong(
        "18446744073709551616",
        "[1, ~, {}]",
        expect![[r#"
            main.yaml:1:24: it.topics[0]: expected a string, found `1`; put it in quotes
            main.yaml:1:27: it.topics[1]: expected a string, found nothing
            main.yaml:1:30: it.topics[2]: expected a string, found a map
            main.yaml:1:51: it.max_batch_size: expected an integer from 1 to 1000000, found the string `18446744073709551616`"#]],
    );
    check::<Consumer>("[]", expect!["main.yaml:1:1: it: expected a map, found a list"]);
}

#[test]
fn an_absent_section_reads_as_an_empty_map() {
    check::<Consumer>(
        "",
        expect![[r#"
        main.yaml:1:1: it: missing key `group_id` (Name of the consumer group)
        main.yaml:1:1: it: missing key `topics` (Topics to read)"#]],
    );
    let problems = Section::empty("it").read::<Retry>().expect_err("attempts are needed");
    expect!["it: missing key `attempts`"].assert_eq(&problems.to_string());
    check::<BTreeMap<String, u8>>("", expect!["{}"]);
}

#[test]
fn nothing_reads_from_nothing_and_from_an_empty_map() {
    check::<()>("", expect!["()"]);
    check::<()>("{}", expect!["()"]);
    check::<()>("a: 1", expect!["main.yaml:1:1: it: unknown key `a`; there are no keys here"]);
    check::<()>("5", expect!["main.yaml:1:1: it: expected nothing, found `5`"]);
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
#[expect(dead_code, reason = "only read from text and shown")]
enum Sink {
    File { path: String },
    Socket { port: u16, host: String },
}

#[test]
fn tagged_enums_are_judged_by_their_tag() {
    check::<Sink>("{type: file, path: x}", expect![[r#"File { path: "x" }"#]]);
    check::<Sink>(
        "{type: socket, prot: 1, host: h}",
        expect![[r#"
        main.yaml:1:1: it: missing key `port`
        main.yaml:1:16: it: unknown key `prot`; did you mean `port`?"#]],
    );
    check::<Sink>(
        "{type: fiel}",
        expect![
            "main.yaml:1:8: it.type: expected one of `file`, `socket`; found `fiel`; did you mean `file`?"
        ],
    );
    check::<Sink>(
        "{path: x}",
        expect!["main.yaml:1:1: it: missing key `type`: expected one of `file`, `socket`"],
    );
    check::<Sink>("5", expect!["main.yaml:1:1: it: expected a map, found `5`"]);
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "only read from text and shown")]
enum Policy {
    Stop,
    Retry { attempts: u8 },
    Topic(String),
}

#[test]
fn enums_with_content_are_names_or_maps_with_one_key() {
    check::<Policy>("stop", expect!["Stop"]);
    check::<Policy>("retry: {attempts: 3}", expect!["Retry { attempts: 3 }"]);
    check::<Policy>("topic: dead", expect![[r#"Topic("dead")"#]]);
    check::<Policy>(
        "retry: {attempts: -1}",
        expect!["main.yaml:1:19: it.retry.attempts: expected an integer from 0 to 255, found `-1`"],
    );
    check::<Policy>(
        "stopp",
        expect!["main.yaml:1:1: it: expected `stop`; found `stopp`; did you mean `stop`?"],
    );
    check::<Policy>(
        "5",
        expect!["main.yaml:1:1: it: expected `stop` or a map with `retry` or a map with `topic`, found `5`"],
    );
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only read from text and shown")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[test]
fn untagged_enums_say_every_form() {
    check::<OneOrMany>("[a]", expect![[r#"Many(["a"])"#]]);
    check::<OneOrMany>("{}", expect!["main.yaml:1:1: it: expected a string or a list, found a map"]);
    check::<OneOrMany>("[{}]", expect!["main.yaml:1:2: it[0]: expected a string, found a map"]);
}

#[derive(Debug, Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only read from text and shown")]
struct Outer {
    name: String,
    #[serde(flatten)]
    retry: Retry,
    #[serde(flatten)]
    sink: Sink,
}

#[test]
fn flattened_types_are_one_closed_map() {
    check::<Outer>(
        "{name: n, attempts: 1, type: file, path: p}",
        expect![[
            r#"Outer { name: "n", retry: Retry { attempts: 1, factor: 0.0 }, sink: File { path: "p" } }"#
        ]],
    );
    check::<Outer>(
        "{nam: n, attempts: 1, type: file, path: p}",
        expect![[r#"
        main.yaml:1:1: it: missing key `name`
        main.yaml:1:2: it: unknown key `nam`; did you mean `name`?"#]],
    );
}

#[test]
fn maps_keep_their_keys_and_check_their_values() {
    check::<BTreeMap<String, Retry>>(
        "{a: {attempts: 1}, b: {}}",
        expect!["main.yaml:1:20: it.b: missing key `attempts`"],
    );
    check::<BTreeMap<i32, u8>>("{1: 2, -3: 4}", expect!["{-3: 4, 1: 2}"]);
    check::<BTreeMap<i32, u8>>(
        "{x: 2, 1: y}",
        expect!["main.yaml:1:11: it.1: expected an integer from 0 to 255, found `y`"],
    );
}

#[derive(Debug, Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only read from text and shown")]
struct Address {
    #[schemars(with = "String")]
    ip: std::net::IpAddr,
}

#[test]
fn what_only_deserializing_sees_has_a_place_too() {
    check::<Vec<Address>>(
        "[{ip: '::1'}, {ip: here}]",
        expect!["main.yaml:1:20: it[1].ip: invalid IP address syntax"],
    );
}

#[test]
fn long_values_are_cut() {
    let text = format!("'{}'", "x".repeat(100));
    check::<bool>(
        &text,
        expect![
            "main.yaml:1:1: it: expected `true` or `false`, found `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…`"
        ],
    );
}

#[test]
fn schemas_are_closed() {
    let schema = schema_of::<Retry>();
    assert_eq!(schema["additionalProperties"], false);
    let schema = schema_of::<Outer>();
    assert_eq!(schema["unevaluatedProperties"], false);
    assert!(schema["oneOf"][0].get("additionalProperties").is_none());
    let schema = schema_of::<BTreeMap<String, Retry>>();
    assert_eq!(schema["$defs"]["Retry"]["additionalProperties"], false);
    assert_eq!(schema_of::<Consumer>()["properties"]["poll_timeout"]["default"], "0s");
}

#[derive(Debug, Deserialize, JsonSchema)]
#[expect(dead_code, reason = "one key is only there to be out of bounds")]
struct Bounded {
    #[schemars(extend("formatMinimum" = "10ms", "formatMaximum" = "1h"))]
    wait: HumanDuration,
    #[schemars(extend("formatMinimum" = "1KiB"))]
    size: Option<ByteSize>,
    #[serde(default)]
    #[schemars(range(min = 1))]
    count: u32,
}

fn rules(bounded: &Bounded) -> Vec<Violation> {
    let limit = bounded.wait < HumanDuration::from_secs(1);
    let wait = limit.then(|| Violation::new("wait", "must be at least a second"));
    let count = (bounded.count == 7).then(|| Violation::new("count", "must not be `7`"));
    let odd = (bounded.count % 2 == 1).then(|| Violation::new("count", "must be even"));
    wait.into_iter().chain(count).chain(odd).collect()
}

#[track_caller]
fn check_rules(text: &str, expected: Expect) {
    let root = try_load(text, &FakeSurroundings::default()).expect("the text loads");
    let problems = match root.read_with(rules) {
        Ok(_) => String::new(),
        Err(problems) => problems.to_string(),
    };
    expected.assert_eq(&problems);
}

#[test]
fn durations_and_sizes_have_the_bounds_of_their_schema() {
    check_rules("{wait: 1h, size: 1KiB, count: 2}", expect![""]);
    check_rules("{wait: 1s, size: null, count: 2}", expect![""]);
    check_rules(
        "{wait: 3601s, size: 1023, count: 2}",
        expect![[r#"
        main.yaml:1:8: wait: expected a duration from `10ms` to `1h`, found `3601s`
        main.yaml:1:21: size: expected a size of at least `1KiB`, found `1023`"#]],
    );
    check_rules(
        "{wait: soon, size: large, count: 2}",
        expect![[r#"
            main.yaml:1:8: wait: expected a duration such as `250ms`, found `soon`
            main.yaml:1:20: size: expected a size such as `64KiB`, found `large`"#]],
    );
}

#[test]
fn rules_are_told_of_values_out_of_bounds_too_and_nothing_is_said_twice() {
    check_rules(
        "{wait: 1ms, count: 7}",
        expect![[r#"
            main.yaml:1:8: wait: expected a duration from `10ms` to `1h`, found `1ms`
            main.yaml:1:20: count: must be even
            main.yaml:1:20: count: must not be `7`"#]],
    );
    check_rules(
        "{wait: 100ms, count: 0}",
        expect![[r#"
        main.yaml:1:8: wait: must be at least a second
        main.yaml:1:22: count: expected an integer from 1 to 4294967295, found `0`"#]],
    );
    // The default of a misspelt key would be complained of.
    check_rules(
        "{wait: 100ms, cuont: 7}",
        expect!["main.yaml:1:15: unknown key `cuont`; did you mean `count`?"],
    );
}
