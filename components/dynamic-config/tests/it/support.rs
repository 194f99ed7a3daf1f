//! A service with two variables, files that change under it, and waiting with a deadline.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mainspring_config::{Problems, Source, Surroundings, VarsOptions};
use mainspring_core::dynamic::{AnyVariable, Variable};
use mainspring_core::{
    Component, ComponentContext, ComponentList, LoadError, NoConfig, Service, ServiceOptions,
};
use mainspring_dynamic_config::DynamicConfigComponent;
use mainspring_testsuite::TestService;

/// Generous: test machines are slow and busy.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) static ORDERS_LIMIT: Variable<u32> = Variable::new("ORDERS_LIMIT", || 100);
pub(crate) static ORDERS_NAMES: Variable<Vec<String>> = Variable::new("ORDERS_NAMES", Vec::new);

/// Reads the variables, and waits for them when it loads.
#[derive(Debug)]
pub(crate) struct Orders {
    /// `ORDERS_LIMIT` when this component was loaded.
    pub(crate) limit_at_load: u32,
}

impl Component for Orders {
    const DEFAULT_NAME: &'static str = "orders";
    const CONFIG_MODE: mainspring_core::ConfigMode = mainspring_core::ConfigMode::NotRequired;
    type Config = NoConfig;

    fn dynamic_variables() -> Vec<&'static dyn AnyVariable> {
        vec![&ORDERS_LIMIT, &ORDERS_NAMES]
    }

    async fn load(_: NoConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        let config = cx.loaded_dynamic_config().await?;
        Ok(Self { limit_at_load: *config.snapshot().get(&ORDERS_LIMIT) })
    }
}

/// Files that a test changes while the service runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Files(Arc<Mutex<BTreeMap<String, String>>>);

impl Files {
    pub(crate) fn write(&self, path: &str, text: &str) {
        self.0.lock().expect("no test panics with the files").insert(path.to_owned(), text.to_owned());
    }
}

impl Surroundings for Files {
    fn env_var(&self, _: &str) -> io::Result<Option<String>> {
        Ok(None)
    }

    fn read_file(&self, path: &str) -> io::Result<String> {
        self.0
            .lock()
            .expect("no test panics with the files")
            .get(path)
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Checks a service whose sections besides `logging` are these.
pub(crate) fn check(list: ComponentList, files: &Files, sections: &str) -> Result<Service, Problems> {
    let text = format!(
        "components_manager:
    default_task_processor: main-task-processor
    task_processors: {{main-task-processor: {{worker_threads: 2}}}}
    components:
        logging: {{loggers: {{default: {{file_path: '@null', level: debug}}}}}}
{sections}
"
    );
    let root = mainspring_config::load(&Source::new("test.yaml", text), &VarsOptions::default(), files)?;
    let list = ComponentList::minimal()
        .append_default::<DynamicConfigComponent>()
        .append_default::<Orders>()
        .append_list(list);
    Service::new(&list, &root, ServiceOptions { surroundings: Arc::new(files.clone()) })
}

/// Starts such a service without waiting for anything.
pub(crate) fn begin(files: &Files, sections: &str) -> TestService {
    begin_with(ComponentList::new(), files, sections)
}

/// As [`begin`], with further components.
pub(crate) fn begin_with(list: ComponentList, files: &Files, sections: &str) -> TestService {
    TestService::begin(check(list, files, sections).unwrap_or_else(|problems| panic!("{problems}")))
}

/// Starts such a service and waits until it runs.
pub(crate) fn start(files: &Files, sections: &str) -> TestService {
    running(begin(files, sections))
}

/// Waits until a service runs.
pub(crate) fn running(service: TestService) -> TestService {
    let phase = service.reached(mainspring_core::Phase::Running);
    assert_eq!(phase, mainspring_core::Phase::Running, "{:#?}", service.log());
    service
}

pub(crate) fn limit(service: &TestService) -> u32 {
    *service.handle().dynamic_config().snapshot().get(&ORDERS_LIMIT)
}

/// How often a line of the log contains `text`.
pub(crate) fn logged(service: &TestService, text: &str) -> usize {
    service.log().iter().filter(|line| line.contains(text)).count()
}

/// Whether the metrics have a line of this name, labels and value.
pub(crate) fn shows(service: &TestService, sample: &str) -> bool {
    service.metrics().lines().any(|line| line == sample)
}

/// Asks until it is so.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
