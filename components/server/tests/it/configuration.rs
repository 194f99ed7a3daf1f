//! Configurations that are wrong, and what they are answered with.

use mainspring_core::ComponentList;
use mainspring_server::{HttpHandlerComponent, JsonHandlerComponent, ServerComponent};

use crate::handlers::{Endless, Greet, Status, list};
use crate::support::{LISTENERS, Running, check};

#[test]
fn problems_of_sections_are_found_before_anything_starts() {
    let sections = "
        server:
            listener: {port: 8187, task_processor: main, backlog: 0, adress: '::'}
            listener-monitor: {port: 99999, task_processor: main-task-processor}
        handler-greet: {path: greet, method: 'GET, BREW', greting: Hi, task_processor: none}
        handler-status: {path: '/a{b}', method: []}
        handler-ping: {path: '/*/ping', task_processor: none, max_request_size: -1}";
    expect_test::expect![[r#"
        test.yaml:12:67: server.listener.backlog: expected an integer from 1 to 4294967295, found `0`
        test.yaml:12:70: server.listener: unknown key `adress`; did you mean `address`?
        test.yaml:13:38: server.listener-monitor.port: expected an integer from 0 to 65535, found `99999`
        test.yaml:14:59: handler-greet: unknown key `greting`; did you mean `greeting`?
        test.yaml:15:25: handler-status: expected at least one method
        test.yaml:16:81: handler-ping.max_request_size: expected a size such as `64KiB`, found `-1`"#]]
    .assert_eq(&problems(sections));
}

#[test]
fn listeners_and_handlers_name_task_processors_that_exist() {
    let sections = "
        server:
            listener: {port: 8187, task_processor: main, read_timeout: 0s}
            listener-monitor: {port: 8187, task_processor: monitor, write_timeout: 2d}
        handler-greet: {path: greet, task_processor: none}
        handler-status: {path: '/a{b}'}
        handler-ping: {path: '/*/ping', task_processor: other-task-procesor}";
    expect_test::expect![[r#"
        test.yaml:12:52: server.listener.task_processor: unknown task processor `main`; declared: `main-task-processor`, `monitor-task-processor`, `other-task-processor`
        test.yaml:12:72: server.listener.read_timeout: expected a duration from `1ms` to `1d`, found `0s`
        test.yaml:13:38: server.listener-monitor.port: port 8187 is that of `listener` already; give the monitor its own
        test.yaml:13:60: server.listener-monitor.task_processor: unknown task processor `monitor`; did you mean `monitor-task-processor`?
        test.yaml:13:84: server.listener-monitor.write_timeout: expected a duration from `1ms` to `1d`, found `2d`
        test.yaml:14:31: handler-greet.path: expected a path that starts with `/`, found `greet`
        test.yaml:14:54: handler-greet.task_processor: unknown task processor `none`; declared: `main-task-processor`, `monitor-task-processor`, `other-task-processor`
        test.yaml:15:32: handler-status.path: `a{b}` is no segment of a path; expected plain text, `{name}`, or `*` at the end
        test.yaml:16:30: handler-ping.path: `*` is no segment of a path; expected plain text, `{name}`, or `*` at the end
        test.yaml:16:57: handler-ping.task_processor: unknown task processor `other-task-procesor`; did you mean `other-task-processor`?"#]].assert_eq(&problems(sections));
}

#[test]
fn levels_are_for_statuses() {
    let sections = format!("{LISTENERS}\n        handler-ping: {{status-codes-log-level: {{200: loud}}}}");
    expect_test::expect!["test.yaml:14:54: handler-ping.status-codes-log-level.200: expected one of `trace`, `debug`, `info`, `warning`, `error`, `critical`, `none`; found `loud`"].assert_eq(&problems(&sections));
    for status in ["99", "600", "ok"] {
        let sections =
            format!("{LISTENERS}\n        handler-ping: {{status-codes-log-level: {{{status}: info}}}}");
        let problem = problems(&sections);
        let expected = format!("expected a status from 100 to 599, found `{status}`");
        assert!(problem.ends_with(&expected), "{problem}");
    }
    let sections =
        format!("{LISTENERS}\n        handler-ping: {{status-codes-log-level: {{100: info, 599: none}}}}");
    assert!(check(&list(), &sections).is_ok());
}

#[test]
fn a_handler_without_default_path_needs_a_section() {
    let list = list().append::<HttpHandlerComponent<bare::Bare>>("handler-bare");
    let without = check(&list, LISTENERS).expect_err("its section is missing").to_string();
    assert!(
        without.contains("component `handler-bare` is registered in code but has no section"),
        "{without}"
    );
    let sections = format!("{LISTENERS}\n        handler-bare: {{}}");
    expect_test::expect![[r#"
        test.yaml:14:23: handler-bare: missing key `method`, what the handler answers, such as `GET,POST`
        test.yaml:14:23: handler-bare: missing key `path`, where the handler answers, such as `/orders`"#]]
    .assert_eq(&check(&list, &sections).expect_err("it has no path").to_string());
}

#[test]
fn one_method_of_one_path_has_one_handler() {
    let sections = "
        handler-greet: {path: /same, method: 'PUT,POST'}
        handler-status: {path: /same, method: POST}";
    let list = ComponentList::minimal()
        .append_default::<ServerComponent>()
        .append_default::<JsonHandlerComponent<Greet>>()
        .append_default::<HttpHandlerComponent<Status>>();
    let error = Running::launch(&list, &format!("{LISTENERS}{sections}"))
        .join()
        .expect_err("both want it")
        .to_string();
    let names = |first: &str, second: &str| {
        format!(
            "cannot start `{first}`: `POST /same` is answered by `{second}` already; give one of the two another `path` \
             or `method`"
        )
    };
    // They load at the same time; whichever comes second is told.
    let expected = [names("handler-greet", "handler-status"), names("handler-status", "handler-greet")];
    assert!(expected.contains(&error), "{error}");
}

#[test]
fn different_methods_of_one_path_may_have_different_handlers() {
    let sections = "
        handler-greet: {path: /same, method: PUT}
        handler-status: {path: /same, method: POST}";
    let service = Running::start(&list(), &format!("{LISTENERS}{sections}"));
    assert_eq!(crate::support::request(service.main(), "PUT /same", "", "null").status, 200);
    assert_eq!(crate::support::request(service.main(), "POST /same", "", "204").status, 204);
    let refused = crate::support::get(service.main(), "/same");
    assert_eq!(refused.status, 405);
}

#[test]
fn paths_that_cannot_be_told_apart_are_an_error() {
    let sections = "
        handler-greet: {path: '/a/{x}'}
        handler-endless: {path: '/a/{y}'}";
    let list = ComponentList::minimal()
        .append_default::<ServerComponent>()
        .append_default::<JsonHandlerComponent<Greet>>()
        .append_default::<HttpHandlerComponent<Endless>>();
    let error =
        Running::launch(&list, &format!("{LISTENERS}{sections}")).join().expect_err("both fit").to_string();
    assert!(error.contains("cannot be told from"), "{error}");
    assert!(error.contains("`handler-greet`") && error.contains("`handler-endless`"), "{error}");
    assert!(error.contains("`/a/{x}`") && error.contains("`/a/{y}`"), "{error}");
}

#[test]
fn without_a_monitor_listener_its_handlers_are_absent_unless_they_are_configured() {
    let listener = "
        server: {listener: {address: 127.0.0.1, port: 0, task_processor: main-task-processor}}";
    let list = list().append_default::<HttpHandlerComponent<bare::OnMonitor>>();
    let service = Running::start(&list, listener);
    assert_eq!(service.logged("No `listener-monitor` is configured").len(), 1);
    assert_eq!(crate::support::get(service.main(), "/on-monitor").status, 404);
    service.stop().expect("it stops");

    // An empty section says that somebody wants it, too.
    for (section, place) in [
        ("{path: /there}", "test.yaml:12:29: handler-on-monitor"),
        ("{}", "test.yaml:12:29: handler-on-monitor"),
        ("", "test.yaml:12:9: handler-on-monitor"),
        ("{monitor-handler: true}", "test.yaml:12:47: handler-on-monitor.monitor-handler"),
    ] {
        let problem = problems_of(&list, &format!("{listener}\n        handler-on-monitor: {section}"));
        let expected =
            "answers on `listener-monitor`, which `server` does not have; declare `server.listener-monitor`";
        assert_eq!(problem, format!("{place}: {expected}"));
    }
}

#[test]
fn a_handler_that_is_configured_needs_a_server() {
    let sections = "
        server: {load-enabled: false}
        handler-on-monitor: {path: /there}";
    let list = list().append_default::<HttpHandlerComponent<bare::OnMonitor>>();
    let problems = problems_of(&list, sections);
    let expected = "test.yaml:12:29: handler-on-monitor: unknown component `server`; declared: ";
    assert!(problems.starts_with(expected), "{problems}");
}

#[test]
fn the_readme_shows_a_config_that_is_right() {
    let readme = include_str!("../../README.md");
    let (_, block) = readme.split_once("```yaml\n").expect("there is a block");
    let (block, _) = block.split_once("```").expect("the block ends");
    let sections: String = block.lines().map(|line| format!("\n        {line}")).collect();
    let list = list().append::<HttpHandlerComponent<bare::Bare>>("handler-orders");
    assert!(check(&list, &sections).is_ok(), "{:?}", check(&list, &sections));
}

fn problems(sections: &str) -> String {
    problems_of(&list(), sections)
}

fn problems_of(list: &ComponentList, sections: &str) -> String {
    check(list, sections).expect_err("the sections are wrong").to_string()
}

/// Handlers with unusual defaults.
mod bare {
    use mainspring_core::{ComponentContext, LoadError, NoConfig};
    use mainspring_server::{Body, HandlerDefaults, HandlerError, HttpHandler, Request, Response};

    pub(super) struct Bare;

    impl HttpHandler for Bare {
        const DEFAULT_NAME: &'static str = "handler-bare";
        type Config = NoConfig;

        async fn load(_config: NoConfig, _cx: &ComponentContext) -> Result<Self, LoadError> {
            Ok(Self)
        }

        async fn handle(&self, _request: Request) -> Result<Response, HandlerError> {
            Ok(Response::new(Body::empty()))
        }
    }

    pub(super) struct OnMonitor;

    impl HttpHandler for OnMonitor {
        const DEFAULT_NAME: &'static str = "handler-on-monitor";
        const DEFAULTS: HandlerDefaults =
            HandlerDefaults::new().with_path("/on-monitor").with_method("GET").on_monitor();
        type Config = NoConfig;

        async fn load(_config: NoConfig, _cx: &ComponentContext) -> Result<Self, LoadError> {
            Ok(Self)
        }

        async fn handle(&self, _request: Request) -> Result<Response, HandlerError> {
            Ok(Response::new(Body::empty()))
        }
    }
}
