//! Components whose behaviour tests hand in, and a service around them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use mainspring_config::{FakeSurroundings, Problems, Source, VarsOptions};

use crate::{
    Component, ComponentContext, ComponentList, Health, LoadError, NoConfig, Service, ServiceError,
    ServiceOptions, StopReport,
};

type Hook<T> = Arc<dyn Fn(ComponentContext) -> BoxFuture<'static, T> + Send + Sync>;

type Call<T> = Arc<dyn Fn() -> T + Send + Sync>;

/// What happened, in order, as `load a`, `loaded a`, `stopping a`, `stop a`.
#[derive(Clone, Default)]
pub(super) struct Journal(Arc<Mutex<Vec<String>>>);

impl Journal {
    pub(super) fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    pub(super) fn entries(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// The names noted with `verb`, in order.
    pub(super) fn of(&self, verb: &str) -> Vec<String> {
        let prefix = format!("{verb} ");
        self.entries().iter().filter_map(|entry| entry.strip_prefix(&prefix).map(str::to_owned)).collect()
    }
}

/// Notes the end of the task that owns it.
pub(super) struct NotedOnDrop(pub(super) Journal);

impl Drop for NotedOnDrop {
    fn drop(&mut self) {
        self.0.note("a task ended");
    }
}

/// How the components of one test behave, by name. Tests reach their [`Probe`]s through it, because a component
/// type has no other way to be given something by a test.
#[derive(Clone, Default)]
pub(super) struct Script {
    pub(super) journal: Journal,
    loads: BTreeMap<String, Hook<Result<(), LoadError>>>,
    loaded: BTreeMap<String, Hook<Result<(), LoadError>>>,
    stops: BTreeMap<String, Hook<()>>,
    drops: BTreeMap<String, Call<()>>,
    health: BTreeMap<String, Call<Health>>,
    has_one_worker: bool,
}

static SCRIPTS: Mutex<BTreeMap<String, Script>> = Mutex::new(BTreeMap::new());
static EMPTY: OnceLock<Script> = OnceLock::new();

impl Script {
    /// The same on a single thread, which one component can take from all others.
    pub(super) fn on_one_worker(mut self) -> Self {
        self.has_one_worker = true;
        self
    }

    pub(super) fn load<F>(
        mut self,
        name: &str,
        hook: impl Fn(ComponentContext) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), LoadError>> + Send + 'static,
    {
        self.loads.insert(name.to_owned(), Arc::new(move |cx| Box::pin(hook(cx))));
        self
    }

    /// `name` asks for each of `others` in turn.
    pub(super) fn needs(self, name: &str, others: &[&str]) -> Self {
        let others: Vec<_> = others.iter().map(|other| (*other).to_owned()).collect();
        self.load(name, move |cx| {
            let others = others.clone();
            async move {
                for other in others {
                    cx.find::<Probe>(&other).await?;
                }
                Ok(())
            }
        })
    }

    pub(super) fn loaded<F>(
        mut self,
        name: &str,
        hook: impl Fn(ComponentContext) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), LoadError>> + Send + 'static,
    {
        self.loaded.insert(name.to_owned(), Arc::new(move |cx| Box::pin(hook(cx))));
        self
    }

    pub(super) fn stop<F>(
        mut self,
        name: &str,
        hook: impl Fn(ComponentContext) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.stops.insert(name.to_owned(), Arc::new(move |cx| Box::pin(hook(cx))));
        self
    }

    pub(super) fn health(mut self, name: &str, health: impl Fn() -> Health + Send + Sync + 'static) -> Self {
        self.health.insert(name.to_owned(), Arc::new(health));
        self
    }

    /// What the `Drop` of `name` does.
    pub(super) fn drops(mut self, name: &str, call: impl Fn() + Send + Sync + 'static) -> Self {
        self.drops.insert(name.to_owned(), Arc::new(call));
        self
    }

