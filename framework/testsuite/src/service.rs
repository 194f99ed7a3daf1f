//! A service that lives as long as a test needs it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use mainspring_config::{FakeSurroundings, Problems, Source, VarsOptions};
use mainspring_core::{
    Component, ComponentList, Phase, Service, ServiceError, ServiceHandle, ServiceOptions, StopReport,
};

use crate::DEADLINE;

/// What a test service is started from: its components, and as much configuration as the test cares about.
///
/// Without [`TestServiceBuilder::with_config`], the configuration has task processors of two threads each, called
/// `main-task-processor` (the default one), `fs-`, `monitor-`, `producer-` and `consumer-task-processor`, the sections
/// given one by one and, unless it is among them, a `logging` that keeps records in memory only.
#[derive(Debug)]
#[must_use = "call `start`"]
pub struct TestServiceBuilder {
    components: ComponentList,
    /// By component, as lines of YAML.
    sections: BTreeMap<String, String>,
    manager: String,
    config: Option<String>,
    surroundings: FakeSurroundings,
}

/// A running service. Dropping it stops it and waits for its end.
#[derive(Debug)]
pub struct TestService {
    handle: ServiceHandle,
    running: Option<JoinHandle<Result<StopReport, ServiceError>>>,
}

impl TestServiceBuilder {
    /// Adds a section of `components`, as YAML: `("server", "listener: {port: 0}")`. The last one of a name counts.
    pub fn with_component(mut self, name: &str, yaml: &str) -> Self {
        let lines = yaml.trim_matches('\n').lines().map(|line| format!("            {line}\n"));
        self.sections.insert(name.to_owned(), lines.collect());
        self
    }

    /// Adds a line to `components_manager`, such as `component_stop_timeout: 1s`.
    pub fn with_manager_key(mut self, line: &str) -> Self {
        self.manager += &format!("    {line}\n");
        self
    }

    /// Uses this text as the whole configuration.
    pub fn with_config(mut self, yaml: impl Into<String>) -> Self {
        self.config = Some(yaml.into());
        self
    }

    /// Gives the service an environment variable.
    pub fn with_env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.surroundings = self.surroundings.with_env(name, value);
        self
    }

    /// Gives the service a file, which exists for it alone.
    pub fn with_file(mut self, path: &str, text: impl Into<String>) -> Self {
        self.surroundings = self.surroundings.with_file(path, text);
        self
    }

    /// Checks the configuration only.
    ///
    /// # Errors
    /// Its problems.
    pub fn check(self) -> Result<Service, Problems> {
        let text = self.config.unwrap_or_else(|| whole_config(&self.sections, &self.manager));
        let source = Source::new("test.yaml", text);
        let root = mainspring_config::load(&source, &VarsOptions::default(), &self.surroundings)?;
        Service::new(&self.components, &root, ServiceOptions { surroundings: Arc::new(self.surroundings) })
    }

    /// Starts the service and waits until it is running.
    ///
    /// # Panics
    /// When the configuration is wrong or the service does not start.
    #[track_caller]
    pub fn start(self) -> TestService {
        match self.try_start() {
            Ok(service) => service,
            Err(error) => panic!("the service did not start: {error}"),
        }
    }

    /// Starts the service and waits until it is running.
    ///
    /// # Errors
    /// When it does not start.
    ///
    /// # Panics
    /// When the configuration is wrong, or when the service is still starting at the deadline.
    #[track_caller]
    pub fn try_start(self) -> Result<TestService, ServiceError> {
        let service =
            self.check().unwrap_or_else(|problems| panic!("the configuration is wrong:\n{problems}"));
        let mut service = TestService::begin(service);
        if service.reached(Phase::Running) == Phase::Running {
            return Ok(service);
        }
        match service.join() {
            Ok(report) => panic!("the service stopped by itself: {}", report.reason),
            Err(error) => Err(error),
        }
    }
}

