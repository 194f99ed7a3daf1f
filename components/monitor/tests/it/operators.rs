//! Log level, recent logs and rotation.

use std::fs;

use serde_json::Value;

use crate::services::{list, start};
use crate::support::{LISTENERS, Reply, Running, Settings, get, request};

const INITIAL: &str = "{\"current-log-level\":\"debug\",\"init-log-level\":\"debug\"}\n";
const CHANGED: &str = "{\"current-log-level\":\"error\",\"init-log-level\":\"debug\"}\n";

#[test]
fn the_log_level_is_told_changed_and_reset() {
    let service = start("");
    let tell = |target: &str| get(service.monitor(), &format!("/service/log-level{target}"));
    let put = |target: &str| request(service.monitor(), &format!("PUT /service/log-level{target}"), "", "");
    for target in ["", "/", "?logger=default", "/?logger=default"] {
        assert_eq!(answer(&tell(target)), (200, INITIAL.to_owned()), "{target}");
    }
    assert_eq!(answer(&put("/error")), (200, CHANGED.to_owned()));
    assert_eq!(answer(&tell("")), (200, CHANGED.to_owned()));
    assert_eq!(answer(&put("/RESET")).0, 400);
    assert_eq!(answer(&put("/reset?logger=default")), (200, INITIAL.to_owned()));
}

#[test]
fn a_wrong_level_or_logger_is_an_error_that_names_the_right_ones() {
    let service = start("");
    let ask = |target: &str| {
        let reply = request(service.monitor(), &target.replacen(' ', " /service/log-level", 1), "", "");
        (reply.status, message(&reply))
    };
    assert_eq!(ask("GET /debug"), (400, "use `PUT` to change the level to `debug`".to_owned()));
    assert_eq!(ask("PUT /"), (400, "the path must end in a level or in `reset`".to_owned()));
    let levels =
        "unknown level `loud`; expected `trace`, `debug`, `info`, `warning`, `error`, `critical` or `none`";
    assert_eq!(ask("PUT /loud"), (400, levels.to_owned()));
    assert_eq!(ask("GET ?logger=access"), (404, "unknown logger `access`; configured: `default`".to_owned()));
    assert_eq!(ask("PUT /debug?logger=access").0, 404);
    assert_eq!(ask("DELETE /debug").0, 405);
}

#[test]
fn recent_logs_are_filtered() {
    let service = start("");
    get(service.main(), "/nowhere");
    let logs = |query: &str| get(service.monitor(), &format!("/service/logs{query}"));
    let reply = logs("?component=server&text=Listening&limit=1");
    assert_eq!(reply.header("content-type"), Some("application/jsonl"));
    let line: Value = serde_json::from_slice(&reply.body).expect("one line is one object");
    assert_eq!((&line["text"], &line["listener"]), (&"Listening".into(), &"main".into()));
    let reply = logs("?format=json&level=warning");
    let records: Vec<Value> = serde_json::from_slice(&reply.body).expect("an array");
    let seen: Vec<_> = records.iter().map(|record| (&record["level"], &record["path"])).collect();
    assert_eq!(seen, [(&"WARNING".into(), &"/nowhere".into())]);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    for (query, refusal) in [
        ("?format=xml", "query parameter `format`: expected `json` or `jsonl`, found `xml`"),
        ("?limit=-1", "query parameter `limit`: invalid digit found in string"),
    ] {
        let reply = logs(query);
        assert_eq!((reply.status, message(&reply).as_str()), (400, refusal));
    }
}

#[test]
fn rotation_opens_the_files_anew() {
    let directory = tempfile::tempdir().expect("a directory");
    let (log, moved) = (directory.path().join("service.log"), directory.path().join("service.log.1"));
    let sections = format!("{LISTENERS}\n        fragile: {{}}");
    let settings = Settings { log_file: log.to_str().expect("a path is text"), ..Settings::default() };
    let service = Running::start_with(&list(), &sections, &settings);
    fs::rename(&log, &moved).expect("the log is there");
    let reply = request(service.monitor(), "POST /service/on-log-rotate", "", "");
    assert_eq!((reply.status, reply.text().as_str()), (200, ""));
    get(service.main(), "/after");
    service.stop().expect("it stops");
    assert!(fs::read_to_string(&log).expect("there is a new file").contains("/after"));
    assert!(!fs::read_to_string(&moved).expect("the old file stays").contains("/after"));
}

#[test]
fn only_post_rotates() {
    let service = start("");
    assert_eq!(get(service.monitor(), "/service/on-log-rotate").status, 405);
}

#[test]
fn nothing_of_the_monitor_is_on_the_main_listener() {
    let service = start("");
    for target in ["/metrics", "/service/monitor?format=json", "/health/live", "/service/log-level"] {
        assert_eq!(get(service.main(), target).status, 404, "{target}");
    }
}

fn answer(reply: &Reply) -> (u16, String) {
    (reply.status, reply.text())
}

fn message(reply: &Reply) -> String {
    let body: Value = serde_json::from_slice(&reply.body).expect("errors are JSON");
    body["message"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn the_readme_shows_a_config_that_is_right() {
    let readme = include_str!("../../README.md");
    let (_, block) = readme.split_once("```yaml\n").expect("there is a block");
    let (block, _) = block.split_once("```").expect("the block ends");
    let sections: String = block.lines().map(|line| format!("\n        {line}")).collect();
    let checked = crate::support::check(&list(), &format!("\n        fragile: {{}}{sections}"));
    assert!(checked.is_ok(), "{checked:?}");
}
