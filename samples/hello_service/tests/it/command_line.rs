//! Arguments and configurations, right and wrong, and their exit codes.

use std::net::TcpListener;
use std::process::Command;

use expect_test::{Expect, expect, expect_file};
use mainspring_it::{Ended, ServiceConfig, ServiceProcess};

use crate::{BINARY, CONFIG};

/// The configuration with one text replaced makes the service end with this code and these words, before it listens.
#[track_caller]
fn check_wrong_config(old: &str, new: &str, expected: Expect) {
    let file = ServiceConfig::of(CONFIG).with(old, new).write();
    let ended = ServiceProcess::run(BINARY, &["--config", file.path()]);
    expected.assert_eq(&ended.log.join("\n").replace(file.path(), "hello_service.yaml"));
    assert_eq!((ended.code, &*ended.stdout), (Some(3), ""));
}

#[test]
fn every_problem_of_a_configuration_is_reported_with_its_place() {
    check_wrong_config(
        "worker_threads: 2",
        "worker_threads: 0",
        expect![[r#"
            hello_service.yaml:4:47: task_processors.main-task-processor.worker_threads: expected an integer from 1 to 1024, found `0`
                4 |         main-task-processor: {worker_threads: 0}
                  |                                               ^
            error: the configuration has 1 problem; nothing was started"#]],
    );
    check_wrong_config(
        "            greeting: Hello",
        "            greetings: Hello\n        handler-pong: {}",
        expect![[r#"
            hello_service.yaml:20:13: handler-hello: unknown key `greetings`; did you mean `greeting`?
               20 |             greetings: Hello
                  |             ^^^^^^^^^
            hello_service.yaml:21:9: handler-pong: this component is not registered in code; did you mean `handler-ping`?
               21 |         handler-pong: {}
                  |         ^^^^^^^^^^^^
            error: the configuration has 2 problems; nothing was started"#]],
    );
    check_wrong_config(
        "path: /hello",
        "path: [hello",
        expect![[r#"
            hello_service.yaml:18:19: components_manager.components.handler-hello.path[0]: illegal placement of ':' indicator
               18 |             method: POST
                  |                   ^
            error: the configuration has 1 problem; nothing was started"#]],
    );
}

#[test]
fn missing_configuration_is_a_problem_too() {
    let ended = ServiceProcess::run(BINARY, &["--config", "missing.yaml"]);
    assert_eq!(ended.code, Some(3));
    expect![[r#"
        cannot read missing.yaml: No such file or directory (os error 2); name the static configuration with `--config`
        error: the configuration has 1 problem; nothing was started"#]].assert_eq(&ended.log.join("\n"));
}

#[test]
fn checked_configuration_starts_nothing() {
    let file = ServiceConfig::of(CONFIG).write();
    let Ended { code, stdout, log, .. } = ServiceProcess::run(BINARY, &["--check-config", "-c", file.path()]);
    assert_eq!((code, &*stdout), (Some(0), &*format!("{}: the configuration is right", file.path())));
    assert_eq!(log, Vec::<String>::new());
}

#[test]
fn wrong_argument_ends_with_usage() {
    let ended = ServiceProcess::run(BINARY, &["--confg", "x.yaml"]);
    assert_eq!(ended.code, Some(2));
    expect![[r#"
        error: unexpected argument '--confg' found

          tip: a similar argument exists: '--config'

        Usage: hello_service --config <FILE>

        For more information, try '--help'."#]]
    .assert_eq(&ended.log.join("\n"));
}

#[test]
fn component_that_cannot_load_ends_the_start() {
    let taken = TcpListener::bind("[::]:0").expect("some port is free");
    let port = taken.local_addr().expect("it is bound").port();
    let config = ServiceConfig::as_it_is(CONFIG).with("port: 8187", &format!("port: {port}"));
    let ended = ServiceProcess::launch(BINARY, &config.with("port: 8086", "port: 0"), &[]).ended();
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    let last_words = ended.last_words().replace(&port.to_string(), "8187");
    // Who else waited for it depends on the order of loading.
    let (reason, _needed_by) = last_words.split_once("; needed by ").unwrap_or((&last_words, ""));
    expect![[r#"error: cannot start `server`: component `server` cannot listen on [::]:8187 (`listener`): Address already in use (os error 98); stop what uses the port, or change `server.listener.port` (0 takes any free one)"#]].assert_eq(reason);
}

#[test]
fn printed_completions_work_in_bash() {
    let ended = ServiceProcess::run(BINARY, &["--completions", "bash"]);
    assert_eq!(ended.code, Some(0));
    let ask = "COMP_WORDS=(hello_service --check); COMP_CWORD=1; _hello_service hello_service --check hello_service; \
               echo ${COMPREPLY[@]}";
    let shell = Command::new("bash").args(["-c", &format!("{}\n{ask}", ended.stdout)]).output();
    let shell = shell.expect("bash is there");
    assert_eq!(String::from_utf8_lossy(&shell.stdout).trim(), "--check-config", "{shell:?}");
}

#[test]
fn printed_schema_is_the_committed_one() {
    let ended = ServiceProcess::run(BINARY, &["--print-config-schema"]);
    assert_eq!(ended.code, Some(0));
    expect_file!["../../../../schemas/hello_service.schema.json"].assert_eq(&(ended.stdout + "\n"));
}