impl TestService {
    /// What to start a service of `components` from.
    #[expect(clippy::new_ret_no_self, reason = "a service is always started from a builder")]
    pub fn new(components: ComponentList) -> TestServiceBuilder {
        TestServiceBuilder {
            components,
            sections: BTreeMap::from([("logging".to_owned(), LOGGING.to_owned())]),
            manager: String::new(),
            config: None,
            surroundings: FakeSurroundings::default(),
        }
    }

    /// Runs a checked service on a thread of its own, without waiting for anything.
    ///
    /// # Panics
    /// When the system refuses a thread.
    #[must_use]
    pub fn begin(service: Service) -> Self {
        let handle = service.handle();
        let running = std::thread::Builder::new().name("test-service".to_owned()).spawn(|| service.run());
        Self { handle, running: Some(running.expect("the system has a thread left")) }
    }

    /// Its handle.
    #[must_use]
    pub fn handle(&self) -> &ServiceHandle {
        &self.handle
    }

    /// The loaded component of that name.
    ///
    /// # Panics
    /// When there is none of that name and type.
    #[must_use]
    #[track_caller]
    pub fn component<T: Component>(&self, name: &str) -> Arc<T> {
        self.handle.component(name).unwrap_or_else(|| panic!("no component `{name}` of that type is loaded"))
    }

    /// What `/metrics` would say in Prometheus's text format.
    #[must_use]
    pub fn metrics(&self) -> String {
        mainspring_metrics::prometheus_text(&self.handle.metrics().snapshot())
    }

    /// The texts of the recent log records, oldest first.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        let records = self.handle.logging().recent(&mainspring_logging::RecentFilter::default());
        records.iter().map(|record| record.text().to_owned()).collect()
    }

    /// Waits until the service has reached `phase` or a later one, and says which.
    ///
    /// # Panics
    /// After [`DEADLINE`].
    #[track_caller]
    pub fn reached(&self, phase: Phase) -> Phase {
        self.block_on(self.handle.reached(phase))
    }

    /// Runs a future of the test on this thread.
    ///
    /// # Panics
    /// When it has not ended after [`DEADLINE`].
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let bounded = async { tokio::time::timeout(DEADLINE, future).await };
        match runtime.expect("the system has a timer left").block_on(bounded) {
            Ok(output) => output,
            Err(_) => panic!("not ended within {DEADLINE:?}; the log says: {:#?}", self.log()),
        }
    }

    /// Stops the service and waits for its end.
    ///
    /// # Panics
    /// When the service ended with an error.
    #[track_caller]
    pub fn stop(mut self) -> StopReport {
        self.handle.stop("the test is over");
        match self.join() {
            Ok(report) => report,
            Err(error) => panic!("the service failed: {error}"),
        }
    }

    /// Waits for the end of a service that ends by itself.
    ///
    /// # Errors
    /// What the service ended with.
    ///
    /// # Panics
    /// When the thread of the service panicked.
    pub fn join(&mut self) -> Result<StopReport, ServiceError> {
        let running = self.running.take().expect("a service is joined once");
        running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for TestService {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.handle.stop("the test dropped it");
            // Whatever went wrong inside, the test has failed or passed by now.
            let _ended = running.join().is_ok();
        }
    }
}

const LOGGING: &str = "            loggers: {default: {file_path: '@null', level: debug}}\n";

fn whole_config(sections: &BTreeMap<String, String>, manager: &str) -> String {
    let sections: String = sections.iter().map(|(name, lines)| format!("        {name}:\n{lines}")).collect();
    let processors: String = ["main", "fs", "monitor", "producer", "consumer"]
        .map(|stem| format!("        {stem}-task-processor: {{worker_threads: 2}}\n"))
        .concat();
    format!(
        "components_manager:\n    default_task_processor: main-task-processor\n    task_processors:\n{processors}\
         {manager}    components:\n{sections}"
    )
}
