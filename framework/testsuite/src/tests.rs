//! The kit tested on small components.

mod graph;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use mainspring_core::{Component, ComponentContext, ComponentList, LoadError, LoggingComponent, NoConfig};
use mainspring_metrics::{Family, MetricsScope};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{TestService, conformance, eventually};

static LOADS: Family = Family::counter("neat_loads", "Loads of the neat component.");

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NeatConfig {
    /// What it says.
    word: String,
}

struct Neat {
    word: String,
    _metrics: MetricsScope,
}

impl Component for Neat {
    const DEFAULT_NAME: &'static str = "neat";
    type Config = NeatConfig;

    async fn load(config: NeatConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        let metrics = MetricsScope::new(cx.metrics(), cx.name());
        metrics.counter(&LOADS, &[]).inc();
        Ok(Self { word: config.word, _metrics: metrics })
    }
}

/// Leaves a task behind that nobody ends.
struct Sloppy;

impl Component for Sloppy {
    const DEFAULT_NAME: &'static str = "sloppy";
    type Config = NoConfig;

    async fn load(_: NoConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        drop(cx.default_task_processor().spawn("forgotten", std::future::pending::<()>()));
        Ok(Self)
    }
}

#[test]
fn components_metrics_and_log_of_a_running_service_are_at_hand() {
    let service = TestService::new(ComponentList::minimal().append_default::<Neat>())
        .with_component("neat", "word: hello")
        .with_manager_key("graceful_shutdown_interval: 0s")
        .start();
    assert_eq!(service.component::<Neat>("neat").word, "hello");
    assert!(service.metrics().contains("neat_loads_total{component=\"neat\"} 1"));
    eventually("the log says ready", || service.log(), |log| log.iter().any(|line| line == "Service ready"));
    assert_eq!(service.stop().reason, "the test is over");
}

#[test]
fn a_dropped_service_has_stopped() {
    let service = TestService::new(ComponentList::minimal()).start();
    let handle = service.handle().clone();
    drop(service);
    assert_eq!(handle.phase(), mainspring_core::Phase::Stopped);
}

#[test]
fn a_neat_component_conforms() {
    conformance::check::<Neat>(&ComponentList::minimal(), |service| service, "{word: hello}");
}

#[test]
fn the_logging_of_the_framework_conforms() {
    conformance::check::<LoggingComponent>(
        &ComponentList::new(),
        |service| service,
        "{loggers: {default: {file_path: '@null'}, audit: {file_path: '@null', format: json}}}",
    );
}

/// The message with which the kit refuses a component.
#[track_caller]
fn refusal<C: Component>(section: &str) -> String {
    let check = || conformance::check::<C>(&ComponentList::minimal(), |service| service, section);
    let panic = catch_unwind(AssertUnwindSafe(check)).expect_err("it must not conform");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[test]
fn a_component_that_leaves_a_task_behind_does_not_conform() {
    let message = refusal::<Sloppy>("{}");
    assert!(message.contains("`sloppy` leaves work behind"), "{message}");
}

/// Cannot be stopped twice.
struct Brittle(std::sync::atomic::AtomicBool);

impl Component for Brittle {
    const DEFAULT_NAME: &'static str = "brittle";
    type Config = NoConfig;

    async fn load(_: NoConfig, _: &ComponentContext) -> Result<Self, LoadError> {
        Ok(Self(false.into()))
    }

    async fn stop(&self) {
        assert!(!self.0.swap(true, std::sync::atomic::Ordering::SeqCst), "stopped twice");
    }
}

#[test]
fn a_component_that_cannot_be_stopped_twice_does_not_conform() {
    let message = refusal::<Brittle>("{}");
    assert!(message.contains("`brittle` panicked in `stop`"), "{message}");
}

/// Begins something in `load` that a cancellation does not end.
struct Hasty;

impl Component for Hasty {
    const DEFAULT_NAME: &'static str = "hasty";
    type Config = NoConfig;

    async fn load(_: NoConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        let task = cx.default_task_processor().spawn("begun", std::future::pending::<()>());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        task.cancel();
        Ok(Self)
    }
}

#[test]
fn a_component_whose_cancelled_load_leaves_work_behind_does_not_conform() {
    let message = refusal::<Hasty>("{}");
    assert!(message.contains("`hasty` leaves work behind") && message.contains("begun"), "{message}");
}

/// Its metrics do not say whose they are.
struct Anonymous(#[expect(dead_code, reason = "held to stay registered")] mainspring_metrics::Registration);

struct Nameless;

static NAMELESS: Family = Family::counter("nameless", "Nobody knows whose.");

impl mainspring_metrics::Collector for Nameless {
    fn collect(&self, snapshot: &mut mainspring_metrics::Snapshot) {
        snapshot.counter(&NAMELESS, &[], 1);
    }
}

impl Component for Anonymous {
    const DEFAULT_NAME: &'static str = "anonymous";
    type Config = NoConfig;

    async fn load(_: NoConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        Ok(Self(cx.metrics().register(Arc::new(Nameless))))
    }
}

#[test]
fn a_component_whose_metrics_do_not_name_it_does_not_conform() {
    let message = refusal::<Anonymous>("{}");
    assert!(message.contains("nameless_total 1"), "{message}");
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is looked at")]
struct TerseConfig {
    /// Told.
    told: Vec<Inner>,
    referred: Option<Inner>,
}

/// Described as a type.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is looked at")]
struct Inner {
    untold: u32,
}

struct Terse;

impl Component for Terse {
    const DEFAULT_NAME: &'static str = "terse";
    type Config = TerseConfig;

    async fn load(_: TerseConfig, _: &ComponentContext) -> Result<Self, LoadError> {
        Ok(Self)
    }
}

#[test]
fn an_option_without_a_description_is_found_however_deep_it_is() {
    let message = refusal::<Terse>("{told: []}");
    assert!(
        message.contains("`referred`, `told.untold`") || message.contains("`referred.untold`"),
        "{message}"
    );
}

#[test]
fn services_side_by_side_keep_apart() {
    let services = ["left", "right"].map(|word| {
        TestService::new(ComponentList::minimal().append_default::<Neat>())
            .with_component("neat", &format!("word: {word}"))
            .start()
    });
    let words = services.each_ref().map(|service| service.component::<Neat>("neat").word.clone());
    assert_eq!(words, ["left", "right"]);
    assert!(!Arc::ptr_eq(&services[0].component::<Neat>("neat"), &services[1].component::<Neat>("neat")));
}
