//! What is read, what is refused, and that nothing leaks.

mod reloads;

use std::error::Error;
use std::sync::Arc;

use expect_test::{Expect, expect};
use mainspring_config::{FakeSurroundings, Source, Surroundings, VarsOptions};
use mainspring_core::{ComponentList, Service, ServiceOptions};
use mainspring_testsuite::conformance;
use serde::Deserialize;

use crate::{DefaultSecdistProvider, Format, ProviderConfig, SecdistComponent, Secret, Secrets};

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only shown")]
struct Broker {
    brokers: String,
    password: Secret,
}

fn config() -> ProviderConfig {
    ProviderConfig {
        config: "secdist".to_owned(),
        environment_secrets_key: Some("SECRETS".to_owned()),
        ..ProviderConfig::default()
    }
}

/// The answer to the question for `kafka.orders`, or the whole chain of the error.
#[track_caller]
fn check(config: &ProviderConfig, world: &FakeSurroundings, expect: Expect) {
    let answer = Secrets::read(config, world).and_then(|secrets| secrets.get::<Broker>(&["kafka", "orders"]));
    let shown = match answer {
        Ok(broker) => format!("{broker:?}"),
        Err(error) => {
            let mut shown = error.to_string();
            let mut cause = error.source();
            while let Some(error) = cause {
                shown += &format!(": {error}");
                cause = error.source();
            }
            shown
        }
    };
    assert!(!shown.contains("hush"), "a secret leaked: {shown}");
    expect.assert_eq(&shown);
}

fn file(text: &str) -> FakeSurroundings {
    FakeSurroundings::default().with_file("secdist", text)
}

