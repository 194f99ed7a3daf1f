//! Loading: waiting for what is asked for, and every way in which it can fail.

use std::sync::Arc;

use expect_test::{Expect, expect};

use super::support::{Journal, NotedOnDrop, Probe, Script, block_on, log_of};
use crate::{
    Component, ComponentContext, ConfigMode, Health, LoadError, LoggingComponent, NoConfig, Phase,
    ServiceErrorKind,
};

#[test]
fn a_component_loads_after_those_it_finds_and_stops_before_them() {
    let script = Script::default().needs("a", &["b", "c"]).needs("b", &["c"]);
    let journal = script.journal.clone();
    script.run(&["a", "b", "c"]).unwrap();
    assert_eq!(
        journal.entries(),
        [
            "load c",
            "load b",
            "load a",
            "loaded c",
            "loaded b",
            "loaded a",
            "stopping a",
            "stopping b",
            "stopping c",
            "stop a",
            "stop b",
            "stop c"
        ]
    );
}

#[test]
fn a_missing_component_is_named_with_the_chain_and_what_is_registered() {
    let waits = Arc::new(tokio::sync::Notify::new());
    let ready = Arc::clone(&waits);
    let script = Script::default()
        .load("a", move |cx| {
            let ready = Arc::clone(&ready);
            async move {
                // Polled in this order: `a` waits by the time it says so.
                let (found, ()) = tokio::join!(cx.find::<Probe>("b"), async { ready.notify_one() });
                found.map(drop)
            }
        })
        .load("b", move |cx| {
            let waits = Arc::clone(&waits);
            async move {
                waits.notified().await;
                cx.find::<Probe>("kafka-producer").await.map(drop)
            }
        });
    check_failure(
        script,
        &["a", "b"],
        expect![[r#"
cannot start `b`: needs `kafka-producer`, which is not registered; registered: `a`, `b`, `logging`; needed by `a` -> `b`"#]],
    );
}

#[test]
fn a_cycle_is_named_in_full() {
    let script = Script::default().needs("a", &["b"]).needs("b", &["c"]).needs("c", &["a"]);
    let error = script.run(&["a", "b", "c"]).unwrap_err().to_string();
    // Whoever asks last closes the circle, so its starting point depends on timing.
    let expected = [
        "cannot start: dependency cycle `a` -> `b` -> `c` -> `a`",
        "cannot start: dependency cycle `b` -> `c` -> `a` -> `b`",
        "cannot start: dependency cycle `c` -> `a` -> `b` -> `c`",
    ];
    assert!(expected.contains(&error.as_str()), "{error}");
}

#[test]
fn asking_for_oneself_is_a_cycle() {
    check_failure(
        Script::default().needs("a", &["a"]),
        &["a"],
        expect![[r#"
cannot start: dependency cycle `a` -> `a`"#]],
    );
}

#[test]
fn a_component_of_another_type_is_refused_by_both_names() {
    let script =
        Script::default().load("a", |cx| async move { cx.find::<LoggingComponent>("b").await.map(drop) });
    check_failure(
        script,
        &["a", "b"],
        expect![[r#"
cannot start `a`: needs `b` as a `mainspring_core::logging::LoggingComponent`, but it is a `mainspring_core::tests::support::Probe`; of the type needed: `logging`"#]],
    );
}

#[test]
fn a_wrong_type_is_told_without_waiting_for_the_component() {
    let script = Script::default()
        .load("a", |cx| async move { cx.find::<Curious>("b").await.map(drop) })
        .load("b", |_| std::future::pending());
    check_failure(
        script,
        &["a", "b"],
        expect![[r#"
cannot start `a`: needs `b` as a `mainspring_core::tests::loading::Curious`, but it is a `mainspring_core::tests::support::Probe`; of the type needed: none"#]],
    );
}

#[test]
fn an_error_of_the_component_itself_is_reported_with_its_causes() {
    let script = Script::default().load("a", |_| async {
        let port: Result<u16, _> = "http".parse();
        port.map_err(|source| Error { source })?;
        Ok(())
    });
    check_failure(
        script,
        &["a"],
        expect![[r#"
cannot start `a`: no port: invalid digit found in string"#]],
    );
}

#[derive(Debug, thiserror::Error)]
#[error("no port")]
struct Error {
    source: std::num::ParseIntError,
}

#[test]
fn an_unknown_task_processor_is_refused_with_those_declared() {
    let script = Script::default().load("a", |cx| async move { cx.task_processor("fast").map(drop) });
    check_failure(
        script,
        &["a"],
        expect![[r#"
cannot start `a`: unknown task processor `fast`; declared: `main-task-processor`"#]],
    );
}

#[test]
fn a_panic_in_load_is_a_failed_load() {
    let script = Script::default().load("a", |_| async { panic!("out of luck") });
    check_failure(
        script,
        &["a", "b"],
        expect![[r#"
cannot start `a`: task panicked: out of luck"#]],
    );
}

#[test]
fn a_failed_load_cancels_the_others_and_unloads_those_loaded_in_reverse() {
    struct Dropped(Journal);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.note("dropped the load of hanging");
        }
    }
    let script = Script::default().needs("b", &["a"]);
    let journal = script.journal.clone();
    let in_load = journal.clone();
    let hangs = Arc::new(tokio::sync::Notify::new());
    let hanging = Arc::clone(&hangs);
    let script = script
        .load("hanging", move |_| {
            let dropped = Dropped(in_load.clone());
            hanging.notify_one();
            async move {
                let _dropped = dropped;
                std::future::pending().await
            }
        })
        .load("failing", move |cx| {
            let hangs = Arc::clone(&hangs);
            async move {
                cx.find::<Probe>("b").await?;
                hangs.notified().await;
                Err(LoadError::message("disk full"))
            }
        });
    let error = script.run(&["a", "b", "failing", "hanging"]).unwrap_err();
    assert_eq!(error.to_string(), "cannot start `failing`: disk full");
    assert_eq!(journal.entries(), ["load a", "load b", "dropped the load of hanging", "stop b", "stop a"]);
}

#[test]
fn a_failing_hook_stops_the_service_with_the_name_of_the_hook() {
    let script = Script::default()
        .needs("b", &["a"])
        .loaded("a", |_| async { Err(LoadError::message("port in use")) });
    let journal = script.journal.clone();
    let error = script.run(&["a", "b"]).unwrap_err();
    assert_eq!(error.to_string(), "cannot start `a`: on_all_components_loaded: port in use");
    // The hook of `b` was not called, so neither is its other one.
    assert_eq!(journal.entries(), ["load a", "load b", "stopping a", "stop b", "stop a"]);
}

#[test]
fn a_failing_hook_does_not_wait_for_one_that_hangs() {
    let script = Script::default()
        .loaded("a", |_| async { Err(LoadError::message("port in use")) })
        .loaded("b", |_| std::future::pending());
    let error = script.run(&["a", "b"]).unwrap_err();
    assert_eq!(error.to_string(), "cannot start `a`: on_all_components_loaded: port in use");
}

#[test]
fn a_panicking_hook_is_a_failed_start_and_the_others_are_stopped() {
    let script = Script::default().needs("b", &["a"]).loaded("b", |_| async { panic!("out of luck") });
    let journal = script.journal.clone();
    let error = script.run(&["a", "b"]).unwrap_err();
    assert_eq!(error.to_string(), "cannot start `b`: on_all_components_loaded: task panicked: out of luck");
    assert_eq!(
        journal.entries(),
        ["load a", "load b", "loaded a", "stopping b", "stopping a", "stop b", "stop a"]
    );
}

#[test]
fn a_failed_start_tells_what_it_could_not_stop() {
    let script = Script::default().needs("b", &["a"]).stop("a", |_| std::future::pending()).load(
        "failing",
        |cx| async move {
            cx.find::<Probe>("b").await?;
            drop(cx.default_task_processor().spawn("forgotten", std::future::pending::<()>()));
            Err(LoadError::message("disk full"))
        },
    );
    let service = script.service(&["a", "b", "failing"], "    component_stop_timeout: 4s\n");
    let error = service.run().unwrap_err();
    assert_eq!(
        error.unfinished(),
        ["`a` did not finish `stop`", "`main-task-processor` still ran forgotten x1"]
    );
    expect!["cannot start `failing`: disk full; then, `a` did not finish `stop`; `main-task-processor` still ran forgotten x1"]
        .assert_eq(&error.to_string());
}

#[test]
fn every_failed_start_is_logged() {
    let failures = [
        Script::default().needs("a", &["a"]),
        Script::default().load("a", |_| async { Err(LoadError::message("disk full")) }),
        Script::default().load("a", |_| std::future::pending()),
    ];
    for script in failures {
        let service = script.service(&["a"], "    load_timeout: 3s\n");
        let handle = service.handle();
        let error = service.run().unwrap_err();
        let log = log_of(&handle);
        assert!(log.iter().any(|line| line == "Service failed to start"), "{error}: {log:?}");
    }
}

#[test]
fn a_service_whose_threads_are_refused_has_stopped() {
    let mut service = Script::default().service(&["a"], "");
    let processors = &mut service.plan.manager.task_processors;
    processors.get_mut("main-task-processor").unwrap().worker_threads = std::num::NonZeroUsize::MAX;
    let handle = service.handle();
    let error = service.run().unwrap_err();
    assert!(matches!(error.kind(), ServiceErrorKind::Engine(_)), "{error}");
    assert_eq!((handle.phase(), handle.has_been_ready()), (Phase::Stopped, false));
    assert!(log_of(&handle).iter().any(|line| line == "Service failed to start"));
}

#[test]
fn a_panic_is_blamed_on_the_component_that_panicked() {
    for _ in 0..50 {
        let script = Script::default()
            .load("a", |_| async { Err(LoadError::message("disk full")) })
            .load("z", |_| async { panic!("out of luck") });
        let error = script.run(&["a", "z"]).unwrap_err().to_string();
        let honest = ["cannot start `a`: disk full", "cannot start `z`: task panicked: out of luck"];
        assert!(honest.contains(&error.as_str()), "{error}");
    }
}

#[test]
fn a_hook_that_hangs_is_named_when_the_time_to_load_is_over() {
    let script = Script::default().loaded("a", |_| std::future::pending());
    let service = script.service(&["a"], "    load_timeout: 4s\n    load_report_interval: 20ms\n");
    let handle = service.handle();
    let error = service.run().unwrap_err();
    assert_eq!(error.to_string(), "cannot start: `a` is still in `on_all_components_loaded` after 4s");
    let log = log_of(&handle);
    assert!(log.iter().any(|line| line == "Component is still in a hook"), "{log:?}");
}

#[test]
fn tasks_of_a_component_that_fails_to_load_end_before_its_dependencies_stop() {
    let script = Script::default();
    let journal = script.journal.clone();
    let script = script.load("a", move |cx| {
        let journal = journal.clone();
        async move {
            cx.find::<Probe>("b").await?;
            drop(cx.spawn("endless", async move {
                let _noted = NotedOnDrop(journal);
                std::future::pending::<()>().await;
            }));
            Err(LoadError::message("disk full"))
        }
    });
    let journal = script.journal.clone();
    script.run(&["a", "b"]).unwrap_err();
    assert_eq!(journal.entries(), ["load b", "a task ended", "stop b"]);
}

#[test]
fn a_load_that_hangs_is_named_with_what_it_waits_for() {
    let script = Script::default().needs("a", &["b"]).load("b", |_| std::future::pending());
    let service = script.service(&["a", "b"], "    load_timeout: 4s\n    load_report_interval: 20ms\n");
    let handle = service.handle();
    let error = service.run().unwrap_err();
    assert_eq!(error.to_string(), "cannot start: `a` still waits for `b`; `b` is still loading after 4s");
    let log = log_of(&handle);
    assert!(log.iter().any(|line| line == "Component is still waiting"), "{log:?}");
    assert!(log.iter().any(|line| line == "Component is still loading"), "{log:?}");
}

#[test]
fn an_optional_lookup_finds_what_is_there_and_nothing_else() {
    let script = Script::default().load("a", |cx| async move {
        assert!(cx.find_optional::<Probe>("b").await?.is_some());
        assert!(cx.find_optional::<Probe>("missing").await?.is_none());
        Ok(())
    });
    script.run(&["a", "b"]).unwrap();
}

#[test]
fn finding_is_refused_once_a_component_is_loaded() {
    let script = Script::default().loaded("a", |cx| async move { cx.find::<Probe>("b").await.map(drop) });
    check_failure(
        script,
        &["a", "b"],
        expect![[r#"
cannot start `a`: on_all_components_loaded: asked for `b` after loading; components are found in `load`"#]],
    );
}

#[test]
fn a_stop_while_loading_ends_the_service_without_an_error() {
    let script = Script::default().load("hanging", |cx| {
        cx.service().stop("changed my mind");
        std::future::pending()
    });
    let service = script.service(&["hanging"], "");
    let handle = service.handle();
    let report = service.run().unwrap();
    assert!(!handle.has_been_ready());
    assert_eq!((report.reason.as_str(), report.unfinished), ("changed my mind", vec![]));
}

#[test]
fn a_running_service_shows_its_components_and_their_health() {
    let script = Script::default().health("b", || Health::fatal("no disk"));
    let service = script.service(&["a", "b"], "");
    let handle = service.handle();
    let watcher = std::thread::scope(|scope| {
        let running = scope.spawn(|| service.run());
        let seen = block_on(async {
            assert_eq!(handle.reached(Phase::Running).await, Phase::Running);
            let fatal: Vec<_> = handle
                .components()
                .into_iter()
                .filter(|status| status.health.as_ref().is_some_and(Health::is_fatal))
                .map(|status| status.name)
                .collect();
            (fatal, handle.is_ready(), handle.component::<Probe>("a").is_some())
        });
        handle.stop("seen");
        running.join().unwrap().unwrap();
        seen
    });
    assert_eq!(watcher, (vec!["b".to_owned()], false, true));
    assert_eq!((handle.phase(), handle.components().len()), (Phase::Stopped, 0));
}

#[test]
fn a_component_whose_health_panics_is_fatal() {
    let script = Script::default().health("a", || panic!("out of luck"));
    let service = script.service(&["a"], "");
    let handle = service.handle();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| service.run());
        block_on(handle.reached(Phase::Running));
        for _ in 0..3 {
            let status = handle.components().into_iter().find(|status| status.name == "a").unwrap();
            assert_eq!(status.health, Some(Health::fatal("health panicked")));
        }
        handle.stop("seen");
        running.join().unwrap().unwrap();
    });
}

#[test]
fn a_health_that_panics_is_logged_once() {
    let script = Script::default().health("a", || panic!("out of luck")).loaded("a", |cx| async move {
        for _ in 0..3 {
            assert!(cx.service().has_fatal_component());
        }
        cx.service().stop("seen");
        Ok(())
    });
    let service = script.service(&["a"], "");
    let handle = service.handle();
    service.run().unwrap();
    let log = log_of(&handle);
    let told = log.iter().filter(|line| line.contains("panicked in `health`")).count();
    assert_eq!(told, 1, "{log:?}");
}

#[test]
fn services_run_side_by_side_in_one_process() {
    let scripts = [Script::default().needs("a", &["b"]), Script::default().needs("b", &["a"])];
    let journals = scripts.each_ref().map(|script| script.journal.clone());
    std::thread::scope(|scope| {
        for script in scripts {
            scope.spawn(|| script.run(&["a", "b"]).unwrap());
        }
    });
    assert_eq!(journals[0].of("load"), ["b", "a"]);
    assert_eq!(journals[1].of("load"), ["a", "b"]);
}

/// A component may be registered under several names.
struct Twin(String);

impl Component for Twin {
    const DEFAULT_NAME: &'static str = "twin";
    type Config = NoConfig;

    async fn load(_: NoConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        Ok(Self(cx.name().to_owned()))
    }
}

#[test]
fn instances_of_one_type_have_their_own_names() {
    let list = crate::ComponentList::minimal().append::<Twin>("left").append::<Twin>("right");
    let text = super::support::config("        left:\n        right:\n", "");
    let service = super::support::checked(&list, &text, Default::default()).unwrap();
    let handle = service.handle();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| service.run());
        block_on(handle.reached(Phase::Running));
        assert_eq!(handle.component::<Twin>("left").unwrap().0, "left");
        assert_eq!(handle.component::<Twin>("right").unwrap().0, "right");
        handle.stop("seen");
        running.join().unwrap().unwrap();
    });
}

/// Its section may be missing, and it knows whether it is.
struct Curious {
    was_declared: bool,
}

impl Component for Curious {
    const DEFAULT_NAME: &'static str = "curious";
    const CONFIG_MODE: ConfigMode = ConfigMode::NotRequired;
    type Config = NoConfig;

    async fn load(_: NoConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        Ok(Self { was_declared: cx.is_declared() })
    }
}

#[test]
fn an_empty_section_is_a_declaration_and_a_missing_one_is_none() {
    let names = ["empty", "null", "missing"];
    let list = names.iter().fold(crate::ComponentList::minimal(), |list, name| list.append::<Curious>(*name));
    let text = super::support::config("        empty: {}\n        'null':\n", "");
    let service = super::support::checked(&list, &text, Default::default()).unwrap();
    let handle = service.handle();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| service.run());
        block_on(handle.reached(Phase::Running));
        let declared = names.map(|name| handle.component::<Curious>(name).unwrap().was_declared);
        handle.stop("seen");
        running.join().unwrap().unwrap();
        assert_eq!(declared, [true, true, false]);
    });
}

#[track_caller]
fn check_failure(script: Script, names: &[&str], expected: Expect) {
    let error = script.run(names).expect_err("the service must not start");
    expected.assert_eq(&error.to_string());
}
