//! What task processors promise: names, counts, joins, and panics that are never silent.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainspring_metrics::{Registry, prometheus_text};
use tracing::Dispatch;
use tracing_subscriber::fmt::MakeWriter;

use crate::{
    Engine, Task, TaskError, TaskProcessor, TaskProcessorSpec, TaskProcessorsCollector, TaskScope, Unfinished,
};

const MAIN: &str = "main-task-processor";
const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn a_task_yields_its_result_and_is_counted() {
    let (engine, main) = engine();
    assert_eq!(block_on(&engine, main.spawn("sum", async { 1 + 1 })), Ok(2));
    assert_eq!(block_on(&engine, main.spawn_blocking("product", || 2 * 3)), Ok(6));
    let counts = main.counts();
    assert_eq!((counts.created, counts.finished, counts.alive()), (2, 2, 0));
    assert_eq!(engine.shutdown(LIMIT), []);
}

#[test]
fn threads_that_cannot_be_had_are_an_error() {
    let refused = Engine::start([TaskProcessorSpec::new(MAIN, 0)], &Dispatch::none()).unwrap_err();
    assert_eq!(refused.to_string(), "cannot start task processor `main-task-processor`");
}

#[test]
fn a_task_runs_on_threads_of_its_processor() {
    let specs = [
        TaskProcessorSpec::new(MAIN, 1),
        TaskProcessorSpec::new("consumer-task-processor", 1),
        TaskProcessorSpec::new("a-rather-long-name-task-processor", 1),
        TaskProcessorSpec::new("other", 1).with_thread_name("mi\0ne"),
    ];
    let engine = Engine::start(specs, &Dispatch::none()).unwrap();
    let name_in = |processor: &str| {
        let processor = engine.processors().get(processor).cloned().unwrap();
        let name = processor.spawn("name", async { std::thread::current().name().map(str::to_owned) });
        block_on(&engine, name).unwrap().unwrap()
    };
    assert_eq!(name_in(MAIN), "main-worker");
    assert_eq!(name_in("consumer-task-processor"), "consumer-worker");
    assert_eq!(name_in("a-rather-long-name-task-processor"), "a-rather-long-n");
    assert_eq!(name_in("other"), "mine");
    assert_eq!(engine.shutdown(LIMIT), []);
}

#[test]
fn a_panic_is_caught_counted_and_logged_once_with_its_place() {
    for blocking in [false, true] {
        let log = Log::default();
        let engine = Engine::start([TaskProcessorSpec::new(MAIN, 1)], &log.dispatch()).unwrap();
        let main = engine.processors().get(MAIN).cloned().unwrap();
        let task: Task<()> = if blocking {
            main.spawn_blocking("careless", || panic!("lost {}", "it"))
        } else {
            main.spawn("careless", async { panic!("lost {}", "it") })
        };
        assert_eq!(block_on(&engine, task), Err(TaskError::Panicked { message: "lost it".to_owned() }));
        assert_eq!(main.counts().panicked, 1);
        assert_eq!(engine.shutdown(LIMIT), []);
        let log = log.text();
        assert_eq!(log.matches("Task panicked").count(), 1, "{log}");
        assert!(log.contains("task=careless") && log.contains("panic=\"lost it\""), "{log}");
        assert!(log.contains("location=\"framework/engine/src/tests.rs:"), "{log}");
    }
}

#[test]
fn a_panic_while_a_task_is_dropped_is_counted_and_logged_too() {
    struct Careless;
    impl Drop for Careless {
        fn drop(&mut self) {
            panic!("lost it on the way out");
        }
    }
    let panicked = TaskError::Panicked { message: "lost it on the way out".to_owned() };
    for cancelled in [false, true] {
        let log = Log::default();
        let engine = Engine::start([TaskProcessorSpec::new(MAIN, 1)], &log.dispatch()).unwrap();
        let main = engine.processors().get(MAIN).cloned().unwrap();
        let careless = Careless;
        let task = main.spawn("careless", async move {
            let _careless = &careless;
            if cancelled {
                std::future::pending::<()>().await;
            }
        });
        if cancelled {
            task.cancel();
        }
        assert_eq!(block_on(&engine, task), Err(panicked.clone()));
        assert_eq!((main.counts().panicked, main.counts().cancelled, main.counts().alive()), (1, 0, 0));
        assert_eq!(engine.shutdown(LIMIT), []);
        let log = log.text();
        assert_eq!(log.matches("Task panicked").count(), 1, "{log}");
        assert!(log.contains("location=\"framework/engine/src/tests.rs:"), "{log}");
    }
}

