//! What is shown of a configuration in force, and that it loads again.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::try_load;
use crate::{ByteSize, FakeSurroundings, HumanDuration, Section, effective_yaml, schema_of};

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Service {
    port: u16,
    #[serde(default = "second")]
    timeout: HumanDuration,
    #[serde(default)]
    limits: Limits,
    name: Option<String>,
    #[serde(default)]
    topics: Vec<String>,
    #[serde(default)]
    listeners: BTreeMap<String, Limits>,
    sink: Option<Sink>,
    #[serde(default)]
    db_password: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Limits {
    #[serde(default = "kib")]
    size: ByteSize,
    #[serde(default)]
    strict: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { size: kib(), strict: false }
    }
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Sink {
    File {
        path: String,
        #[serde(default)]
        append: bool,
    },
    Null {},
}

fn second() -> HumanDuration {
    HumanDuration::from_secs(1)
}

fn kib() -> ByteSize {
    ByteSize::new(1024)
}

/// Shows a text in force; what is shown loads again, to the same service.
#[track_caller]
fn check(text: &str, world: &FakeSurroundings, expected: Expect) {
    let root = try_load(text, world).unwrap();
    let shown = effective_yaml(&root, &schema_of::<Service>());
    expected.assert_eq(&shown);
    let again = try_load(&shown, world).unwrap();
    if !shown.contains("*****") {
        assert_eq!(again.read::<Service>().unwrap(), root.read::<Service>().unwrap());
    }
    assert_eq!(values(&effective_yaml(&again, &schema_of::<Service>())), values(&shown));
}

/// The lines without their comments.
fn values(shown: &str) -> Vec<&str> {
    shown.lines().map(|line| line.split(" # ").next().unwrap()).collect()
}

#[test]
fn defaults_are_filled_in_at_every_depth() {
    check(
        "port: 80\nlimits: {strict: true}\nlisteners: {main: {}, other: {size: 2KiB}}\n",
        &FakeSurroundings::default(),
        expect![[r#"
            port: 80 # main.yaml:1:7
            limits:
                strict: true # main.yaml:2:18
                size: 1KiB # default
            listeners:
                main:
                    size: 1KiB # default
                    strict: false # default
                other:
                    size: 2KiB # main.yaml:3:37
                    strict: false # default
            db_password: "" # default
            name: null # not set
            sink: null # not set
            timeout: 1s # default
            topics: [] # default
        "#]],
    );
}

#[test]
fn origins_are_told_and_secrets_are_not_shown() {
    let world = FakeSurroundings::default()
        .with_env("PORT", "8187")
        .with_file("name.txt", "orders")
        .with_file("vars.yaml", "wait: 5s\npassword: hunter2\nport#env: PORT\n");
    check(
        "config_vars: vars.yaml\nport: $port\nname#file: name.txt\ntimeout: $wait\ndb_password: hunter2\n\
         limits: {size#env: UNSET, size#fallback: 4KiB}\n",
        &world,
        expect![[r#"
            port#env: PORT # main.yaml:2:7: `$port`, an environment variable, not shown
            name#file: name.txt # main.yaml:3:12: a file, not shown
            timeout: 5s # main.yaml:4:10: value of `$wait` from vars.yaml:1:7
            db_password: "*****" # main.yaml:5:14, masked
            limits:
                size: 4KiB # fallback, main.yaml:6:42
                strict: false # default
            listeners: {} # default
            sink: null # not set
            topics: [] # default
        "#]],
    );
    check(
        "port#env: PORT\ntopics: [$password]\nconfig_vars: vars.yaml",
        &world,
        expect![[r#"
            port#env: PORT # main.yaml:1:11: an environment variable, not shown
            topics:
                - "*****" # main.yaml:2:10: value of `$password` from vars.yaml:2:11, masked
            db_password: "" # default
            limits:
                size: 1KiB # default
                strict: false # default
            listeners: {} # default
            name: null # not set
            sink: null # not set
            timeout: 1s # default
        "#]],
    );
}

#[test]
fn the_branch_that_was_chosen_has_its_own_defaults() {
    check(
        "port: 80\nsink: {kind: file, path: '@null'}\n",
        &FakeSurroundings::default(),
        expect![[r#"
            port: 80 # main.yaml:1:7
            sink:
                kind: file # main.yaml:2:14
                path: "@null" # main.yaml:2:26
                append: false # default
            db_password: "" # default
            limits:
                size: 1KiB # default
                strict: false # default
            listeners: {} # default
            name: null # not set
            timeout: 1s # default
            topics: [] # default
        "#]],
    );
}

#[test]
fn strings_that_look_like_something_else_stay_strings() {
    check(
        "port: 80\nname: 'no'\ntopics: ['007', 'a: b', 'it''s #1', \"two\\nlines\", '', '*x', '^a.*', 'null', '1e3']\n",
        &FakeSurroundings::default(),
        expect![[r#"
            port: 80 # main.yaml:1:7
            name: "no" # main.yaml:2:7
            topics:
                - "007" # main.yaml:3:10
                - "a: b" # main.yaml:3:17
                - "it's #1" # main.yaml:3:25
                - "two\nlines" # main.yaml:3:37
                - "" # main.yaml:3:51
                - "*x" # main.yaml:3:55
                - "^a.*" # main.yaml:3:61
                - "null" # main.yaml:3:69
                - "1e3" # main.yaml:3:77
            db_password: "" # default
            limits:
                size: 1KiB # default
                strict: false # default
            listeners: {} # default
            sink: null # not set
            timeout: 1s # default
        "#]],
    );
}

#[test]
fn nothing_is_shown_of_items_from_the_environment() {
    let world = FakeSurroundings::default().with_env("T", "hunter2").with_file("v.yaml", "t#env: T");
    let root: Section = try_load("config_vars: v.yaml\nport: 1\ntopics: [$t, b]\n", &world).unwrap();
    let shown = effective_yaml(&root, &schema_of::<Service>());
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(
        shown.contains("- \"*****\" # main.yaml:3:10: value of `$t` from environment variable `T`, masked"),
        "{shown}"
    );
}