#[test]
fn secrets_are_found_by_path() {
    check(
        &config(),
        &file(r#"{"kafka": {"orders": {"brokers": "b:9092", "password": "hush", "more": 1}}}"#),
        expect![[r#"Broker { brokers: "b:9092", password: ***** }"#]],
    );
}

#[test]
fn yaml_is_read_when_asked_for() {
    let yaml = ProviderConfig { format: Format::Yaml, ..config() };
    let text = "kafka:\n  orders:\n    brokers: b:9092\n    password: hush\n";
    check(&yaml, &file(text), expect![[r#"Broker { brokers: "b:9092", password: ***** }"#]]);
    check(
        &yaml,
        &file("kafka: !hush\n"),
        expect![
            "secrets in file `secdist` cannot be parsed: file `secdist`:1:8: kafka: tags (`!name`) mean nothing here; quote a text that starts with `!`"
        ],
    );
}

#[test]
fn the_environment_is_merged_over_the_file() {
    let world = file(r#"{"kafka": {"orders": {"brokers": "old", "password": "hush"}, "other": 1}}"#)
        .with_env("SECRETS", r#"{"kafka": {"orders": {"brokers": "new"}}}"#);
    check(&config(), &world, expect![[r#"Broker { brokers: "new", password: ***** }"#]]);
}

#[test]
fn maps_are_merged_however_deep_and_anything_else_is_replaced() {
    let world =
        file(r#"{"a": {"b": {"c": "old", "d": "kept"}, "list": [1, 2], "text": "t"}, "map": {"k": "v"}}"#)
            .with_env(
                "SECRETS",
                r#"{"a": {"b": {"c": "new"}, "list": [3], "text": {"now": "a map"}}, "map": null}"#,
            );
    let secrets = Secrets::read(&config(), &world).expect("both are right");
    let a: serde_json::Value = secrets.get(&["a"]).expect("it is there");
    let expected = serde_json::json!({"b": {"c": "new", "d": "kept"}, "list": [3], "text": {"now": "a map"}});
    assert_eq!(a, expected);
    assert_eq!(secrets.get::<Option<Secret>>(&["map"]).expect("it is there"), None);
}

#[test]
fn an_environment_over_a_yaml_file_is_json() {
    let yaml = ProviderConfig { format: Format::Yaml, ..config() };
    let world = file("kafka: {orders: {brokers: old, password: hush}}\n")
        .with_env("SECRETS", r#"{"kafka": {"orders": {"brokers": "new"}}}"#);
    check(&yaml, &world, expect![[r#"Broker { brokers: "new", password: ***** }"#]]);
}

#[test]
fn the_environment_alone_is_enough() {
    let world = FakeSurroundings::default()
        .with_env("SECRETS", r#"{"kafka": {"orders": {"brokers": "b", "password": "hush"}}}"#);
    let without_file = ProviderConfig { config: String::new(), ..config() };
    check(&without_file, &world, expect![[r#"Broker { brokers: "b", password: ***** }"#]]);
}

#[test]
fn a_missing_file_is_an_error_unless_it_may_be_missing() {
    let world = FakeSurroundings::default();
    check(&config(), &world, expect!["cannot read secrets from file `secdist`: entity not found"]);
    check(
        &ProviderConfig { missing_ok: true, ..config() },
        &world,
        expect![
            "no secret `kafka` in `default-secdist-provider`, which found neither a file nor an environment variable"
        ],
    );
}

#[test]
fn malformed_texts_are_named_without_their_content() {
    check(
        &config(),
        &file(r#"{"kafka": "hush" "#),
        expect![
            "secrets in file `secdist` cannot be parsed: EOF while parsing an object at line 1 column 17"
        ],
    );
    check(
        &config(),
        &file(r#""hush""#),
        expect!["secrets in file `secdist` must be a map from names to secrets"],
    );
    check(
        &config(),
        &file("{}").with_env("SECRETS", "hush"),
        expect![
            "secrets in environment variable `SECRETS` cannot be parsed: expected value at line 1 column 1"
        ],
    );
}

#[test]
fn missing_keys_are_named() {
    let both = |text| file(text).with_env("SECRETS", "{}");
    check(&config(), &file("{}"), expect!["no secret `kafka` in file `secdist`"]);
    check(
        &config(),
        &both(r#"{"kafka": {"other": "hush"}}"#),
        expect!["no secret `kafka.orders` in file `secdist` and environment variable `SECRETS`"],
    );
    check(
        &config(),
        &file(r#"{"kafka": {"orders": {"brokers": "b"}}}"#),
        expect!["no secret `kafka.orders.password` in file `secdist`"],
    );
}

#[test]
fn values_of_the_wrong_form_are_named_but_not_shown() {
    check(
        &config(),
        &file(r#"{"kafka": {"orders": {"brokers": ["hush"], "password": "x"}}}"#),
        expect![
            "secret `kafka.orders.brokers` in file `secdist` cannot be read as `mainspring_secdist::tests::Broker`; its value is not shown"
        ],
    );
    check(
        &config(),
        &file(r#"{"kafka": {"orders": "hush"}}"#),
        expect![
            "secret `kafka.orders` in file `secdist` cannot be read as `mainspring_secdist::tests::Broker`; its value is not shown"
        ],
    );
}

#[test]
fn secrets_do_not_print() {
    let secret = Secret::new("hush");
    assert_eq!(format!("{secret} {secret:?}"), "***** *****");
    let secrets = Secrets::read(&config(), &file(r#"{"a": "hush"}"#)).expect("reads");
    expect!["Secrets { holders: [\"file `secdist`\"], .. }"].assert_eq(&format!("{secrets:?}"));
}

#[test]
fn the_readme_shows_a_working_example() {
    let readme = include_str!("../README.md");
    let block = |language: &str| {
        let (_, rest) = readme.split_once(&format!("```{language}\n")).expect("there is such a block");
        rest.split_once("```").expect("the block ends").0
    };
    let section = mainspring_config::parse(&Source::new("README.md", block("yaml"))).expect("it is YAML");
    let config: ProviderConfig =
        section.get("default-secdist-provider").expect("the section").read().expect("it is right");
    let world = FakeSurroundings::default().with_file("secdist.json", block("json"));
    let broker: Broker = Secrets::read(&config, &world)
        .and_then(|secrets| secrets.get(&["kafka_settings", "kafka-producer"]))
        .expect("it is there");
    assert_eq!(broker.brokers, "localhost:9092");
}

fn service(components: &str, world: Arc<dyn Surroundings + Send + Sync>) -> Result<Service, Box<dyn Error>> {
    service_with_log("@null", components, world)
}

fn service_with_log(
    log: &str,
    components: &str,
    world: Arc<dyn Surroundings + Send + Sync>,
) -> Result<Service, Box<dyn Error>> {
    let list = ComponentList::minimal()
        .append_default::<DefaultSecdistProvider>()
        .append_default::<SecdistComponent>();
    let text = format!(
        "components_manager:\n  default_task_processor: main-task-processor\n  task_processors:\n    \
         main-task-processor: {{worker_threads: 1}}\n  components:\n    \
         logging: {{loggers: {{default: {{file_path: '{log}', level: info}}}}}}\n{components}"
    );
    let root = mainspring_config::load(&Source::new("test.yaml", text), &VarsOptions::default(), &*world)?;
    Ok(Service::new(&list, &root, ServiceOptions { surroundings: world })?)
}

#[test]
fn unreadable_secrets_keep_the_service_from_starting() {
    let components = "    default-secdist-provider: {config: nope}\n";
    let service = service(components, Arc::new(FakeSurroundings::default())).expect("the config is right");
    let error = service.run().expect_err("there is no such file").to_string();
    expect!["cannot start `secdist`: cannot read secrets from file `nope`: entity not found"]
        .assert_eq(&error);
}

#[test]
fn wrong_sections_are_refused_before_anything_starts() {
    let components = "    secdist: {provider: default-secdist-provide, update-period: soon}\n    \
                      default-secdist-provider: {format: jsn, blocking_task_processor: x}\n";
    let error =
        service(components, Arc::new(FakeSurroundings::default())).expect_err("it is wrong").to_string();
    expect![[r#"
        test.yaml:7:65: secdist.update-period: expected a duration such as `250ms`, found `soon`
        test.yaml:8:40: default-secdist-provider.format: expected one of `json`, `yaml`; found `jsn`; did you mean `json`?
        test.yaml:8:45: default-secdist-provider: unknown key `blocking_task_processor`; did you mean `blocking-task-processor`?"#]].assert_eq(&error);
    let components = "    secdist: {provider: default-secdist-provide}\n    \
                      default-secdist-provider: {blocking-task-processor: main-task-procesor}\n";
    let error =
        service(components, Arc::new(FakeSurroundings::default())).expect_err("it is wrong").to_string();
    expect![[r#"
        test.yaml:7:25: secdist.provider: unknown component `default-secdist-provide`; did you mean `default-secdist-provider`?
        test.yaml:8:57: default-secdist-provider.blocking-task-processor: unknown task processor `main-task-procesor`; did you mean `main-task-processor`?"#]].assert_eq(&error);
}

#[test]
fn the_components_conform() {
    let minimal = ComponentList::minimal();
    conformance::check::<DefaultSecdistProvider>(
        &minimal,
        |service| service.with_file("secdist.json", "{}"),
        "{config: secdist.json, blocking-task-processor: fs-task-processor}",
    );
    conformance::check::<SecdistComponent>(
        &minimal.append_default::<DefaultSecdistProvider>(),
        |service| service,
        "{update-period: 1ms}",
    );
}
