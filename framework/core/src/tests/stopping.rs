//! Stopping: order, deadlines, grace, force, and tasks that end with their component.

use std::time::{Duration, Instant};

use super::support::{NotedOnDrop, Script, block_on};
use crate::{Phase, ServiceHandle, StopReport};

#[test]
fn readiness_goes_down_before_the_grace_interval_and_work_goes_on_through_it() {
    let script = Script::default();
    let journal = script.journal.clone();
    let service = script.service(&["a"], "    graceful_shutdown_interval: 1h\n");
    let (report, _) = stopped_when_running(service, |handle| {
        handle.stop("deploy");
        let phase = block_on(handle.reached(Phase::ShuttingDown));
        assert_eq!((phase, handle.is_ready(), handle.has_been_ready()), (Phase::ShuttingDown, false, true));
        assert_eq!(journal.of("stopping"), Vec::<String>::new(), "components still work");
        handle.force_stop();
    });
    assert_eq!(report.reason, "deploy");
    assert_eq!(journal.of("stop"), ["a"]);
}

#[test]
fn a_forced_stop_skips_the_grace_interval_and_names_what_was_cut_short() {
    let script = Script::default().stop("stuck", |_| std::future::pending());
    let service = script.service(&["stuck"], "    graceful_shutdown_interval: 1h\n");
    let (report, took) = stopped_when_running(service, |handle| {
        handle.stop("first signal");
        handle.force_stop();
    });
    assert_eq!(report.reason, "first signal");
    check_unfinished(&report, "`stuck` did not finish `stop`");
    assert!(took < Duration::from_secs(60), "{took:?}");
}

#[test]
fn a_step_that_does_not_end_is_given_up_at_its_deadline_and_named() {
    let script = Script::default().needs("a", &["b"]).stop("a", |_| std::future::pending());
    let journal = script.journal.clone();
    let service = script.service(&["a", "b"], LIMIT);
    let (report, _) = stopped_when_running(service, |handle| handle.stop("deploy"));
    check_unfinished(&report, "`a` did not finish `stop`");
    assert_eq!(journal.of("stop"), ["b"], "what it depends on is stopped all the same");
}

#[test]
fn who_wants_to_stop_last_outlives_the_others_but_never_what_it_depends_on() {
    let script = Script::default()
        .needs("last-monitor", &["last-server"])
        .needs("handler", &["last-server"])
        .needs("last-report", &["last-server", "database"])
        .stop("slow", |_| async { tokio::time::sleep(Duration::from_millis(50)).await });
    let journal = script.journal.clone();
    let names = ["database", "handler", "last-monitor", "last-report", "last-server", "slow"];
    let (report, _) = stopped_when_running(script.service(&names, ""), |handle| handle.stop("deploy"));
    assert_eq!(report, clean("deploy"));
    let stopped = journal.of("stop");
    assert_eq!(stopped[4..], ["last-monitor", "last-server"], "{stopped:?}");
    let position = |name| stopped.iter().position(|known| known == name);
    assert!(position("last-report") < position("database"), "{stopped:?}");
}

#[test]
fn a_stop_that_panics_is_named_and_the_others_are_stopped() {
    let script = Script::default().needs("a", &["b"]).stop("a", |_| async { panic!("out of luck") });
    let journal = script.journal.clone();
    let (report, _) = stopped_when_running(script.service(&["a", "b"], ""), |handle| handle.stop("deploy"));
    assert_eq!(report.unfinished, ["`a` panicked in `stop`"]);
    assert_eq!(journal.of("stop"), ["b"]);
}

#[test]
fn a_stop_that_blocks_its_thread_is_given_up_at_its_deadline_too() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Arc::new(std::sync::Mutex::new(released));
    let script = Script::default().needs("a", &["b"]).stop("a", move |_| {
        let released = std::sync::Arc::clone(&released);
        async move {
            // Ends when the other side is gone.
            let _ended = released.lock().unwrap().recv().is_err();
        }
    });
    let journal = script.journal.clone();
    let service = script.service(&["a", "b"], LIMIT);
    let (report, _) = stopped_when_running(service, |handle| {
        handle.stop("deploy");
        super::support::wait_for("`b` to be stopped", || journal.of("stop") == ["b"]);
        drop(release);
    });
    check_unfinished(&report, "`a` did not finish `stop`");
}

