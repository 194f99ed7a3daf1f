//! Updates from a configuration service, and what happens when it does not do its part.

use expect_test::expect;
use mainspring_core::Phase;
use mainspring_dynamic_config::updates_list;
use mainspring_testsuite::TestService;
use serde_json::json;

use crate::server::{Answer, ConfigService};
use crate::support::{Files, Orders, begin_with, check, limit, logged, running, shows, until};

/// The sections of a service that asks at this address.
fn sections(address: impl std::fmt::Display, store: &str, client: &str, updater: &str) -> String {
    format!(
        "        dynamic-config: {{updates-enabled: true{store}}}
        dynamic-config-client:
            config-url: http://{address}/
            service-name: orders
            http-timeout: 10s
            http-retries: 1
{client}
        dynamic-config-client-updater: {{update-interval: 20ms, update-jitter: 0s{updater}}}"
    )
}

fn begin(sections: &str) -> TestService {
    begin_with(updates_list(), &Files::default(), sections)
}

fn started(sections: &str) -> TestService {
    running(begin(sections))
}

fn values(limit: impl Into<serde_json::Value>, updated_at: &str) -> Answer {
    Answer::Json(json!({"configs": {"ORDERS_LIMIT": limit.into()}, "updated_at": updated_at}))
}

#[test]
fn the_first_update_is_there_before_anybody_loads_and_later_ones_follow() {
    let server = ConfigService::start(values(1, "t1"));
    let service = started(&sections(server.address, "", "            configs-stage: testing", ""));
    assert_eq!(service.component::<Orders>("orders").limit_at_load, 1);
    server.answers(values(2, "t2"));
    until("the change is there", || limit(&service) == 2);
    until("the answer's time is sent back", || {
        server.questions().iter().any(|question| question.body["updated_since"] == "t2")
    });
    let questions = server.questions();
    assert_eq!(questions[0].request_line, "POST /configs/values HTTP/1.1");
    let first = &questions[0].body;
    assert!(first["ids"].as_array().is_some_and(|ids| ids.contains(&json!("ORDERS_LIMIT"))), "{first}");
    assert_eq!((&first["service"], &first["stage_name"]), (&json!("orders"), &json!("testing")));
    assert_eq!(first.get("updated_since"), None, "the first question is about everything");
    assert_eq!(questions[1].body["updated_since"], "t1");
}

