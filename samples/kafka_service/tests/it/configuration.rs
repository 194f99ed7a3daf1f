//! The configurations of this sample and the schema that editors check them with.

use expect_test::{expect, expect_file};
use mainspring::Phase;
use mainspring_it::{ConfigFile, ServiceConfig, ServiceProcess};

use mainspring_testsuite::TestService;

use crate::BINARY;

#[test]
fn both_configurations_are_right() {
    for name in ["kafka_service.yaml", "kafka_service_embedded.yaml"] {
        let file = ServiceConfig::as_it_is(name).write();
        let ended = ServiceProcess::run(BINARY, &["--check-config", "--config", file.path()]);
        assert_eq!(ended.code, Some(0), "{name}: {ended:#?}");
    }
}

#[test]
fn printed_schema_is_the_committed_one() {
    let ended = ServiceProcess::run(BINARY, &["--print-config-schema"]);
    assert_eq!(ended.code, Some(0));
    expect_file!["../../../../schemas/kafka_service.schema.json"].assert_eq(&(ended.stdout + "\n"));
}

/// What `--print-effective-config` shows of a text, without the comments.
#[track_caller]
fn in_force(file: &ConfigFile) -> Vec<String> {
    let ended = ServiceProcess::run(BINARY, &["--print-effective-config", "--config", file.path()]);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    ended.stdout.lines().map(|line| line.split(" # ").next().unwrap_or(line).to_owned()).collect()
}

#[test]
fn what_is_in_force_is_a_configuration_that_means_the_same() {
    for name in ["kafka_service.yaml", "kafka_service_embedded.yaml"] {
        let shown = in_force(&ServiceConfig::as_it_is(name).write());
        let text = shown.join("\n");
        assert!(text.contains("max_callback_duration: 5m\n"), "{text}");
        assert_eq!(in_force(&ServiceConfig::from_text(name, &text).write()), shown);
    }
}

#[test]
fn graph_that_is_printed_is_the_one_that_loads_make() {
    let config = ServiceConfig::of("kafka_service_embedded.yaml");
    let service = TestService::new(kafka_service::app()).with_config(config.text()).check();
    let service = service.expect("the configuration is right");
    let printed = service.component_graph();
    assert_eq!(printed.incomplete().count(), 0, "{printed:?}");
    let running = TestService::begin(service);
    assert_eq!(running.reached(Phase::Running), Phase::Running);
    let found = running.handle().component_graph();
    assert_eq!(printed.edges().collect::<Vec<_>>(), found.edges().collect::<Vec<_>>());
    assert!(found.edges().any(|edge| edge == ("consumer-handler", "kafka-consumer")), "{found:?}");

    let file = config.write();
    for (format, text) in [("", printed.dot()), ("=mermaid", printed.mermaid())] {
        let flag = format!("--print-component-graph{format}");
        let ended = ServiceProcess::run(BINARY, &[&*flag, "--config", file.path()]);
        assert_eq!((ended.code, ended.stdout), (Some(0), text));
    }
}

#[test]
fn missing_credentials_end_the_start() {
    let ended = ServiceProcess::launch(BINARY, &ServiceConfig::of("kafka_service.yaml"), &[]).ended();
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    // Either client may be the first to ask, and which components wait for it depends on the order of loading.
    let last_words = ended.last_words().replace("kafka-consumer", "kafka-producer");
    let (reason, _needed_by) = last_words.split_once("; needed by ").unwrap_or((&last_words, ""));
    expect![[r#"error: cannot start `kafka-producer`: no secret `kafka_settings` in `default-secdist-provider`, which found neither a file nor an environment variable"#]].assert_eq(reason);
}
