//! What every component promises, as one call per component.

mod description;
mod partners;

use std::collections::BTreeSet;

use mainspring_core::{Component, ComponentGraph, ComponentList, Service, ServiceHandle};

use crate::conformance::partners::{Saboteur, StopsFirst};
use crate::{TestService, TestServiceBuilder};

/// Holds `C`, with this section and in a service of `others`, to what every component promises:
///
/// - its section loads, and a key that it does not know is refused;
/// - every option, however deep, has a description, which documents are made from;
/// - it loads and stops, several times in one process, and a stop leaves no task and no metric of it behind;
/// - what its load looks for is what it has declared, if it declares that;
/// - to be stopped twice does no harm;
/// - the same holds when another component fails, so that its load is cancelled or it is unloaded right away;
/// - each of its metrics says `component="<its name>"`, but for those of the process as a whole. Its metrics are those
///   that a service of `others` alone does not have; where `others` alone are no service, because `C` is `logging`,
///   nothing is known of them.
///
/// `with_others` adds the sections that the other components need.
///
/// # Panics
/// When it breaks a promise, saying which.
#[track_caller]
pub fn check<C: Component>(
    others: &ComponentList,
    with_others: impl Fn(TestServiceBuilder) -> TestServiceBuilder,
    section: &str,
) {
    let kit = Kit { name: C::DEFAULT_NAME, others, with_others: &with_others };
    let list = others.clone().append_default::<C>();
    description::check(C::DEFAULT_NAME, &mainspring_config::schema_of::<C::Config>());
    kit.refuses_unknown_keys(&list, section);
    kit.declares_dependencies(&list, section);

    let own_metrics = kit.own_metrics(&list, section);
    assert!(
        own_metrics.iter().all(|line| line.contains(&kit.label())),
        "metrics of `{}` do not say `{}`: {own_metrics:#?}",
        kit.name,
        kit.label()
    );
    for list in [list.clone(), list.clone().append_default::<StopsFirst<C>>()] {
        let running = kit.service(&list, section).start();
        let handle = running.handle().clone();
        kit.leaves_nothing(&running.stop().unfinished, &handle);
    }
    for yields in [0, 1, 5, 50] {
        let list = list.clone().append_default::<Saboteur>();
        let service =
            kit.service(&list, section).with_component(Saboteur::DEFAULT_NAME, &format!("yields: {yields}"));
        let (service, handle) = started(kit.checked(service));
        let error = service.expect_err("the saboteur keeps it from starting");
        kit.leaves_nothing(error.unfinished(), &handle);
    }
}

/// Runs a service that ends by itself.
fn started(service: Service) -> (Result<(), mainspring_core::ServiceError>, ServiceHandle) {
    let handle = service.handle();
    (TestService::begin(service).join().map(drop), handle)
}

/// How names of metrics begin that every exporter has and that no component owns.
const OF_THE_PROCESS: [&str; 3] = ["process_", "mainspring_build_info", "target_info"];

struct Kit<'a> {
    name: &'static str,
    others: &'a ComponentList,
    with_others: &'a dyn Fn(TestServiceBuilder) -> TestServiceBuilder,
}

impl Kit<'_> {
    fn service(&self, list: &ComponentList, section: &str) -> TestServiceBuilder {
        (self.with_others)(TestService::new(list.clone())).with_component(self.name, section)
    }

    #[track_caller]
    fn checked(&self, service: TestServiceBuilder) -> Service {
        service
            .check()
            .unwrap_or_else(|problems| panic!("the section of `{}` is wrong:\n{problems}", self.name))
    }

    fn label(&self) -> String {
        format!("component=\"{}\"", self.name)
    }

    #[track_caller]
    fn refuses_unknown_keys(&self, list: &ComponentList, section: &str) {
        let problems = self.service(list, &with_unknown_key(section)).check().err().unwrap_or_default();
        let refusal = problems.iter().find(|problem| problem.message().contains("unknown key `no_such_key`"));
        assert!(
            refusal.is_some_and(|problem| problem.path() == self.name),
            "`{}` accepts a key that it does not know; problems: {problems}",
            self.name
        );
    }

    #[track_caller]
    fn declares_dependencies(&self, list: &ComponentList, section: &str) {
        let service = self.checked(self.service(list, section));
        let declared = service.component_graph();
        let running = TestService::begin(service);
        running.reached(mainspring_core::Phase::Running);
        let found = running.handle().component_graph();
        if declared.incomplete().any(|name| name == self.name) {
            return;
        }
        let of = |graph: &ComponentGraph| {
            let own = graph.edges().filter(|(from, _)| *from == self.name);
            own.map(|(_, to)| to.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(of(&found), of(&declared), "what `{}` looks for is not what it declares", self.name);
    }

    /// The samples of families that the service has because of the component.
    #[track_caller]
    fn own_metrics(&self, list: &ComponentList, section: &str) -> Vec<String> {
        let Ok(others) = (self.with_others)(TestService::new(self.others.clone())).check() else {
            return Vec::new();
        };
        let others = TestService::begin(others);
        others.reached(mainspring_core::Phase::Running);
        let known: BTreeSet<_> = others.metrics().lines().map(|line| family(line).to_owned()).collect();
        let metrics = self.service(list, section).start().metrics();
        let samples = metrics.lines().filter(|line| !line.starts_with('#'));
        let is_own = |line: &&str| {
            !known.contains(family(line)) && !OF_THE_PROCESS.iter().any(|prefix| line.starts_with(prefix))
        };
        samples.filter(is_own).map(str::to_owned).collect()
    }

    #[track_caller]
    fn leaves_nothing(&self, unfinished: &[String], handle: &ServiceHandle) {
        assert!(unfinished.is_empty(), "`{}` leaves work behind: {unfinished:?}", self.name);
        let left = mainspring_metrics::prometheus_text(&handle.metrics().snapshot());
        assert!(!left.contains(&self.label()), "`{}` leaves metrics behind:\n{left}", self.name);
    }
}

/// The name at the beginning of a sample.
fn family(line: &str) -> &str {
    line.split(['{', ' ']).next().unwrap_or(line)
}

fn with_unknown_key(section: &str) -> String {
    match section.trim().strip_prefix('{') {
        Some(rest) => format!("{{no_such_key: 1, {rest}"),
        None => format!("{section}\nno_such_key: 1"),
    }
}
