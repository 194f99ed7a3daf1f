//! `--print-effective-config`: complete, and the same configuration again.

use std::fmt::Debug;

use expect_test::expect;
use mainspring_config::{FakeSurroundings, Section, Source, VarsOptions, effective_yaml, schema_of};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{check, run_with, write};
use crate::{CommonComponents, ComponentList, Exit};

#[test]
fn everything_in_force_is_shown_with_its_origin() {
    check(
        super::CONFIG,
        "threads: 2",
        &["--print-effective-config"],
        Exit::Ok,
        expect![[r#"
            components_manager:
                task_processors:
                    main-task-processor:
                        worker_threads: 2 # DIR/config.yaml:3:61: value of `$threads` from DIR/vars.yaml:1:10
                        thread_name: null # not set
                default_task_processor: main-task-processor # DIR/config.yaml:4:29
                components:
                    logging:
                        loggers:
                            default:
                                file_path: "@null" # DIR/config.yaml:6:50
                                flush_level: warning # default
                                format: tskv # default
                                fs-task-processor: null # not set
                                level: info # default
                                message_queue_size: 65536 # default
                                overflow_behavior: discard # default
                        fs-task-processor: null # not set
                        load-enabled: true # default
                component_stop_timeout: 30s # default
                graceful_shutdown_interval: 0s # default
                load_report_interval: 10s # default
                load_timeout: 10m # default
                shutdown_timeout: 2m # default
        "#]],
    );
}

#[test]
fn what_is_shown_is_the_same_configuration_again() {
    let directory = tempfile::tempdir().unwrap();
    let shown_of = |name: &str, text: &str| {
        let path = write(directory.path(), name, text);
        let (exit, shown) = run_with(&["-c", &path, "--print-effective-config"]);
        assert_eq!(exit, Exit::Ok, "{shown}");
        shown
    };
    let text = super::CONFIG.replace("config_vars: VARS", "").replace("$threads", "2");
    let first = shown_of("first.yaml", &text);
    let second = shown_of("second.yaml", &first);
    let values = |shown: &str| {
        shown.lines().map(|line| line.split(" # ").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(values(&first), values(&second));
}

#[test]
fn a_wrong_configuration_is_not_shown() {
    check(
        super::CONFIG,
        "threads: 0",
        &["--print-effective-config"],
        Exit::Config,
        expect![[r#"
            DIR/config.yaml:3:61: task_processors.main-task-processor.worker_threads: expected an integer from 1 to 1024, found `0` (value of `$threads` from DIR/vars.yaml:1:10)
                3 |     task_processors: {main-task-processor: {worker_threads: $threads}}
                  |                                                             ^^^^^^^^
               --> value of `$threads` from DIR/vars.yaml:1:10
                1 | threads: 0
                  |          ^
            error: the configuration has 1 problem; nothing was started
        "#]],
    );
}

/// What the section means is also what the shown one means.
#[track_caller]
fn check_same<T: DeserializeOwned + JsonSchema + Debug>(text: &str) {
    let load = |text: &str| {
        mainspring_config::load(
            &Source::new("x.yaml", text),
            &VarsOptions::default(),
            &FakeSurroundings::default(),
        )
        .unwrap()
    };
    let meaning = |section: &Section| format!("{:?}", section.read::<T>().unwrap());
    let section = load(text);
    let shown = effective_yaml(&section, &schema_of::<T>());
    assert_eq!(meaning(&load(&shown)), meaning(&section), "{shown}");
}

#[test]
fn defaults_that_are_shown_are_those_in_force() {
    check_same::<mainspring_core::LoggingConfig>(
        "loggers: {default: {file_path: '@null'}, other: {file_path: /log}}",
    );
    check_same::<mainspring_server::ListenerConfig>("{port: 1, task_processor: a}");
    check_same::<mainspring_server::HandlerOptions>("{path: /a, method: 'GET,POST'}");
    check_same::<mainspring_server::ServerConfig>("listener: {port: 1, task_processor: a}");
    check_same::<mainspring_monitor::ServerMonitorConfig>("{}");
    check_same::<mainspring_secdist::SecdistConfig>("{}");
    check_same::<mainspring_secdist::ProviderConfig>("{}");
    #[cfg(feature = "kafka")]
    {
        check_same::<mainspring_kafka::ProducerConfig>("security_protocol: PLAINTEXT");
        check_same::<mainspring_kafka::ConsumerConfig>(
            "{security_protocol: PLAINTEXT, group_id: a, topics: [b]}",
        );
        check_same::<mainspring_kafka::EmbeddedConfig>("topics: {orders: 2}");
    }
}

#[test]
fn every_key_that_may_be_left_out_says_what_is_then_in_force() {
    let list = ComponentList::common_server();
    #[cfg(feature = "kafka")]
    let list = list
        .append_default::<mainspring_kafka::KafkaProducerComponent>()
        .append_default::<mainspring_kafka::KafkaConsumerComponent>()
        .append_default::<mainspring_kafka::KafkaEmbeddedComponent>();
    let mut silent = Vec::new();
    visit(&schema_of::<mainspring_core::ManagerConfig>(), "components_manager", &mut silent);
    for (name, schema) in list.config_schemas() {
        visit(&schema, name, &mut silent);
    }
    assert_eq!(silent, Vec::<String>::new());
}

fn visit(schema: &Value, path: &str, silent: &mut Vec<String>) {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    for (key, option) in schema["properties"].as_object().into_iter().flatten() {
        let may_be_null =
            option["type"].as_array().is_some_and(|types| types.iter().any(|kind| kind == "null"))
                || option["anyOf"]
                    .as_array()
                    .is_some_and(|any| any.iter().any(|branch| branch["type"] == "null"));
        if !required.contains(&key.as_str().into()) && option.get("default").is_none() && !may_be_null {
            silent.push(format!("{path}/{key}"));
        }
        visit(option, &format!("{path}/{key}"), silent);
    }
    for (name, definition) in schema["$defs"].as_object().into_iter().flatten() {
        visit(definition, &format!("{path}/{name}"), silent);
    }
}
