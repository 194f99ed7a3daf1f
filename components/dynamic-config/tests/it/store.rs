//! Defaults, the file of defaults, updates and their cache.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use expect_test::expect;
use mainspring_core::{Component, ComponentList, Phase};
use mainspring_dynamic_config::{DynamicConfigComponent, DynamicConfigError, Update};
use mainspring_testsuite::TestService;
use serde_json::{Map, Value, json};

use crate::support::{Files, Orders, begin, check, limit, logged, running, shows, start, until};

fn values(json: Value) -> Map<String, Value> {
    let Value::Object(values) = json else { panic!("values are a map") };
    values
}

fn apply(service: &TestService, update: Update) -> Result<(), DynamicConfigError> {
    let component = service.component::<DynamicConfigComponent>(DynamicConfigComponent::DEFAULT_NAME);
    // What it logs belongs to the log of the service, as it would from a task of its own.
    let dispatch = service.handle().logging().dispatch();
    tracing::dispatcher::with_default(&dispatch, || service.block_on(component.apply(update)))
}

fn full(json: Value) -> Update {
    Update::Full(values(json))
}

fn loaded(service: &TestService) -> bool {
    service.handle().component::<DynamicConfigComponent>("dynamic-config").is_some()
}

#[test]
fn without_a_section_every_variable_is_what_the_code_says() {
    let service = start(&Files::default(), "");
    assert_eq!(limit(&service), 100);
    assert!(shows(&service, r#"config_reloads_total{component="dynamic-config",result="error"} 0"#));
}

#[test]
fn defaults_of_the_configuration_are_there_before_anybody_loads() {
    let service = start(&Files::default(), "        dynamic-config: {defaults: {ORDERS_LIMIT: 7}}");
    assert_eq!(service.component::<Orders>("orders").limit_at_load, 7);
}

#[test]
fn wrong_defaults_are_problems_of_the_configuration_with_their_places() {
    let sections = "        dynamic-config:
            defaults:
                ORDERS_LIMIT: many
                ORDER_NAMES: []
            defaults-path: defaults.json
            fs-cache-path: cache.json
            fs-task-processor: fs";
    let problems = check(ComponentList::new(), &Files::default(), sections).unwrap_err();
    expect![[r#"
        test.yaml:8:31: dynamic-config.defaults.ORDERS_LIMIT: expected an integer from 0 to 4294967295, found `many`
        test.yaml:9:30: dynamic-config.defaults.ORDER_NAMES: unknown variable `ORDER_NAMES`; did you mean `ORDERS_NAMES`?
        test.yaml:10:28: dynamic-config.defaults-path: excludes `defaults`; keep the values in one of the two places
        test.yaml:11:28: dynamic-config.fs-cache-path: there is nothing to keep without `updates-enabled: true`
        test.yaml:12:32: dynamic-config.fs-task-processor: unknown task processor `fs`; declared: `main-task-processor`"#]]
    .assert_eq(&problems.to_string());
}

#[test]
fn a_file_of_defaults_with_an_unknown_variable_keeps_the_service_from_starting() {
    let files = Files::default();
    files.write("defaults.json", r#"{"ORDERS_LIMITS": 1}"#);
    let error = begin(&files, "        dynamic-config: {defaults-path: defaults.json}").join().unwrap_err();
    expect!["cannot start `dynamic-config`: refused: defaults.json:1:2: ORDERS_LIMITS: unknown variable `ORDERS_LIMITS`; did you mean `ORDERS_LIMIT`?; needed by `orders` -> `dynamic-config`"]
        .assert_eq(&error.to_string());
}

#[test]
fn a_reload_reads_the_file_of_defaults_again_and_a_wrong_one_changes_nothing() {
    let files = Files::default();
    files.write("defaults.json", r#"{"ORDERS_LIMIT": 1}"#);
    let service = start(&files, "        dynamic-config: {defaults-path: defaults.json}");
    assert_eq!(limit(&service), 1);

    files.write("defaults.json", r#"{"ORDERS_LIMIT": 2}"#);
    service.handle().request_reload();
    until("the new value is there", || limit(&service) == 2);
    assert!(shows(&service, r#"config_last_reload_successful{component="dynamic-config"} 1"#));

    for wrong in [r#"{"ORDERS_LIMIT": -1}"#, r#"{"ORDERS_LIMIT": -1}"#, "{"] {
        files.write("defaults.json", wrong);
        let failures = failures(&service);
        service.handle().request_reload();
        until("the failure is counted", || self::failures(&service) == failures + 1);
        assert_eq!(limit(&service), 2);
    }
    assert!(shows(&service, r#"config_last_reload_successful{component="dynamic-config"} 0"#));
    until("both failures are logged", || logged(&service, "stays as it was") == 2);

    files.write("defaults.json", "{}");
    service.handle().request_reload();
    until("the default is back", || limit(&service) == 100);
    until("its end is logged", || logged(&service, "can be read again") == 1);
    assert_eq!(service.handle().phase(), Phase::Running);
}

fn failures(service: &TestService) -> u32 {
    let name = r#"config_reloads_total{component="dynamic-config",result="error"} "#;
    let metrics = service.metrics();
    metrics.lines().find_map(|line| line.strip_prefix(name)?.parse().ok()).expect("the counter is there")
}

#[test]
fn updates_are_refused_where_they_are_not_enabled() {
    let service = start(&Files::default(), "");
    let refused = apply(&service, full(json!({"ORDERS_LIMIT": 1})));
    assert!(matches!(refused, Err(DynamicConfigError::UpdatesDisabled)), "{refused:?}");
    assert_eq!(limit(&service), 100);
}

#[test]
fn those_who_need_the_first_update_wait_for_it() {
    let service = begin(
        &Files::default(),
        "        dynamic-config: {updates-enabled: true, defaults: {ORDERS_LIMIT: 7}}",
    );
    until("the store is loaded", || loaded(&service));
    until("the wait is told", || logged(&service, "is waiting for the first values") == 1);
    assert_eq!(service.handle().phase(), Phase::Starting);
    apply(&service, full(json!({"ORDERS_LIMIT": 8}))).unwrap();
    let service = running(service);
    assert_eq!(service.component::<Orders>("orders").limit_at_load, 8);
}

#[test]
fn a_stop_ends_the_wait_for_the_first_update() {
    let service = begin(&Files::default(), "        dynamic-config: {updates-enabled: true}");
    until("the store is loaded", || loaded(&service));
    service.stop();
}

#[test]
fn updates_lie_over_the_defaults_until_they_are_removed() {
    let sections = "        dynamic-config: {updates-enabled: true, defaults: {ORDERS_LIMIT: 7}}";
    let service = begin(&Files::default(), sections);
    until("the store is loaded", || loaded(&service));
    apply(&service, full(json!({"ORDERS_LIMIT": 8, "SOMEBODY_ELSES": {"a": 1}}))).unwrap();
    let service = running(service);
    let changed = values(json!({"ORDERS_NAMES": ["a"]}));
    apply(&service, Update::Incremental { changed, removed: Vec::new() }).unwrap();
    assert_eq!(limit(&service), 8, "what an update does not mention stays");
    let changed = values(json!({"ORDERS_LIMIT": "x"}));
    apply(&service, Update::Incremental { changed, removed: Vec::new() }).unwrap_err();
    assert_eq!(limit(&service), 8, "a wrong update changes nothing");
    let removed = vec!["ORDERS_LIMIT".to_owned()];
    apply(&service, Update::Incremental { changed: Map::new(), removed }).unwrap();
    assert_eq!(limit(&service), 7);
    apply(&service, full(json!({}))).unwrap();
    assert_eq!(limit(&service), 7);
}

#[test]
fn the_cache_gives_the_last_update_to_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache.json");
    let sections =
        format!("        dynamic-config: {{updates-enabled: true, fs-cache-path: '{}'}}", path.display());
    let first = begin(&Files::default(), &sections);
    until("the store is loaded", || loaded(&first));
    apply(&first, full(json!({"ORDERS_LIMIT": 8, "SOMEBODY_ELSES": 1}))).unwrap();
    running(first).stop();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    let cached: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(cached, json!({"ORDERS_LIMIT": 8}), "what nobody here knows is not kept");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file stays");

    let second = start(&Files::default(), &sections);
    assert_eq!(second.component::<Orders>("orders").limit_at_load, 8);
}

#[test]
fn a_cache_that_is_of_no_use_is_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    for (file, text) in [("cut.json", r#"{"ORDERS_LI"#), ("old.json", r#"{"ORDERS_LIMIT": "eight"}"#)] {
        let path = directory.path().join(file);
        fs::write(&path, text).unwrap();
        let sections =
            format!("        dynamic-config: {{updates-enabled: true, fs-cache-path: '{}'}}", path.display());
        let service = begin(&Files::default(), &sections);
        until("the store is loaded", || loaded(&service));
        until("a warning is logged", || logged(&service, "is passed over") == 1);
        apply(&service, full(json!({"ORDERS_LIMIT": 9}))).unwrap();
        assert_eq!(running(service).component::<Orders>("orders").limit_at_load, 9);
    }
}

#[test]
fn a_cache_that_cannot_be_written_costs_a_warning_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("missing").join("cache.json");
    let sections =
        format!("        dynamic-config: {{updates-enabled: true, fs-cache-path: '{}'}}", path.display());
    let service = begin(&Files::default(), &sections);
    until("the store is loaded", || loaded(&service));
    apply(&service, full(json!({"ORDERS_LIMIT": 9}))).unwrap();
    assert_eq!(limit(&service), 9);
    assert_eq!(logged(&service, "could not be written"), 1);
}
