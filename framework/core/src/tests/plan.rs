//! What a wrong configuration is told, before anything starts.

use expect_test::{Expect, expect};
use mainspring_config::Violation;
use schemars::JsonSchema;
use serde::Deserialize;

use super::support::{Probe, block_on, checked, config};
use crate::{
    Component, ComponentContext, ComponentList, ConfigMode, LoadError, NoConfig, Phase, ServiceOutline,
};

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
            test.yaml:5:5: unknown key `extra`; known keys: `component_stop_timeout`, `components`, `default_task_processor`, `graceful_shutdown_interval`, `load_report_interval`, `load_timeout`, `shutdown_timeout`, `task_processors`
            test.yaml:8:34: worker.task_processor: unknown task processor `main-task-procesor`; did you mean `main-task-processor`?
            test.yaml:8:72: worker.source: unknown component `prob`; did you mean `probe`?
            test.yaml:9:9: prob: this component is not registered in code; did you mean `probe`?
            test.yaml:10:17: probe: unknown key `x`; there are no keys here
            test.yaml:11:34: optional.load-enabled: expected `true` or `false`"#]],
    );
}

#[test]
fn limits_of_loading_and_stopping_are_not_zero() {
    check(
        "        worker: {task_processor: main-task-processor, batch: 1, source: optional}\n        probe:\n",
        "    load_timeout: 0s\n    load_report_interval: 0ms\n    component_stop_timeout: 0s\n    shutdown_timeout: 0\n",
        expect![[r#"
            test.yaml:5:19: load_timeout: expected a duration of at least `1ms`, found `0s`
            test.yaml:6:27: load_report_interval: expected a duration of at least `1ms`, found `0ms`
            test.yaml:7:29: component_stop_timeout: expected a duration of at least `1ms`, found `0s`
            test.yaml:8:23: shutdown_timeout: expected a duration of at least `1ms`, found `0`"#]],
    );
}

#[test]
fn rules_of_the_manager_are_checked_whatever_else_is_wrong() {
    check(
        "        worker: {task_processor: main-task-processor, batch: 1}\n        probe:\n",
        "    load_timeout: 0s\n    shutdown_timeout: soon\n    extra: 1\n",
        expect![[r#"
            test.yaml:5:19: load_timeout: expected a duration of at least `1ms`, found `0s`
            test.yaml:6:23: shutdown_timeout: expected a duration such as `250ms`, found `soon`
            test.yaml:7:5: unknown key `extra`; known keys: `component_stop_timeout`, `components`, `default_task_processor`, `graceful_shutdown_interval`, `load_report_interval`, `load_timeout`, `shutdown_timeout`, `task_processors`"#]],
    );
}

#[test]
fn a_broken_map_of_task_processors_is_no_problem_of_each_component() {
    let sections = "        worker: {task_processor: main-task-processor, batch: 1}\n        probe:\n";
    let text = config(sections, "")
        .replace("{worker_threads: 2}", "")
        .replace("task_processors:\n", "task_processors: 2\n");
    let text = text.replace("        main-task-processor: \n", "");
    let problems = checked(&list(), &text, Default::default()).unwrap_err();
    expect!["test.yaml:3:22: task_processors: expected a map, found `2`"].assert_eq(&problems.to_string());
}

#[test]
fn a_broken_map_of_components_is_no_problem_of_each_component() {
    for components in ["    components: all\n", "    components:\n", ""] {
        let text = format!(
            "components_manager:\n    default_task_processor: main\n    task_processors: {{main: {{worker_threads: 1}}}}\n{components}"
        );
        let problems = checked(&list(), &text, Default::default()).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems}");
        assert!(problems.to_string().contains("components"), "{problems}");
    }
}

#[test]
fn what_is_switched_off_need_not_be_registered() {
    check(
        "        worker: {load-enabled: false}\n        probe: {load-enabled: false}\n        prob: {load-enabled: false, x: 1}\n",
        "",
        expect![""],
    );
}

#[test]
fn the_configuration_of_the_manager_keeps_no_section() {
    let text = config("        worker: {password: hush}\n", "");
    let source = mainspring_config::Source::new("test.yaml", text);
    let root = mainspring_config::parse(&source).unwrap();
    let manager: crate::ManagerConfig = root.get("components_manager").unwrap().read().unwrap();
    let shown = format!("{manager:?}");
    assert!(shown.contains("worker") && !shown.contains("hush"), "{shown}");
}

/// What a service logs from its start to its stop.
fn logged(service: crate::Service) -> Vec<mainspring_logging::RecentRecord> {
    let handle = service.handle();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| service.run());
        block_on(handle.reached(Phase::Running));
        handle.stop("seen");
        running.join().unwrap().unwrap();
    });
    handle.logging().recent(&Default::default())
}

#[test]
fn a_fallback_in_use_is_logged_by_its_path() {
    let text = config(
        "        worker: {load-enabled: false}\n        probe:\n",
        "    load_timeout#env: NOT_SET\n    load_timeout#fallback: 17m\n",
    );
    let service = checked(&list(), &text, Default::default()).unwrap();
    let records = logged(service);
    let told: Vec<_> = records.iter().filter(|record| record.text().contains("fallback")).collect();
    assert_eq!(told.len(), 1, "{records:?}");
    let told = format!("{:?}", told[0]);
    assert!(told.contains("components_manager.load_timeout") && !told.contains("17m"), "{told}");
}

#[test]
fn an_unused_variable_is_a_warning_in_the_log() {
    let text = config("        worker: {load-enabled: false}\n        probe:\n", "");
    let world = mainspring_config::FakeSurroundings::default().with_file("vars.yaml", "spare: hush\n");
    let source = mainspring_config::Source::new("test.yaml", format!("config_vars: vars.yaml\n{text}"));
    let root = mainspring_config::load(&source, &Default::default(), &world).unwrap();
    let service = crate::Service::new(&list(), &root, Default::default()).unwrap();
    let records = logged(service);
    let told: Vec<_> = records.iter().filter(|record| record.text().contains("questionable")).collect();
    assert_eq!(told.len(), 1, "{records:?}");
    let told = format!("{:?}", told[0]);
    assert!(told.contains("Warn") && told.contains("vars.yaml") && !told.contains("hush"), "{told}");
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
        test.yaml:2:29: default_task_processor: unknown task processor `main`; declared: `fs-task-processor`, `main-task-processor`, `ok-task-processor`
        test.yaml:4:47: task_processors.main-task-processor.worker_threads: expected an integer from 1 to 1024, found `0`
        test.yaml:5:61: task_processors.fs-task-processor.thread_name: expected at most 15 printable characters, found `sixteen-letters-`"#]]
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