#[test]
fn a_panic_that_the_task_itself_catches_is_logged_with_its_place() {
    let log = Log::default();
    let engine = Engine::start([TaskProcessorSpec::new(MAIN, 1)], &log.dispatch()).unwrap();
    let main = engine.processors().get(MAIN).cloned().unwrap();
    let task = main.spawn("careful", async { std::panic::catch_unwind(|| panic!("caught")).is_err() });
    assert_eq!(block_on(&engine, task), Ok(true));
    assert_eq!((main.counts().panicked, main.counts().finished), (0, 1));
    assert_eq!(engine.shutdown(LIMIT), []);
    let log = log.text();
    assert!(log.contains("Panic was caught inside a task task=careful"), "{log}");
    assert!(log.contains("location=\"framework/engine/src/tests.rs:"), "{log}");
}

#[test]
fn a_cancelled_task_is_counted_as_cancelled() {
    let (engine, main) = engine();
    let endless = main.spawn("endless", std::future::pending::<()>());
    endless.cancel();
    assert_eq!(block_on(&engine, endless), Err(TaskError::Cancelled));
    let counts = main.counts();
    assert_eq!((counts.cancelled, counts.finished, counts.alive()), (1, 0, 0));
    assert_eq!(engine.shutdown(LIMIT), []);
}

#[test]
fn a_task_can_be_cancelled_by_nobody_waiting_for_it() {
    let (engine, main) = engine();
    assert_eq!(engine.block_on(main.spawn("sum", async { 1 + 1 }).cancel_on_drop()), Ok(2));
    drop(main.spawn("endless", std::future::pending::<()>()).cancel_on_drop());
    let deadline = std::time::Instant::now() + LIMIT;
    while main.counts().cancelled == 0 {
        assert!(std::time::Instant::now() < deadline, "the task runs on");
        std::thread::yield_now();
    }
    assert_eq!(engine.shutdown(LIMIT), []);
}

#[test]
fn the_end_of_a_scope_is_the_end_of_its_tasks_counted_and_all() {
    let (engine, main) = engine();
    for round in 1..=200 {
        let scope = TaskScope::new();
        drop(scope.spawn_on(&main, "endless", std::future::pending::<()>()));
        drop(scope.spawn_on(&main, "panicking", async { panic!("as it must") }));
        drop(scope.spawn_on(&main, "short", async {}));
        engine.block_on(scope.end());
        let counts = main.counts();
        assert_eq!((counts.created, counts.alive()), (3 * round, 0));
    }
    assert_eq!(engine.shutdown(LIMIT), []);
}

#[test]
fn a_scope_that_has_ended_runs_no_task_and_keeps_none_that_is_over() {
    let (engine, main) = engine();
    let scope = TaskScope::new();
    for _ in 0..100 {
        assert_eq!(block_on(&engine, scope.spawn_on(&main, "short", async { 1 })), Ok(1));
    }
    let keeps = |text: &str| format!("{scope:?}").contains(text);
    assert!(keeps("handles: {}"), "{scope:?}");
    let held = scope.spawn_on(&main, "endless", std::future::pending::<()>());
    assert!(!keeps("handles: {}"));
    scope.cancel();
    assert_eq!(block_on(&engine, held), Err(TaskError::Cancelled));
    let late = scope.spawn_on(&main, "late", async { panic!("it was begun all the same") });
    assert_eq!(block_on::<()>(&engine, late), Err(TaskError::Cancelled));
    assert!(keeps("handles: {}"));
    assert_eq!(engine.shutdown(LIMIT), []);
}

#[test]
fn the_end_of_a_scope_waits_for_its_blocking_calls_and_begins_no_more() {
    let (engine, main) = engine();
    let scope = TaskScope::new();
    let ending = scope.ending();
    let (begun, has_begun) = std::sync::mpsc::channel();
    let call = scope.spawn_blocking_on(&main, "call", move || {
        begun.send(()).unwrap();
        while !ending.is_cancelled() {
            std::thread::yield_now();
        }
        "told to end"
    });
    has_begun.recv_timeout(LIMIT).unwrap();
    engine.block_on(scope.end());
    assert_eq!(main.counts().alive(), 0);
    assert_eq!(block_on(&engine, call), Ok("told to end"));
    let late = scope.spawn_blocking_on(&main, "late", || "began all the same");
    assert_eq!(block_on(&engine, late), Err(TaskError::Cancelled));
    assert_eq!(main.counts().cancelled, 1);
    assert_eq!(engine.shutdown(LIMIT), []);
}

