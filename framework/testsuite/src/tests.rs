//! The kit tested on small components.

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

#[test]
fn a_component_that_leaves_a_task_behind_does_not_conform() {
    let check = || conformance::check::<Sloppy>(&ComponentList::minimal(), |service| service, "{}");
    let panic = catch_unwind(AssertUnwindSafe(check)).expect_err("it must not conform");
    let message = panic.downcast_ref::<String>().cloned().unwrap_or_default();
    assert!(message.contains("`sloppy` leaves work behind"), "{message}");
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