#[test]
fn the_stage_may_stand_in_a_file() {
    let (server, files) = (ConfigService::start(values(1, "t1")), Files::default());
    files.write("environment.json", r#"{"env_name": "testing", "region": "north"}"#);
    let in_file = sections(server.address, "", "            configs-stage-filepath: environment.json", "");
    let service = running(begin_with(updates_list(), &files, &in_file));
    assert_eq!(limit(&service), 1);
    assert_eq!(server.questions()[0].body["stage_name"], "testing");

    files.write("environment.json", "{}");
    let mut service = begin_with(updates_list(), &files, &in_file);
    let error = service.join().expect_err("there is no stage").to_string();
    expect!["cannot start `dynamic-config-client`: expected a JSON object with `env_name`, the name of the stage, in `environment.json`: missing field `env_name` at line 1 column 2; needed by `dynamic-config-client-updater` -> `dynamic-config-client`"].assert_eq(&error);
}

#[test]
fn what_is_not_to_be_stored_is_fetched_and_dropped() {
    let server = ConfigService::start(values(1, "t1"));
    let service =
        started(&sections(server.address, "", "", ", store-enabled: false, config-settings: false"));
    until("it asks again and again", || 2 < server.questions().len());
    assert_eq!(limit(&service), 100);
}

#[test]
fn what_changed_is_merged_and_what_was_removed_has_its_default_again() {
    let first = json!({"configs": {"ORDERS_LIMIT": 1, "ORDERS_NAMES": ["a"]}, "updated_at": "t1"});
    let server = ConfigService::start(Answer::Json(first));
    let service = started(&sections(server.address, ", defaults: {ORDERS_LIMIT: 50}", "", ""));
    server.answers(Answer::Json(json!({"configs": {}, "removed": ["ORDERS_LIMIT"], "updated_at": "t2"})));
    until("the default is back", || limit(&service) == 50);
    let names = service.handle().dynamic_config().snapshot();
    assert_eq!(names.get(&crate::support::ORDERS_NAMES).as_slice(), ["a"]);
}

#[test]
fn a_full_update_forgets_what_the_service_does_not_mention() {
    let server = ConfigService::start(values(1, "t1"));
    let service = started(&sections(server.address, "", "", ", full-update-interval: 0s"));
    server.answers(Answer::Json(json!({"configs": {}, "updated_at": "t2"})));
    until("the default is back", || limit(&service) == 100);
    assert!(server.questions().iter().all(|question| question.body.get("updated_since").is_none()));
}

#[test]
fn the_service_does_not_start_when_the_first_update_fails() {
    let server = ConfigService::start(Answer::Status(500));
    let mut service = begin(
        &sections(server.address, "", "            http-retries: 3", "")
            .replace("            http-retries: 1\n", ""),
    );
    let error = service.join().unwrap_err().to_string();
    expect!["cannot start `dynamic-config-client-updater`: ADDRESS answered with status 500"]
        .assert_eq(&error.replace(&server.address.to_string(), "ADDRESS"));
    assert_eq!(server.questions().len(), 3, "it is asked as often as `http-retries` says");
}

#[test]
fn the_service_waits_on_where_the_first_update_may_fail() {
    let server = ConfigService::start(Answer::Status(500));
    let service = begin(&sections(server.address, "", "", ", first-update-fail-ok: true"));
    until("it has been asked more than once", || 2 < server.questions().len());
    assert_eq!(service.handle().phase(), Phase::Starting);
    server.answers(values(3, "t1"));
    assert_eq!(running(service).component::<Orders>("orders").limit_at_load, 3);
}

#[test]
fn the_cache_stands_in_for_a_service_that_is_down() {
    let directory = tempfile::tempdir().unwrap();
    let store = format!(", fs-cache-path: '{}'", directory.path().join("cache.json").display());
    let server = ConfigService::start(values(4, "t1"));
    let address = server.address;
    started(&sections(address, &store, "", "")).stop();
    drop(server);
    let service = started(&sections(address, &store, "", ""));
    assert_eq!(service.component::<Orders>("orders").limit_at_load, 4);
    assert!(shows(&service, r#"config_last_reload_successful{component="dynamic-config"} 0"#));
}

#[test]
fn whatever_goes_wrong_later_the_values_stay_and_it_is_logged_once() {
    let server = ConfigService::start(values(1, "t1"));
    let service = started(
        &sections(server.address, "", "            http-timeout: 200ms", "")
            .replace("            http-timeout: 10s\n", ""),
    );
    let head = b"HTTP/1.1 200 OK\r\n";
    let too_large = [&head[..], b"content-length: 99999999\r\n\r\n", &vec![b' '; 9 << 20]].concat();
    let cut = [&head[..], b"content-length: 100\r\n\r\n{"].concat();
    let cases = [
        ("status 500", Answer::Status(500)),
        ("status 404", Answer::Status(404)),
        ("not understood", Answer::Json(json!({"configs": []}))),
        ("broke off", Answer::Raw(b"SSH-2.0-whatever\r\n".to_vec())),
        ("larger than", Answer::Raw(too_large)),
        ("broke off", Answer::Raw(cut)),
        ("no answer from", Answer::Silence),
        ("ORDERS_LIMIT: expected an integer", values("many", "t2")),
    ];
    for (text, answer) in cases {
        server.answers(answer);
        until(text, || is_last_failure(&service, text));
        let (asked, lines) = (server.questions().len(), logged(&service, "stays as it was"));
        until("it goes wrong again", || asked + 2 < server.questions().len());
        assert_eq!(limit(&service), 1, "{text}");
        assert_eq!(logged(&service, "stays as it was"), lines, "{text}");
    }
    assert!(shows(&service, r#"config_last_reload_successful{component="dynamic-config"} 0"#));

    server.answers(values(2, "t2"));
    until("it works again", || limit(&service) == 2);
    until("that is shown", || {
        shows(&service, r#"config_last_reload_successful{component="dynamic-config"} 1"#)
    });
    assert_eq!(service.handle().phase(), Phase::Running);
}

/// Whether the last failure that was logged speaks of this.
fn is_last_failure(service: &TestService, text: &str) -> bool {
    let records = service.handle().logging().recent(&mainspring_logging::RecentFilter::default());
    let records = records.iter().map(|record| serde_json::to_string(record).unwrap_or_default());
    let failures: Vec<_> = records.filter(|record| record.contains("stays as it was")).collect();
    failures.last().is_some_and(|record| record.contains(text))
}

#[test]
fn a_refused_change_is_asked_for_again() {
    let server = ConfigService::start(values(1, "t1"));
    let service = started(&sections(server.address, "", "", ""));
    server.answers(values("many", "t2"));
    until("it is refused", || is_last_failure(&service, "ORDERS_LIMIT"));
    let asked = server.questions().len();
    until("it is asked again", || asked + 1 < server.questions().len());
    assert_eq!(server.questions().last().unwrap().body["updated_since"], "t1");
}

#[test]
fn a_service_that_stops_waits_for_no_answer() {
    let server = ConfigService::start(values(1, "t1"));
    let service = started(&sections(server.address, "", "", ""));
    server.answers(Answer::Silence);
    let asked = server.questions().len();
    until("it waits for an answer", || asked < server.questions().len());
    service.stop();
}

#[test]
fn wrong_options_are_problems_of_the_configuration() {
    let sections = "        dynamic-config: {updates-enabled: true}
        dynamic-config-client: {config-url: 'https://x', service-name: a, http-timeout: 0s, http-retries: 0}
        dynamic-config-client-updater: {updates-sink: sink, update-interval: 0s, update-jitter: 1s}";
    let problems = check(updates_list(), &Files::default(), sections).unwrap_err();
    expect![[r#"
        test.yaml:7:45: dynamic-config-client.config-url: expected a URL such as `http://configs.example:8080`, found `https://x`
        test.yaml:7:89: dynamic-config-client.http-timeout: expected a duration from `1ms` to `1h`, found `0s`
        test.yaml:7:107: dynamic-config-client.http-retries: expected an integer from 1 to 100, found `0`
        test.yaml:8:55: dynamic-config-client-updater.updates-sink: unknown component `sink`; declared: `dynamic-config`, `dynamic-config-client`, `dynamic-config-client-updater`, `logging`, `orders`
        test.yaml:8:78: dynamic-config-client-updater.update-interval: expected a duration from `1ms` to `24h`, found `0s`
        test.yaml:8:97: dynamic-config-client-updater.update-jitter: expected a duration from `0s` to `0s`, found `1s`"#]].assert_eq(&problems.to_string());
    let sections =
        sections.replace("http-retries: 0", "http-retries: 1, configs-stage: a, configs-stage-filepath: b");
    let sections = sections.replace("update-jitter", "config-settings: true, update-jitter");
    let problems = check(updates_list(), &Files::default(), &sections).unwrap_err();
    expect![[r#"
        test.yaml:7:45: dynamic-config-client.config-url: expected a URL such as `http://configs.example:8080`, found `https://x`
        test.yaml:7:89: dynamic-config-client.http-timeout: expected a duration from `1ms` to `1h`, found `0s`
        test.yaml:7:152: dynamic-config-client.configs-stage-filepath: excludes `configs-stage`; name the stage in one of the two ways
        test.yaml:8:55: dynamic-config-client-updater.updates-sink: unknown component `sink`; declared: `dynamic-config`, `dynamic-config-client`, `dynamic-config-client-updater`, `logging`, `orders`
        test.yaml:8:78: dynamic-config-client-updater.update-interval: expected a duration from `1ms` to `24h`, found `0s`
        test.yaml:8:99: dynamic-config-client-updater.config-settings: must be `false`: the updater cannot be configured by what it fetches
        test.yaml:8:120: dynamic-config-client-updater.update-jitter: expected a duration from `0s` to `0s`, found `1s`"#]].assert_eq(&problems.to_string());
}