#[test]
fn whoever_watches_the_end_of_a_scope_cannot_bring_it_about() {
    let (engine, main) = engine();
    let scope = TaskScope::new();
    let task = scope.spawn_on(&main, "short", async {});
    scope.ending().cancel();
    assert_eq!(block_on(&engine, task), Ok(()));
    let ending = scope.ending();
    assert!(!ending.is_cancelled());
    scope.cancel();
    assert!(ending.is_cancelled());
    assert_eq!(engine.shutdown(LIMIT), []);
}

#[test]
fn shutdown_names_what_still_ran() {
    let (engine, main) = engine();
    drop(main.spawn("endless", std::future::pending::<()>()));
    drop(main.spawn("endless", std::future::pending::<()>()));
    let unfinished = engine.shutdown(LIMIT);
    let tasks = vec![("endless".to_owned(), 2)];
    assert_eq!(unfinished, [Unfinished { task_processor: MAIN.to_owned(), tasks }]);
    assert_eq!(main.counts().cancelled, 2, "shutdown ends what still runs");
}

#[test]
fn two_engines_log_to_their_own_dispatch() {
    let logs = [Log::default(), Log::default()];
    let engines: Vec<_> = logs
        .iter()
        .map(|log| Engine::start([TaskProcessorSpec::new(MAIN, 1)], &log.dispatch()).unwrap())
        .collect();
    for (engine, message) in engines.iter().zip(["first", "second"]) {
        let main = engine.processors().get(MAIN).cloned().unwrap();
        let said = main.spawn("say", async move { tracing::info!(message) });
        assert_eq!(block_on(engine, said), Ok(()));
    }
    for engine in engines {
        assert_eq!(engine.shutdown(LIMIT), []);
    }
    assert!(logs[0].text().contains("first") && !logs[0].text().contains("second"));
    assert!(logs[1].text().contains("second") && !logs[1].text().contains("first"));
}

#[test]
fn metrics_tell_the_counts_of_each_processor() {
    let (engine, main) = engine();
    let registry = Registry::default();
    let _registration = registry.register(Arc::new(TaskProcessorsCollector::new(engine.processors())));
    assert_eq!(block_on(&engine, main.spawn("sum", async { 1 + 1 })), Ok(2));
    let scrape = main.spawn("scrape", async move { prometheus_text(&registry.snapshot()) });
    let text = block_on(&engine, scrape).unwrap();
    for line in [
        "engine_task_processor_worker_threads{task_processor=\"main-task-processor\"} 2",
        "engine_task_processor_task_events_total{event=\"finished\",task_processor=\"main-task-processor\"} 1",
        "engine_task_processor_task_events_total{event=\"panicked\",task_processor=\"main-task-processor\"} 0",
        "engine_task_processor_queue_wait_seconds_count{task_processor=\"main-task-processor\"} 2",
        "engine_task_processor_poll_duration_seconds_count{task_processor=\"main-task-processor\"} 1",
        "engine_task_processor_tasks{state=\"running\",task_processor=\"main-task-processor\"} 1",
    ] {
        assert!(text.contains(line), "no `{line}` in:\n{text}");
    }
    assert_eq!(engine.shutdown(LIMIT), []);
}

fn engine() -> (Engine, TaskProcessor) {
    let engine = Engine::start([TaskProcessorSpec::new(MAIN, 2)], &Dispatch::none()).unwrap();
    let main = engine.processors().get(MAIN).cloned().unwrap();
    (engine, main)
}

fn block_on<T>(engine: &Engine, task: Task<T>) -> Result<T, TaskError> {
    let bounded = async move { tokio::time::timeout(LIMIT, task).await.expect("the task ends") };
    engine.block_on(bounded)
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn dispatch(&self) -> Dispatch {
        Dispatch::new(tracing_subscriber::fmt().with_ansi(false).with_writer(self.clone()).finish())
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
