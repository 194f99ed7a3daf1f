//! Variables, snapshots and subscriptions, and how a service uses them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use expect_test::expect;
use mainspring_config::{HumanDuration, Section, Source, Violation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dynamic::{DynamicConfig, Variable, Variables};

#[derive(Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Limits {
    /// Most at once.
    #[schemars(range(min = 1, max = 10))]
    at_once: Option<u32>,
    #[serde(default)]
    wait: HumanDuration,
}

static LIMIT: Variable<u32> = Variable::new("LIMIT", || 100).with_check(|limit| match *limit {
    13 => vec![Violation::new("", "expected luck")],
    _ => Vec::new(),
});
static NAMES: Variable<Vec<String>> = Variable::new("NAMES", Vec::new);
static BY_CLIENT: Variable<BTreeMap<String, Limits>> = Variable::new("LIMITS_BY_CLIENT", BTreeMap::new);

fn variables() -> Variables {
    Variables::of(&[&LIMIT, &NAMES, &BY_CLIENT])
}

fn layer(text: &str) -> Section {
    mainspring_config::parse(&Source::new("values.json", text)).unwrap()
}

fn assert_send_and_sync<T: Send + Sync>() {}

#[test]
fn handles_may_be_shared_between_threads() {
    assert_send_and_sync::<DynamicConfig>();
    assert_send_and_sync::<super::Snapshot>();
    assert_send_and_sync::<super::Subscription>();
}

#[test]
fn a_snapshot_does_not_change_under_its_holder() {
    let config = DynamicConfig::new(variables());
    let before = config.snapshot();
    assert_eq!(config.store(&[&layer(r#"{"LIMIT": 5}"#)]).unwrap(), ["LIMIT"]);
    assert_eq!((*before.get(&LIMIT), *config.snapshot().get(&LIMIT)), (100, 5));
}

#[test]
fn the_last_layer_that_has_a_value_counts_and_none_means_the_default() {
    let config = DynamicConfig::new(variables());
    let (file, server) = (layer(r#"{"LIMIT": 5, "NAMES": ["a"]}"#), layer(r#"{"LIMIT": 6}"#));
    config.store(&[&file, &server]).unwrap();
    let both = config.snapshot();
    assert_eq!((*both.get(&LIMIT), both.get(&NAMES).as_slice()), (6, &["a".to_owned()][..]));
    assert_eq!(config.store(&[&server]).unwrap(), ["NAMES"]);
    assert!(config.snapshot().get(&NAMES).is_empty());
    assert_eq!(config.store(&[]).unwrap(), ["LIMIT"]);
    assert_eq!(*config.snapshot().get(&LIMIT), 100);
}

#[test]
fn one_wrong_value_refuses_all_and_every_problem_has_its_place() {
    let config = DynamicConfig::new(variables());
    let values = layer(
        r#"{
  "LIMIT": 13,
  "NAMES": "x",
  "LIMITS_BY_CLIENT": {"a": {"at_once": 11, "wait": "1 fortnight"}}
}"#,
    );
    let problems = config.store(&[&values]).unwrap_err();
    expect![[r#"
        values.json:2:12: LIMIT: expected luck
        values.json:3:12: NAMES: expected a list, found `x`
        values.json:4:41: LIMITS_BY_CLIENT.a.at_once: expected an integer from 1 to 10, found `11`
        values.json:4:53: LIMITS_BY_CLIENT.a.wait: expected a duration such as `250ms`, found `1 fortnight`"#]]
    .assert_eq(&problems.to_string());
    assert_eq!(*config.snapshot().get(&LIMIT), 100);
}

#[test]
fn unknown_names_are_passed_over_by_store_and_found_by_check() {
    let values = layer(r#"{"LIMITS": 1, "LIMIT": 2}"#);
    let config = DynamicConfig::new(variables());
    assert_eq!(config.store(&[&values]).unwrap(), ["LIMIT"]);
    expect!["values.json:1:2: LIMITS: unknown variable `LIMITS`; did you mean `LIMIT`?"]
        .assert_eq(&variables().check(&values).to_string());
}

#[test]
fn a_subscriber_is_told_at_once_and_then_of_each_change() {
    let config = DynamicConfig::new(variables());
    let told = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&told);
    let subscription = config.subscribe("test", move |diff| {
        let previous = diff.previous().map(|previous| *previous.get(&LIMIT));
        let changed = (diff.has_changed(&LIMIT), diff.has_changed(&NAMES));
        notes.lock().unwrap().push((previous, *diff.current().get(&LIMIT), changed));
    });
    assert_eq!(*told.lock().unwrap(), [(None, 100, (true, true))]);
    config.store(&[&layer(r#"{"LIMIT": 5}"#)]).unwrap();
    config.store(&[&layer(r#"{"LIMIT": 5, "ELSE": 1}"#)]).unwrap();
    assert_eq!(told.lock().unwrap()[1..], [(Some(100), 5, (true, false))], "no change, no call");
    drop(subscription);
    config.store(&[]).unwrap();
    assert_eq!(told.lock().unwrap().len(), 2);
}

#[test]
fn a_subscriber_to_a_variable_is_told_of_that_one_only() {
    let config = DynamicConfig::new(variables());
    let calls = Arc::new(Mutex::new(0));
    let count = Arc::clone(&calls);
    let _subscription = config.subscribe_to("test", &[&NAMES], move |_| *count.lock().unwrap() += 1);
    config.store(&[&layer(r#"{"LIMIT": 5}"#)]).unwrap();
    assert_eq!(*calls.lock().unwrap(), 1);
    config.store(&[&layer(r#"{"LIMIT": 5, "NAMES": ["a"]}"#)]).unwrap();
    assert_eq!(*calls.lock().unwrap(), 2);
}

#[test]
fn a_subscriber_that_panics_does_not_keep_others_from_being_told() {
    let config = DynamicConfig::new(variables());
    let _panics = config.subscribe("bad", |diff| assert!(diff.previous().is_none(), "on purpose"));
    let calls = Arc::new(Mutex::new(0));
    let count = Arc::clone(&calls);
    let _subscription = config.subscribe("good", move |_| *count.lock().unwrap() += 1);
    config.store(&[&layer(r#"{"LIMIT": 5}"#)]).unwrap();
    assert_eq!((*calls.lock().unwrap(), *config.snapshot().get(&LIMIT)), (2, 5));
}

#[test]
fn a_callback_may_drop_a_subscription() {
    let config = DynamicConfig::new(variables());
    let slot = Arc::new(Mutex::new(None));
    let own = Arc::clone(&slot);
    let subscription = config.subscribe("once", move |_| drop(own.lock().unwrap().take()));
    *slot.lock().unwrap() = Some(subscription);
    config.store(&[&layer(r#"{"LIMIT": 5}"#)]).unwrap();
    assert!(slot.lock().unwrap().is_none());
}

#[test]
fn two_variables_of_one_name_contradict_each_other_and_the_same_one_twice_does_not() {
    static OTHER: Variable<String> = Variable::new("LIMIT", String::new);
    assert_eq!(Variables::of(&[&LIMIT, &LIMIT, &OTHER]).contradictory(), ["LIMIT"]);
    assert!(Variables::of(&[&LIMIT, &LIMIT]).contradictory().is_empty());
}

#[test]
fn defaults_of_all_variables_are_known() {
    let defaults = serde_json::Value::from(variables().defaults());
    assert_eq!(defaults, serde_json::json!({"LIMIT": 100, "LIMITS_BY_CLIENT": {}, "NAMES": []}));
}