#[test]
fn a_stop_that_blocks_the_only_thread_is_bounded_all_the_same() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Arc::new(std::sync::Mutex::new(released));
    let script = Script::default().on_one_worker().needs("a", &["b"]).stop("a", move |_| {
        let released = std::sync::Arc::clone(&released);
        async move {
            // Ends when the other side is gone.
            let _ended = released.lock().unwrap().recv().is_err();
        }
    });
    let service = script.service(&["a", "b"], LIMIT);
    let (report, _) = stopped_when_running(service, |handle| handle.stop("deploy"));
    check_unfinished(&report, "`a` did not finish `stop`");
    check_unfinished(&report, "`b` did not finish `stop`");
    drop(release);
}

/// A drop that needs the only worker: on that thread it would wait for ever.
fn check_dropped_where_it_may_block(script: Script, settings: &str) -> StopReport {
    let script = script.on_one_worker();
    let journal = script.journal.clone();
    let processor = std::sync::Arc::new(std::sync::OnceLock::new());
    let known = std::sync::Arc::clone(&processor);
    let script = script.load("a", move |cx| {
        let _first = known.set(cx.default_task_processor().clone());
        async { Ok(()) }
    });
    let script = script.drops("a", move || {
        let (done, is_done) = std::sync::mpsc::channel();
        let processor: &mainspring_engine::TaskProcessor = processor.get().unwrap();
        let needed = processor.spawn("needed by the drop", async move { done.send(()).is_ok() });
        is_done.recv_timeout(Duration::from_secs(30)).unwrap();
        // The engine would name it while it is still ending.
        while !needed.is_finished() {
            std::thread::yield_now();
        }
        journal.note("dropped a");
    });
    let journal = script.journal.clone();
    let (report, _) = stopped_when_running(script.service(&["a"], settings), |handle| handle.stop("deploy"));
    assert_eq!(journal.of("dropped"), ["a"]);
    report
}

#[test]
fn a_component_is_dropped_where_it_may_block() {
    assert_eq!(check_dropped_where_it_may_block(Script::default(), ""), clean("deploy"));
}

#[test]
fn a_component_whose_stop_never_ends_is_dropped_where_it_may_block_all_the_same() {
    let script = Script::default().stop("a", |_| std::future::pending());
    let report = check_dropped_where_it_may_block(script, LIMIT);
    assert_eq!(report.unfinished, ["`a` did not finish `stop`"]);
}

#[test]
fn a_drop_that_panics_is_named_and_the_others_are_stopped() {
    let script = Script::default().needs("a", &["b"]).drops("a", || panic!("out of luck"));
    let journal = script.journal.clone();
    let (report, _) = stopped_when_running(script.service(&["a", "b"], ""), |handle| handle.stop("deploy"));
    assert_eq!(report.unfinished, ["`a` panicked in `drop`"]);
    assert_eq!(journal.of("stop"), ["a", "b"]);
}

#[test]
fn a_drop_that_blocks_is_given_up_at_its_deadline() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let script = Script::default().needs("a", &["b"]).drops("a", move || {
        // Ends when the other side is gone.
        let _ended = released.lock().unwrap().recv().is_err();
    });
    let journal = script.journal.clone();
    let (report, _) = stopped_when_running(script.service(&["a", "b"], LIMIT), |handle| {
        handle.stop("deploy");
        super::support::wait_for("`b` to be stopped", || journal.of("stop") == ["a", "b"]);
        drop(release);
    });
    check_unfinished(&report, "`a` did not finish `drop`");
}

#[test]
fn the_whole_stop_is_bounded_and_what_it_leaves_out_is_named() {
    let script = Script::default().needs("a", &["b"]).stop("a", |_| std::future::pending());
    let journal = script.journal.clone();
    let script = script.drops("b", move || journal.note("dropped b"));
    let journal = script.journal.clone();
    let service = script.service(&["a", "b"], "    shutdown_timeout: 4s\n    component_stop_timeout: 1h\n");
    let (report, _) = stopped_when_running(service, |handle| handle.stop("deploy"));
    check_unfinished(&report, "`shutdown_timeout` ended the stop after 4s");
    check_unfinished(&report, "`a` did not finish `stop`");
    check_unfinished(&report, "`b` had no time left for `stop`");
    assert_eq!((journal.of("stop"), journal.of("dropped")), (vec![], vec!["b".to_owned()]));
}

