//! The process as its supervisor meets it: what it prints and the code it ends with.

mod effective;
mod options;
#[cfg(feature = "kafka")]
mod readme;
#[cfg(feature = "kafka")]
mod schemas;
#[cfg(feature = "kafka")]
mod wrong_configs;

use std::ffi::OsString;
use std::path::Path;

use expect_test::{Expect, expect};
use mainspring_config::Source;
use mainspring_core::dynamic::{AnyVariable, Variable};
use mainspring_core::{
    Component, ComponentContext, ComponentList, LoadError, NoConfig, Service, ServiceOptions,
};

use crate::Exit;
use crate::arguments::Arguments;
use crate::daemon::{Ending, conclude, run};
use crate::lists::CommonComponents;

const CONFIG: &str = "
components_manager:
    task_processors: {main-task-processor: {worker_threads: $threads}}
    default_task_processor: main-task-processor
    components:
        logging: {loggers: {default: {file_path: '@null'}}}
config_vars: VARS
";

#[test]
fn a_right_config_is_said_to_be_right() {
    check(
        CONFIG,
        "threads: 1",
        &["--check-config"],
        Exit::Ok,
        expect![[r#"
        DIR/config.yaml: the configuration is right
    "#]],
    );
}

#[test]
fn all_problems_are_printed_and_nothing_is_started() {
    let config = CONFIG.replace("loggers", "logers").replace("default_task", "defualt_task");
    check(
        &config,
        "threads: 0",
        &[],
        Exit::Config,
        expect![[r#"
            DIR/config.yaml:2:1: missing key `default_task_processor` (The task processor that components load on, and that runs what names no other)
                2 | components_manager:
                  | ^^^^^^^^^^^^^^^^^^
            DIR/config.yaml:3:61: task_processors.main-task-processor.worker_threads: expected an integer from 1 to 1024, found `0` (value of `$threads` from DIR/vars.yaml:1:10)
                3 |     task_processors: {main-task-processor: {worker_threads: $threads}}
                  |                                                             ^^^^^^^^
               --> value of `$threads` from DIR/vars.yaml:1:10
                1 | threads: 0
                  |          ^
            DIR/config.yaml:4:5: unknown key `defualt_task_processor`; did you mean `default_task_processor`?
                4 |     defualt_task_processor: main-task-processor
                  |     ^^^^^^^^^^^^^^^^^^^^^^
            DIR/config.yaml:6:9: logging: missing key `loggers` (Loggers by name)
                6 |         logging: {logers: {default: {file_path: '@null'}}}
                  |         ^^^^^^^
            DIR/config.yaml:6:19: logging: unknown key `logers`; did you mean `loggers`?
                6 |         logging: {logers: {default: {file_path: '@null'}}}
                  |                   ^^^^^^
            error: the configuration has 5 problems; nothing was started
        "#]],
    );
}

#[test]
fn an_undefined_variable_hides_no_other_problem() {
    let config = CONFIG.replace("logging:", "loging: {load-enabled: $on}\n        logging:");
    check(
        &config,
        "{}",
        &[],
        Exit::Config,
        expect![[r#"
            DIR/config.yaml:3:61: components_manager.task_processors.main-task-processor.worker_threads: undefined variable `$threads`; it is not in `DIR/vars.yaml`
                3 |     task_processors: {main-task-processor: {worker_threads: $threads}}
                  |                                                             ^^^^^^^^
            DIR/config.yaml:6:9: loging: this component is not registered in code; did you mean `logging`?
                6 |         loging: {load-enabled: $on}
                  |         ^^^^^^
            DIR/config.yaml:6:32: components_manager.components.loging.load-enabled: undefined variable `$on`; it is not in `DIR/vars.yaml`
                6 |         loging: {load-enabled: $on}
                  |                                ^^^
            error: the configuration has 3 problems; nothing was started
        "#]],
    );
    check(
        "components_manager: {",
        "threads: 1",
        &[],
        Exit::Config,
        expect![[r#"
            DIR/config.yaml:2:1: components_manager: while parsing a node, did not find expected node content
                1 | components_manager: {
                  |                      ^
            error: the configuration has 1 problem; nothing was started
        "#]],
    );
}

#[test]
fn an_unused_variable_is_a_warning_that_changes_nothing_else() {
    check(
        CONFIG,
        "threads: 1\nthread: 2",
        &["--check-config"],
        Exit::Ok,
        expect![[r#"
        DIR/config.yaml: the configuration is right
        warning: DIR/vars.yaml:2:1: unused variable `thread`; the configuration uses `$threads`
            2 | thread: 2
              | ^^^^^^
    "#]],
    );
    check(
        CONFIG,
        "threads: 0\nspare: 2",
        &[],
        Exit::Config,
        expect![[r#"
        warning: DIR/vars.yaml:2:1: unused variable `spare`
            2 | spare: 2
              | ^^^^^
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

#[test]
fn machines_are_told_on_standard_output() {
    check(
        CONFIG,
        "threads: 0",
        &["--format", "json"],
        Exit::Config,
        expect![[r#"
        [
          {
            "column": 61,
            "file": "DIR/config.yaml",
            "line": 3,
            "message": "expected an integer from 1 to 1024, found `0`",
            "origin": {
              "column": 10,
              "file": "DIR/vars.yaml",
              "line": 1,
              "variable": "threads"
            },
            "path": "task_processors.main-task-processor.worker_threads",
            "severity": "error"
          }
        ]
        error: the configuration has 1 problem; nothing was started
    "#]],
    );
    check(
        CONFIG,
        "threads: 1",
        &["--check-config", "--format", "json"],
        Exit::Ok,
        expect![[r#"
        []
    "#]],
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let exit = run_with(&["--config", "nowhere.yaml"]);
    assert_eq!(exit.0, Exit::Config);
    expect![[r#"
        cannot read nowhere.yaml: No such file or directory (os error 2); name the static configuration with `--config`
        error: the configuration has 1 problem; nothing was started
    "#]].assert_eq(&exit.1);
}

#[test]
fn variables_come_from_the_file_that_the_command_line_names() {
    let directory = tempfile::tempdir().unwrap();
    let vars = write(directory.path(), "more.yaml", "threads: 2");
    check(
        CONFIG,
        "threads: 0",
        &["--config_vars", &vars, "--check-config"],
        Exit::Ok,
        expect![[r#"
        DIR/config.yaml: the configuration is right
    "#]],
    );
    check(
        CONFIG,
        "threads: 0",
        &["--config_vars_override", &vars, "--check-config"],
        Exit::Ok,
        expect![[r#"
        DIR/config.yaml: the configuration is right
    "#]],
    );
}

#[test]
fn the_command_line_is_checked() {
    for wrong in [&["--confg", "x"][..], &["stray"], &["--config"]] {
        assert!(parse(wrong).is_err(), "{wrong:?}");
    }
    assert_eq!(parse(&[]).unwrap().config, "static_config.yaml");
    assert_eq!(parse(&["-c", "x.yaml"]).unwrap().config, "x.yaml");
}

#[test]
fn help_fits_on_a_screen() {
    let help = parse(&["--help"]).unwrap_err().to_string();
    assert!(help.lines().count() <= 48, "{help}");
    assert!(help.lines().all(|line| line.len() <= 120), "{help}");
}

#[test]
fn help_shows_how_this_binary_is_called() {
    let help = parse(&["--help"]).unwrap_err().to_string();
    let title = concat!("orders (mainspring ", env!("CARGO_PKG_VERSION"), ")\n");
    assert!(help.starts_with(title) && help.contains("Usage: orders "), "{help}");
    for part in
        ["Configuration:", "Instead of running the service:", "Examples:\n  orders -c ", "Exit codes: 0 "]
    {
        assert!(help.contains(part), "no `{part}` in {help}");
    }
}

#[test]
fn version_names_binary_framework_and_what_components_are_built_with() {
    struct OnLibrary;

    impl Component for OnLibrary {
        const DEFAULT_NAME: &'static str = "on-library";
        type Config = NoConfig;

        fn built_with() -> Option<String> {
            Some("libwhatever 1.2.3 (ssl)".to_owned())
        }

        async fn load(_: NoConfig, _: &ComponentContext) -> Result<Self, LoadError> {
            Ok(Self)
        }
    }

    let list = ComponentList::minimal().append::<OnLibrary>("one").append::<OnLibrary>("other");
    for flag in ["--version", "-V"] {
        let (exit, printed) = run_list(&list, &[flag]);
        assert_eq!(exit, Exit::Ok);
        let title = concat!("orders (mainspring ", env!("CARGO_PKG_VERSION"), ")\n");
        assert_eq!(printed, format!("{title}libwhatever 1.2.3 (ssl)\n"));
    }
}

#[cfg(feature = "kafka")]
#[test]
fn version_names_librdkafka_and_its_features() {
    let list = ComponentList::new().append_default::<mainspring_kafka::KafkaProducerComponent>();
    let (_, printed) = run_list(&list, &["--version"]);
    let line = printed.lines().nth(1).unwrap();
    assert!(line.starts_with("librdkafka 2.") && line.contains("gzip"), "{printed}");
}

#[test]
fn completions_of_each_shell_know_the_options() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (exit, script) = run_with(&["--completions", shell]);
        assert_eq!(exit, Exit::Ok);
        assert!(script.contains("orders") && script.contains("check-config"), "{shell}: {script}");
    }
    assert!(parse(&["--completions", "csh"]).is_err());
}

#[test]
fn one_thing_is_asked_at_a_time() {
    let error = parse(&["--check-config", "--print-config-schema"]).unwrap_err().to_string();
    assert!(error.contains("cannot be used with"), "{error}");
}

/// Never stops.
struct Stuck;

impl Component for Stuck {
    const DEFAULT_NAME: &'static str = "stuck";
    type Config = NoConfig;

    async fn load(_: NoConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        cx.service().stop("enough");
        Ok(Self)
    }

    async fn stop(&self) {
        std::future::pending::<()>().await;
    }
}

#[test]
fn a_stop_that_is_not_finished_is_told_with_its_own_exit_code() {
    let text = CONFIG.replace("config_vars: VARS", "").replace("$threads", "1");
    let text = text.replace("components:", "component_stop_timeout: 3s\n    components:\n        stuck:");
    let root = mainspring_config::parse(&Source::new("config.yaml", text)).unwrap();
    let list = ComponentList::minimal().append_default::<Stuck>();
    let service = Service::new(&list, &root, ServiceOptions::default()).unwrap();
    let words = "error: stopped (enough), but `stuck` did not finish `stop`".to_owned();
    assert_eq!(conclude(service.run()), Ending { exit: Exit::StopUnfinished, last_words: Some(words) });
}

#[test]
fn the_schema_of_a_binary_is_printed() {
    let (exit, printed) = run_with(&["--print-config-schema"]);
    assert_eq!(exit, Exit::Ok);
    let schema: serde_json::Value = serde_json::from_str(&printed).unwrap();
    // Each may also be a variable, which is the other alternative.
    let path = ["components_manager", "components", "logging", "load-enabled"];
    let path = path.map(|key| format!("/properties/{key}/anyOf/0")).concat();
    assert_eq!(schema.pointer(&path), Some(&serde_json::json!({"type": "boolean"})));
    assert!(schema["$defs"]["logging.LoggerConfig"].is_object(), "{schema:#}");
}

#[test]
fn the_defaults_of_dynamic_variables_are_printed_without_a_configuration() {
    let arguments = parse(&["--config", "nowhere.yaml", "--print-dynamic-config-defaults"]).unwrap();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let list = ComponentList::common_server().append_default::<Tuned>();
    let ending = run(&list, &arguments, &mut stdout, &mut stderr);
    assert_eq!((ending.exit, stderr), (Exit::Ok, Vec::new()));
    let printed: serde_json::Value = serde_json::from_slice(&stdout).unwrap();
    assert_eq!(printed["TUNED_LIMIT"], 5, "{printed:#}");
    assert!(stdout.starts_with(b"{\n  \""), "it is meant to be read");
}

static TUNED_LIMIT: Variable<u32> = Variable::new("TUNED_LIMIT", || 5);

/// Reads a variable.
struct Tuned;

impl Component for Tuned {
    const DEFAULT_NAME: &'static str = "tuned";
    type Config = NoConfig;

    fn dynamic_variables() -> Vec<&'static dyn AnyVariable> {
        vec![&TUNED_LIMIT]
    }

    async fn load(_: NoConfig, _: &ComponentContext) -> Result<Self, LoadError> {
        Ok(Self)
    }
}

#[test]
fn common_server_holds_what_every_server_needs() {
    let list = ComponentList::common_server();
    for name in ["logging", "secdist", "default-secdist-provider", "server", "handler-metrics"] {
        assert!(list.names().any(|known| known == name), "{name} is missing");
    }
}

#[track_caller]
fn check(config: &str, vars: &str, arguments: &[&str], exit: Exit, expected: Expect) {
    let directory = tempfile::tempdir().unwrap();
    let vars = write(directory.path(), "vars.yaml", vars);
    let config = write(directory.path(), "config.yaml", &config.replace("VARS", &vars));
    let arguments: Vec<_> = ["--config", &config].iter().chain(arguments).copied().collect();
    let (actual, printed) = run_with(&arguments);
    assert_eq!(actual, exit, "{printed}");
    expected.assert_eq(&printed.replace(directory.path().to_str().unwrap(), "DIR"));
}

/// Runs the process part, and what it printed on either stream.
fn run_with(arguments: &[&str]) -> (Exit, String) {
    run_list(&ComponentList::minimal(), arguments)
}

fn run_list(components: &ComponentList, arguments: &[&str]) -> (Exit, String) {
    let arguments = parse(arguments).unwrap();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let ending = run(components, &arguments, &mut stdout, &mut stderr);
    assert_eq!(ending.last_words, None, "nothing was started");
    stdout.extend(stderr);
    (ending.exit, String::from_utf8(stdout).unwrap())
}

fn parse(arguments: &[&str]) -> Result<Arguments, clap::Error> {
    Arguments::read([&["/usr/bin/orders"], arguments].concat().into_iter().map(OsString::from))
}

fn write(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}
