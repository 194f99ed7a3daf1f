//! Asking what components connect to whether it answers, without running the service.
//!
//! Only what asks, and what it needs in order to ask, is there: nothing listens, nothing is consumed.

use std::any::{TypeId, type_name};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use mainspring_config::{HumanDuration, Problem, Problems, Section};
use tokio::time::timeout;

use crate::erased::{Loaded, Prepared, Ready};
use crate::plan::Plan;
use crate::registry::Identity;
use crate::{Component, ComponentContext, Dependencies, LoadError, NoConfig, ServiceError, ServiceHandle};

/// Longest time for one component to ask; it should have given up by itself before.
const CHECK_TIMEOUT: Duration = Duration::from_secs(15);

/// What was found, in the hands of everyone who asks.
type Found = Arc<Mutex<Problems>>;

/// Turns a plan for a service into one for its checks; `None` when no component has anything to ask.
pub(crate) fn only_checks(plan: Plan) -> Option<(Plan, Checks)> {
    let asking: BTreeSet<_> = plan
        .components
        .iter()
        .filter(|(_, ready)| ready.checks_connection())
        .map(|(identity, _)| identity.name.clone())
        .collect();
    if asking.is_empty() {
        return None;
    }
    let needed = needed(&plan, &asking);
    let checks = Checks::default();
    let mut sections = BTreeMap::new();
    let mut components = Vec::new();
    for (identity, ready) in plan.components {
        if !needed.contains(&identity.name) {
            continue;
        }
        sections.insert(identity.name.clone(), ready.section().clone());
        components.push(if asking.contains(&identity.name) {
            let (type_id, type_name) = (TypeId::of::<Checked>(), type_name::<Checked>());
            let check: Prepared = Box::new(Check { ready, found: Arc::clone(&checks.found) });
            (Identity { type_id, type_name, ..identity }, check)
        } else {
            (identity, ready)
        });
    }
    let mut manager = plan.manager;
    manager.graceful_shutdown_interval = HumanDuration::default();
    Some((Plan { manager, components, fallbacks: Vec::new(), ..plan }, Checks { sections, ..checks }))
}

/// What asks and all that it will look for.
fn needed(plan: &Plan, asking: &BTreeSet<String>) -> BTreeSet<String> {
    let mut needed = BTreeSet::new();
    let mut open: Vec<_> = asking.iter().cloned().collect();
    while let Some(name) = open.pop() {
        let of_name = plan.components.iter().find(|(identity, _)| identity.name == name);
        if let Some((identity, _)) = of_name
            && needed.insert(name)
        {
            open.extend(identity.dependencies.names.iter().cloned());
        }
    }
    needed
}

/// The checks of a service.
#[derive(Default)]
pub(crate) struct Checks {
    found: Found,
    sections: BTreeMap<String, Section>,
}

impl Checks {
    /// Everything that was found, with the failure of what the checks needed, if there was one.
    pub(crate) fn problems(self, failure: Option<&ServiceError>) -> Problems {
        let mut problems = self.found.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(failure) = failure {
            let text = failure.to_string();
            let section = failure.kind().component().and_then(|name| self.sections.get(name));
            problems.push(match section {
                Some(section) => section.key_problem(text),
                None => Problem::new("", text),
            });
        }
        problems
    }
}

/// Asks in the place of a load.
struct Check {
    ready: Prepared,
    found: Found,
}

impl Ready for Check {
    fn load(self: Box<Self>, cx: ComponentContext) -> BoxFuture<'static, Result<Arc<dyn Loaded>, LoadError>> {
        let Self { ready, found } = *self;
        let service = cx.service().clone();
        let section = ready.section().clone();
        Box::pin(async move {
            let complaints = match timeout(CHECK_TIMEOUT, ready.check_connection(cx)).await {
                Ok(Ok(violations)) => {
                    violations.into_iter().map(|violation| section.violation(violation)).collect()
                }
                Ok(Err(error)) => Problems::from(section.key_problem(error.to_string())),
                Err(_) => section.key_problem(format!("no answer within {CHECK_TIMEOUT:?}")).into(),
            };
            found.lock().unwrap_or_else(PoisonError::into_inner).extend(complaints);
            Ok(Arc::new(Checked { service }) as Arc<dyn Loaded>)
        })
    }

    fn dependencies(&self) -> Dependencies {
        self.ready.dependencies()
    }

    fn section(&self) -> &Section {
        self.ready.section()
    }

    fn checks_connection(&self) -> bool {
        false
    }

    fn check_connection(
        self: Box<Self>,
        _: ComponentContext,
    ) -> BoxFuture<'static, Result<Vec<mainspring_config::Violation>, LoadError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// Stands for a component that has asked; with the last one there is nothing left to run for.
struct Checked {
    service: ServiceHandle,
}

impl Component for Checked {
    const DEFAULT_NAME: &'static str = "checked";
    type Config = NoConfig;

    async fn load(_: NoConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        Ok(Self { service: cx.service().clone() })
    }

    async fn on_all_components_loaded(&self) -> Result<(), LoadError> {
        self.service.stop("all connections are checked");
        Ok(())
    }
}