#[test]
fn metrics_tell_how_long_the_stop_has_taken() {
    let script = Script::default();
    let journal = script.journal.clone();
    let script = script.stop("a", move |cx| {
        let text = mainspring_metrics::prometheus_text(&cx.metrics().snapshot());
        let line = text.lines().find(|line| line.starts_with("service_shutdown_duration_seconds ")).unwrap();
        journal.note(line);
        async {}
    });
    let journal = script.journal.clone();
    let (_, _) = stopped_when_running(script.service(&["a"], ""), |handle| {
        let text = mainspring_metrics::prometheus_text(&handle.metrics().snapshot());
        assert!(text.contains("service_shutdown_duration_seconds 0\n"), "{text}");
        handle.stop("deploy");
    });
    let seconds: f64 = journal.of("service_shutdown_duration_seconds")[0].parse().unwrap();
    assert!(0.0 < seconds, "{seconds}");
}

#[test]
fn blocking_calls_of_a_component_end_before_the_stop_of_its_dependencies() {
    let script = Script::default();
    let journal = script.journal.clone();
    let script = script.load("a", move |cx| {
        let journal = journal.clone();
        async move {
            cx.find::<super::support::Probe>("b").await?;
            let ending = cx.cancellation();
            drop(cx.spawn_blocking("call", move || {
                let _noted = NotedOnDrop(journal);
                while !ending.is_cancelled() {
                    std::thread::yield_now();
                }
            }));
            Ok(())
        }
    });
    let journal = script.journal.clone();
    let (report, _) = stopped_when_running(script.service(&["a", "b"], ""), |handle| handle.stop("deploy"));
    assert_eq!(report, clean("deploy"));
    let entries = journal.entries();
    assert_eq!(entries[entries.len() - 3..], ["stop a", "a task ended", "stop b"]);
}

#[test]
fn tasks_of_a_component_end_after_its_stop_and_before_the_stop_of_its_dependencies() {
    let script = Script::default();
    let journal = script.journal.clone();
    let script = script.load("a", move |cx| {
        let journal = journal.clone();
        async move {
            cx.find::<super::support::Probe>("b").await?;
            drop(cx.spawn("endless", async move {
                let _noted = NotedOnDrop(journal);
                std::future::pending::<()>().await;
            }));
            Ok(())
        }
    });
    let journal = script.journal.clone();
    let (report, _) = stopped_when_running(script.service(&["a", "b"], ""), |handle| handle.stop("deploy"));
    assert_eq!(report, clean("deploy"));
    let entries = journal.entries();
    assert_eq!(entries[entries.len() - 3..], ["stop a", "a task ended", "stop b"]);
}

#[test]
fn a_component_may_stop_the_service_from_its_own_task() {
    let script = Script::default().loaded("a", |cx| async move {
        let service = cx.service().clone();
        drop(cx.spawn("quitter", async move {
            service.reached(Phase::Running).await;
            service.stop("nothing left to do");
            service.stop("a second reason");
        }));
        Ok(())
    });
    assert_eq!(script.service(&["a"], "").run().unwrap(), clean("nothing left to do"));
}

#[test]
fn a_detached_task_on_a_task_processor_is_named_when_it_outlives_everything() {
    let script = Script::default().load("a", |cx| async move {
        drop(cx.default_task_processor().spawn("forgotten", std::future::pending::<()>()));
        Ok(())
    });
    let (report, _) = stopped_when_running(script.service(&["a"], ""), |handle| handle.stop("deploy"));
    assert_eq!(report.unfinished, ["`main-task-processor` still ran forgotten x1"]);
}

/// Long enough for every step that is meant to end, on a loaded machine too.
const LIMIT: &str = "    component_stop_timeout: 4s\n";

#[track_caller]
fn check_unfinished(report: &StopReport, sentence: &str) {
    assert!(report.unfinished.iter().any(|known| known == sentence), "{report:?}");
}

fn clean(reason: &str) -> StopReport {
    StopReport { reason: reason.to_owned(), unfinished: Vec::new() }
}

/// Runs the service, calls `then` once it is running, and measures from there.
fn stopped_when_running(
    service: crate::Service,
    then: impl FnOnce(&ServiceHandle),
) -> (StopReport, Duration) {
    let handle = service.handle();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| service.run());
        assert_eq!(block_on(handle.reached(Phase::Running)), Phase::Running);
        let began = Instant::now();
        then(&handle);
        let report = running.join().expect("the service does not panic").expect("the service starts");
        (report, began.elapsed())
    })
}
