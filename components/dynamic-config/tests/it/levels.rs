//! Log levels change while a service runs.

use mainspring_logging::Level;
use mainspring_testsuite::TestService;

use crate::support::{Files, logged, start, until};

/// Makes these the levels and waits until they count.
fn set(service: &TestService, files: &Files, levels: &str) {
    let name = r#"config_reloads_total{component="dynamic-config",result="success"} "#;
    let count = || {
        let metrics = service.metrics();
        metrics.lines().find_map(|line| line.strip_prefix(name)?.parse::<u32>().ok())
    };
    let before = count();
    files.write("defaults.json", &format!(r#"{{"MAINSPRING_LOG_LEVELS": {levels}}}"#));
    service.handle().request_reload();
    until("the levels are set", || before < count());
}

/// Logs one line in each of two modules, and counts those of each that came through.
fn says(service: &TestService) -> (usize, usize) {
    let before = (logged(service, "from storage"), logged(service, "from elsewhere"));
    tracing::dispatcher::with_default(&service.handle().logging().dispatch(), || {
        tracing::debug!(target: "orders::storage::disk", "from storage");
        tracing::debug!(target: "orders_elsewhere", "from elsewhere");
    });
    (logged(service, "from storage") - before.0, logged(service, "from elsewhere") - before.1)
}

#[test]
fn levels_of_loggers_and_targets_follow_the_variable() {
    let files = Files::default();
    files.write("defaults.json", r#"{"MAINSPRING_LOG_LEVELS": {"loggers": {"default": "info"}}}"#);
    let service = start(&files, "        dynamic-config: {defaults-path: defaults.json}");
    assert_eq!(says(&service), (0, 0), "from the start");

    set(&service, &files, r#"{"loggers": {"default": "info"}, "targets": {"orders::storage": "debug"}}"#);
    assert_eq!(says(&service), (1, 0), "only what is below the target");

    set(&service, &files, r#"{"targets": {"orders::storage": "error"}}"#);
    assert_eq!(says(&service), (0, 1), "the logger has what is configured again, the target less");

    set(&service, &files, r#"{"loggers": {"audit": "debug"}}"#);
    assert_eq!(says(&service), (1, 1));
    until("the unknown logger is told", || logged(&service, "Level of a logger is not set") == 1);
}

#[test]
fn a_level_that_was_set_otherwise_stays_until_the_variable_says_something_else() {
    let files = Files::default();
    files.write("defaults.json", "{}");
    let service = start(&files, "        dynamic-config: {defaults-path: defaults.json}");
    service.handle().logging().set_level("default", Some(Level::Warning)).unwrap();
    set(&service, &files, r#"{"targets": {"orders::storage": "debug"}}"#);
    assert_eq!(says(&service), (1, 0));
    set(&service, &files, r#"{"loggers": {"default": "debug"}}"#);
    assert_eq!(says(&service), (1, 1));
}
