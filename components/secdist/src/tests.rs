//! What is read, what is refused, and that nothing leaks.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use expect_test::{Expect, expect};
use mainspring_config::{FakeSurroundings, Source, Surroundings, VarsOptions};
use mainspring_core::{
    Component, ComponentContext, ComponentList, LoadError, NoConfig, Service, ServiceOptions,
};
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

/// A file that says how often it was read.
#[derive(Default)]
struct Rotating {
    n_reads: AtomicUsize,
}

impl Surroundings for Rotating {
    fn env_var(&self, _: &str) -> std::io::Result<Option<String>> {
        Ok(None)
    }

    fn read_file(&self, _: &str) -> std::io::Result<String> {
        match self.n_reads.fetch_add(1, Ordering::SeqCst) {
            1 => Err(std::io::ErrorKind::NotFound.into()),
            n_reads => Ok(format!(r#"{{"n_reads": {n_reads}}}"#)),
        }
    }
}

/// Stops the service once it has seen secrets that were read after a failed reading.
struct Watcher {
    secdist: Arc<SecdistComponent>,
    cx: ComponentContext,
}

impl Component for Watcher {
    const DEFAULT_NAME: &'static str = "watcher";
    type Config = NoConfig;

    async fn load(_: NoConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        Ok(Self { secdist: cx.find_default().await?, cx: cx.clone() })
    }

    async fn on_all_components_loaded(&self) -> Result<(), LoadError> {
        let seen = async {
            while self.secdist.get::<u64>(&["n_reads"]).is_ok_and(|n_reads| n_reads < 2) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), seen).await?;
        // The counter follows the secrets that it counts.
        let metrics = || mainspring_metrics::prometheus_text(&self.cx.metrics().snapshot());
        let told = async {
            while metrics().contains("secdist_reloads_total{component=\"secdist\",result=\"success\"} 0") {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), told).await?;
        let metrics = metrics();
        assert!(
            metrics.contains("secdist_reloads_total{component=\"secdist\",result=\"error\"} 1"),
            "{metrics}"
        );
        let read = "secdist_last_reload_success_timestamp_seconds{component=\"secdist\"} 1";
        assert!(metrics.contains(read), "{metrics}");
        self.cx.service().stop("new secrets were seen");
        Ok(())
    }
}

fn service(components: &str, world: Arc<dyn Surroundings + Send + Sync>) -> Result<Service, Box<dyn Error>> {
    let list = ComponentList::minimal()
        .append_default::<DefaultSecdistProvider>()
        .append_default::<SecdistComponent>()
        .append_default::<Watcher>();
    let text = format!(
        "components_manager:\n  default_task_processor: main-task-processor\n  task_processors:\n    \
         main-task-processor: {{worker_threads: 1}}\n  components:\n    \
         logging: {{loggers: {{default: {{file_path: '@null'}}}}}}\n    watcher:\n{components}"
    );
    let root = mainspring_config::load(&Source::new("test.yaml", text), &VarsOptions::default(), &*world)?;
    Ok(Service::new(&list, &root, ServiceOptions { surroundings: world })?)
}

#[test]
fn secrets_are_read_again_and_survive_a_failed_reading() {
    let components = "    secdist: {update-period: 5ms}\n    default-secdist-provider: {config: secdist}\n";
    let report = service(components, Arc::new(Rotating::default())).expect("the config is right").run();
    let report = report.expect("it runs");
    assert_eq!((report.reason.as_str(), report.unfinished), ("new secrets were seen", Vec::new()));
}

#[test]
fn unreadable_secrets_keep_the_service_from_starting() {
    let components = "    default-secdist-provider: {config: nope}\n";
    let service = service(components, Arc::new(FakeSurroundings::default())).expect("the config is right");
    let error = service.run().expect_err("there is no such file").to_string();
    // Whether the watcher has asked by then depends on the order of loading.
    let (reason, _needed_by) = error.split_once("; needed by ").unwrap_or((&error, ""));
    expect!["cannot start `secdist`: cannot read secrets from file `nope`: entity not found"]
        .assert_eq(reason);
}

#[test]
fn wrong_sections_are_refused_before_anything_starts() {
    let components = "    secdist: {provider: default-secdist-provide, update-period: soon}\n    \
                      default-secdist-provider: {format: jsn, blocking_task_processor: x}\n";
    let error =
        service(components, Arc::new(FakeSurroundings::default())).expect_err("it is wrong").to_string();
    expect![[r#"
        test.yaml:8:65: secdist.update-period: expected a duration such as `250ms`, found `soon`
        test.yaml:9:40: default-secdist-provider.format: expected one of `json`, `yaml`; found `jsn`; did you mean `json`?
        test.yaml:9:45: default-secdist-provider: unknown key `blocking_task_processor`; did you mean `blocking-task-processor`?"#]].assert_eq(&error);
    let components = "    secdist: {provider: default-secdist-provide}\n    \
                      default-secdist-provider: {blocking-task-processor: main-task-procesor}\n";
    let error =
        service(components, Arc::new(FakeSurroundings::default())).expect_err("it is wrong").to_string();
    expect![[r#"
        test.yaml:8:25: secdist.provider: unknown component `default-secdist-provide`; did you mean `default-secdist-provider`?
        test.yaml:9:57: default-secdist-provider.blocking-task-processor: unknown task processor `main-task-procesor`; did you mean `main-task-processor`?"#]].assert_eq(&error);
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