    /// A service of one [`Probe`] for each name, with `settings` added to `components_manager`.
    pub(super) fn service(self, names: &[&str], settings: &str) -> Service {
        let mut list = ComponentList::minimal();
        let mut sections = String::new();
        for name in names {
            list = list.append::<Probe>(*name);
            sections += &format!("        {name}: {{}}\n");
        }
        let id = format!("script-{:p}-{}", Arc::as_ptr(&self.journal.0), names.len());
        let mut text = config(&sections, settings);
        if self.has_one_worker {
            text = text.replace("worker_threads: 2", "worker_threads: 1");
        }
        SCRIPTS.lock().unwrap().insert(id.clone(), self);
        checked(&list, &text, FakeSurroundings::default().with_env("SCRIPT", id))
            .expect("the config is right")
    }

    /// Runs a service of these components that is stopped as soon as it is up.
    pub(super) fn run(self, names: &[&str]) -> Result<StopReport, ServiceError> {
        let service = self.service(names, "");
        let handle = service.handle();
        std::thread::scope(|scope| {
            let stop = scope.spawn(move || {
                block_on(async {
                    handle.reached(crate::Phase::Running).await;
                    handle.stop("the test is over");
                });
            });
            let outcome = service.run();
            stop.join().expect("the stopper does not panic");
            outcome
        })
    }
}

/// A component that does what its script says; with a name such as `last-a` it stops last.
pub(super) struct Probe {
    script: Script,
    cx: ComponentContext,
}

impl Component for Probe {
    const DEFAULT_NAME: &'static str = "probe";
    type Config = NoConfig;

    async fn load(_: NoConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        let script = match cx.surroundings().env_var("SCRIPT")? {
            Some(id) => SCRIPTS.lock().unwrap()[&id].clone(),
            None => EMPTY.get_or_init(Script::default).clone(),
        };
        if let Some(hook) = script.loads.get(cx.name()) {
            hook(cx.clone()).await?;
        }
        script.journal.note(format!("load {}", cx.name()));
        Ok(Self { script, cx: cx.clone() })
    }

    async fn on_all_components_loaded(&self) -> Result<(), LoadError> {
        if let Some(hook) = self.script.loaded.get(self.cx.name()) {
            hook(self.cx.clone()).await?;
        }
        self.script.journal.note(format!("loaded {}", self.cx.name()));
        Ok(())
    }

    async fn on_all_components_are_stopping(&self) {
        self.script.journal.note(format!("stopping {}", self.cx.name()));
    }

    async fn stop(&self) {
        if let Some(hook) = self.script.stops.get(self.cx.name()) {
            hook(self.cx.clone()).await;
        }
        self.script.journal.note(format!("stop {}", self.cx.name()));
    }

    fn stops_last(&self) -> bool {
        self.cx.name().starts_with("last-")
    }

    fn health(&self) -> Health {
        self.script.health.get(self.cx.name()).map(|health| health()).unwrap_or_default()
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        if let Some(call) = self.script.drops.get(self.cx.name()) {
            call();
        }
    }
}

/// A whole config with the given lines under `components` and under `components_manager`.
pub(super) fn config(sections: &str, settings: &str) -> String {
    format!(
        "components_manager:
    default_task_processor: main-task-processor
    task_processors:
        main-task-processor: {{worker_threads: 2}}
{settings}    components:
        logging: {{loggers: {{default: {{file_path: '@null'}}}}}}
{sections}"
    )
}

/// `Service::new` on a text called `test.yaml`.
pub(super) fn checked(
    list: &ComponentList,
    text: &str,
    surroundings: FakeSurroundings,
) -> Result<Service, Problems> {
    let root =
        mainspring_config::load(&Source::new("test.yaml", text), &VarsOptions::default(), &surroundings)?;
    Service::new(list, &root, ServiceOptions { surroundings: Arc::new(surroundings) })
}

/// Runs a future on this thread, for no longer than a test may take.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(60), future).await.expect("the test ends in time")
    })
}

/// Looks until it is so, for no longer than a test may take.
pub(super) fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    block_on(async {
        let looks = async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        assert!(
            tokio::time::timeout(Duration::from_secs(30), looks).await.is_ok(),
            "waited in vain for {what}"
        );
    });
}

/// The texts of what a service has logged.
pub(super) fn log_of(handle: &crate::ServiceHandle) -> Vec<String> {
    let records = handle.logging().recent(&Default::default());
    records.iter().map(|record| record.text().to_owned()).collect()
}
