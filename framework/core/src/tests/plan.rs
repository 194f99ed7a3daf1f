//! What a wrong configuration is told, before anything starts.

use expect_test::{Expect, expect};
use mainspring_config::Violation;
use schemars::JsonSchema;
use serde::Deserialize;

use super::support::{Probe, checked, config};
use crate::{Component, ComponentContext, ComponentList, ConfigMode, LoadError, NoConfig, ServiceOutline};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "`batch` is there to be checked, not to be used")]
struct WorkerConfig {
    /// Where it runs.
    task_processor: String,
    /// Whose work it does.
    #[serde(default)]
    source: Option<String>,
    /// How much it does at once.
    #[schemars(range(min = 1, max = 100))]
    batch: u32,
}

struct Worker;

impl Component for Worker {
    const DEFAULT_NAME: &'static str = "worker";
    type Config = WorkerConfig;

    fn validate(config: &WorkerConfig, service: &ServiceOutline) -> Vec<Violation> {
        let source = config.source.as_ref().and_then(|source| service.check_component("source", source));
        service
            .check_task_processor("task_processor", &config.task_processor)
            .into_iter()
            .chain(source)
            .collect()
    }

    async fn load(_: WorkerConfig, _: &ComponentContext) -> Result<Self, LoadError> {
        Ok(Self)
    }
}

struct Optional;

impl Component for Optional {
    const DEFAULT_NAME: &'static str = "optional";
    const CONFIG_MODE: ConfigMode = ConfigMode::NotRequired;
    type Config = NoConfig;

    async fn load(_: NoConfig, _: &ComponentContext) -> Result<Self, LoadError> {
        Ok(Self)
    }
}

fn list() -> ComponentList {
    ComponentList::minimal().append_default::<Worker>().append_default::<Optional>().append::<Probe>("probe")
}

#[test]
fn a_right_config_has_no_problems() {
    check(
        "        worker: {task_processor: main-task-processor, batch: 1, source: optional}\n        probe:\n",
        "",
        expect![""],
    );
}

#[test]
fn all_problems_of_all_components_are_reported_at_once() {
    check(
        "        worker: {task_processor: main-task-procesor, batch: 1, source: prob}\n        prob: {}\n        probe: {x: 1}\n        optional: {load-enabled: 3}\n",
        "    extra: 1\n",
        expect![[r#"
            test.yaml:5:5: unknown key `extra`; known keys: `component_stop_timeout`, `components`, `default_task_processor`, `graceful_shutdown_interval`, `load_report_interval`, `load_timeout`, `task_processors`
            test.yaml:8:34: worker.task_processor: unknown task processor `main-task-procesor`; did you mean `main-task-processor`?
            test.yaml:8:72: worker.source: unknown component `prob`; did you mean `probe`?
            test.yaml:9:9: prob: this component is not registered in code; did you mean `probe`?
            test.yaml:10:17: probe: unknown key `x`; there are no keys here
            test.yaml:11:34: optional.load-enabled: expected `true` or `false`"#]],
    );
}

#[test]
fn limits_of_loading_are_not_zero() {
    check(
        "        worker: {task_processor: main-task-processor, batch: 1, source: optional}\n        probe:\n",
        "    load_timeout: 0s\n    load_report_interval: 0ms\n",
        expect![[r#"
            test.yaml:5:19: load_timeout: expected a duration longer than `0s`
            test.yaml:6:27: load_report_interval: expected a duration longer than `0s`"#]],
    );
}

#[test]
fn a_registered_component_without_its_section_is_an_error() {
    check(
        "        worker: {task_processor: main-task-processor, batch: 1}\n",
        "",
        expect![
            "test.yaml:6:9: components: component `probe` is registered in code but has no section here; declare it, or switch it off with `probe: {load-enabled: false}`"
        ],
    );
}

#[test]
fn a_component_that_is_switched_off_counts_as_absent_and_is_not_read() {
    check(
        "        worker: {load-enabled: false, nonsense: true}\n        probe: {load-enabled: true}\n",
        "",
        expect![""],
    );
    check(
        "        worker: {task_processor: main-task-processor, batch: 1, source: probe}\n        probe: {load-enabled: false}\n",
        "",
        expect![
            "test.yaml:7:73: worker.source: unknown component `probe`; declared: `logging`, `optional`, `worker`"
        ],
    );
}

#[test]
fn a_name_registered_twice_is_an_error() {
    let list = list().append::<Worker>("probe");
    let text = config("        worker: {load-enabled: false}\n        probe: {load-enabled: false}\n", "");
    let problems = checked(&list, &text, Default::default()).unwrap_err();
    expect![[r#"
test.yaml:1:1: component `probe` is registered twice in code"#]]
    .assert_eq(&problems.to_string());
}

#[test]
fn the_root_takes_its_two_keys_only() {
    let text = config("        worker: {load-enabled: false}\n        probe:\n", "");
    let problems =
        checked(&list(), &format!("{text}component_manager: {{}}\n"), Default::default()).unwrap_err();
    expect![[r#"
test.yaml:9:1: unknown key `component_manager`; did you mean `components_manager`?"#]]
    .assert_eq(&problems.to_string());
    let problems = checked(
        &list(),
        "config_vars: vars.yaml\n",
        mainspring_config::FakeSurroundings::default().with_file("vars.yaml", "{}"),
    )
    .unwrap_err();
    expect![[r#"
test.yaml:1:1: missing key `components_manager`, the mapping that declares a service"#]]
    .assert_eq(&problems.to_string());
}

#[test]
fn task_processors_are_checked() {
    let text = "components_manager:
    default_task_processor: main
    task_processors:
        main-task-processor: {worker_threads: 0}
        fs-task-processor: {worker_threads: 1, thread_name: sixteen-letters-}
        ok-task-processor: {worker_threads: 1, thread_name: fifteen-letters}
    components: {}
";
    let problems = checked(&ComponentList::new(), text, Default::default()).unwrap_err();
    expect![[r#"
        test.yaml:4:47: task_processors.main-task-processor.worker_threads: expected an integer from 1 to 1024, found `0`"#]]
        .assert_eq(&problems.to_string());
    let text = text.replace("worker_threads: 0", "worker_threads: 1");
    let problems = checked(&ComponentList::new(), &text, Default::default()).unwrap_err();
    expect![[r#"
        test.yaml:2:29: default_task_processor: unknown task processor `main`; declared: `fs-task-processor`, `main-task-processor`, `ok-task-processor`
        test.yaml:5:61: task_processors.fs-task-processor.thread_name: expected at most 15 printable characters, found `sixteen-letters-`"#]]
    .assert_eq(&problems.to_string());
}

#[track_caller]
fn check(sections: &str, settings: &str, expected: Expect) {
    let found = match checked(&list(), &config(sections, settings), Default::default()) {
        Ok(_) => String::new(),
        Err(problems) => problems.to_string(),
    };
    expected.assert_eq(&found);
}
