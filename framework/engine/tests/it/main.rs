//! Which panics reach the hook that was there before the engine: in a process of its own, because hooks are global.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

use mainspring_engine::{Engine, TaskError, TaskProcessor, TaskProcessorSpec};
use tracing::Dispatch;

const MAIN: &str = "main-task-processor";
const LIMIT: Duration = Duration::from_secs(30);

static HEARD: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct PanicsOnDrop(&'static str);

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

#[test]
fn a_panic_that_the_supervisor_reports_does_not_reach_the_earlier_hook() {
    let (engine, main) = engine();
    let task = main.spawn("careless", async { panic!("supervised") });
    let outcome: Result<(), _> = engine.block_on(task);
    assert_eq!(outcome, Err(TaskError::Panicked { message: "supervised".to_owned() }));
    assert!(!heard("supervised"));
}

#[test]
fn a_panic_of_an_output_that_nobody_takes_reaches_the_earlier_hook() {
    let (_engine, main) = engine();
    let (go, gone) = tokio::sync::oneshot::channel::<()>();
    drop(main.spawn("generous", async move {
        let _dropped = gone.await.is_err();
        PanicsOnDrop("an output")
    }));
    drop(go);
    until(|| heard("an output"));
}

#[test]
fn a_panic_while_another_unwinds_reaches_the_earlier_hook() {
    struct Stumbles;
    impl Drop for Stumbles {
        fn drop(&mut self) {
            let _caught = catch_unwind(AssertUnwindSafe(|| panic!("the second"))).is_err();
        }
    }
    let (engine, main) = engine();
    let task = main.spawn("unlucky", async {
        let _stumbles = Stumbles;
        panic!("the first")
    });
    let outcome: Result<(), _> = engine.block_on(task);
    assert_eq!(outcome, Err(TaskError::Panicked { message: "the first".to_owned() }));
    assert!(heard("the second") && !heard("the first"));
}

#[test]
fn a_panic_on_a_foreign_thread_reaches_the_earlier_hook() {
    let (_engine, _) = engine();
    assert!(catch_unwind(|| panic!("foreign")).is_err());
    assert!(heard("foreign"));
}

fn engine() -> (Engine, TaskProcessor) {
    static LISTEN: Once = Once::new();
    LISTEN.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            let message = info.payload_as_str().unwrap_or_default().to_owned();
            HEARD.lock().expect("nobody panics while holding it").push(message);
        }));
    });
    let engine = Engine::start([TaskProcessorSpec::new(MAIN, 1)], &Dispatch::none()).expect("it starts");
    let main = engine.processors().get(MAIN).cloned().expect("it was declared");
    (engine, main)
}

fn heard(message: &str) -> bool {
    HEARD.lock().expect("nobody panics while holding it").iter().any(|heard| heard == message)
}

#[track_caller]
fn until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain");
        std::thread::yield_now();
    }
}
