//! Secrets that change while the service runs.

use std::fs;
use std::io;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use expect_test::expect;
use mainspring_config::Surroundings;
use mainspring_core::Phase;
use mainspring_testsuite::{DEADLINE, TestService, eventually};
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::time::timeout;

use crate::{SecdistComponent, Secret, SecretChanges};

/// One file, which tests replace.
#[derive(Debug, Default)]
struct World(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    text: Option<String>,
    mode: u32,
}

impl World {
    fn new(text: &str) -> Arc<Self> {
        let world = Arc::new(Self::default());
        world.write(text);
        world
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, text: &str) {
        self.state().text = Some(text.to_owned());
    }

    fn remove(&self) {
        self.state().text = None;
    }

    fn change_mode(&self, mode: u32) {
        self.state().mode = mode;
    }
}

impl Surroundings for World {
    fn env_var(&self, _: &str) -> io::Result<Option<String>> {
        Ok(None)
    }

    fn read_file(&self, _: &str) -> io::Result<String> {
        self.state().text.clone().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn file_mode(&self, _: &str) -> Option<u32> {
        Some(self.state().mode)
    }
}

/// A service that writes its log into a file.
struct Running {
    service: TestService,
    log: NamedTempFile,
}

impl Deref for Running {
    type Target = TestService;

    fn deref(&self) -> &TestService {
        &self.service
    }
}

impl Running {
    #[track_caller]
    fn start(world: &Arc<World>, update_period: &str) -> Self {
        let components = format!(
            "    secdist: {{update-period: {update_period}}}\n    \
             default-secdist-provider: {{config: secdist.json}}\n"
        );
        let log = NamedTempFile::new().expect("a temporary file can be made");
        let path = log.path().to_str().expect("temporary files have plain names");
        let service = super::service_with_log(path, &components, Arc::<World>::clone(world));
        let service = TestService::begin(service.expect("the config is right"));
        service.reached(Phase::Running);
        Self { service, log }
    }

    /// Whole lines of the log, fields included.
    fn lines_with(&self, text: &str) -> Vec<String> {
        self.handle().logging().flush(DEADLINE);
        let log = fs::read_to_string(self.log.path()).expect("the file stays");
        log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }
}

fn n_reloads(service: &TestService, result: &str) -> u64 {
    let series = format!("secdist_reloads_total{{component=\"secdist\",result=\"{result}\"}} ");
    let metrics = service.metrics();
    let value = metrics.lines().find_map(|line| line.strip_prefix(&series)).expect("the series is there");
    value.parse().expect("a counter is a number")
}

/// Waits until the file as it is now has been read at least once.
#[track_caller]
fn until_read(service: &TestService, result: &str) {
    // The first of them may have begun before.
    let before = n_reloads(service, result);
    eventually("the file to be read again", || n_reloads(service, result), |now| before + 2 <= *now);
}

#[test]
fn new_secrets_are_given_out_and_a_bad_update_keeps_the_old_ones() {
    let world = World::new(r#"{"key": "first-hush"}"#);
    let service = Running::start(&world, "5ms");
    let secdist = service.component::<SecdistComponent>("secdist");
    let key = || secdist.get::<Secret>(&["key"]).expect("it never goes away").expose().to_owned();
    assert_eq!(key(), "first-hush");
    world.write(r#"{"key": "second-hush"}"#);
    eventually("the new key", key, |key| key == "second-hush");
    world.remove();
    until_read(&service, "error");
    world.write(r#"{"key": "third-hush""#);
    until_read(&service, "error");
    assert_eq!(key(), "second-hush");
    world.write(r#"{"key": "third-hush"}"#);
    eventually("the new key", key, |key| key == "third-hush");

    let failures = service.lines_with("Secrets could not be read again");
    assert_eq!(failures.len(), 2, "each kind of failure is told once: {failures:#?}");
    eventually("the good news", || service.lines_with("Secrets can be read again").len(), |n| *n == 1);
    assert_eq!(service.lines_with("hush"), Vec::<String>::new());
    service.service.stop();
}

#[test]
fn a_subscriber_is_told_of_changes_at_its_path_and_of_nothing_else() {
    let world = World::new(r#"{"mine": {"key": "a"}, "other": "x"}"#);
    let service = Running::start(&world, "5ms");
    let secdist = service.component::<SecdistComponent>("secdist");
    let mut mine = secdist.subscribe(&["mine"]);
    let mut missing = secdist.subscribe(&["missing", "key"]);
    let value = |changes: &SecretChanges| changes.get::<Value>().ok();
    assert_eq!((value(&mine), value(&missing)), (Some(json!({"key": "a"})), None));

    // Another order of keys and another value elsewhere change nothing here.
    world.write(r#"{"other": "y", "mine": {"key": "a"}}"#);
    until_read(&service, "success");
    world.remove();
    until_read(&service, "error");
    let at_once = Duration::from_millis(1);
    assert!(service.block_on(async { timeout(at_once, mine.changed()).await }).is_err(), "nothing changed");
    assert!(
        service.block_on(async { timeout(at_once, missing.changed()).await }).is_err(),
        "nothing changed"
    );

    world.write(r#"{"mine": {"key": "b"}, "missing": {"key": 1}}"#);
    service.block_on(mine.changed());
    service.block_on(missing.changed());
    assert_eq!((value(&mine), value(&missing)), (Some(json!({"key": "b"})), Some(json!(1))));
    world.write("{}");
    service.block_on(mine.changed());
    expect!["no secret `mine` in file `secdist.json`"]
        .assert_eq(&mine.get::<Secret>().expect_err("it is gone").to_string());
    service.service.stop();
}

#[test]
fn a_request_reads_at_once_without_a_period() {
    let world = World::new(r#"{"key": "first"}"#);
    let service = Running::start(&world, "0s");
    let mut changes = service.component::<SecdistComponent>("secdist").subscribe(&["key"]);
    world.write(r#"{"key": "second"}"#);
    assert_eq!(n_reloads(&service, "success"), 0, "nobody asked for it");
    service.handle().request_reload();
    service.block_on(changes.changed());
    assert_eq!(changes.get::<Secret>().expect("it is there").expose(), "second");
    service.service.stop();
}

#[test]
fn whoever_reads_files_of_its_own_is_told_of_each_reading() {
    let world = World::new(r#"{"key": "first"}"#);
    let service = Running::start(&world, "0s");
    let mut changes = service.component::<SecdistComponent>("secdist").subscribe(&["key"]);
    let at_once = Duration::from_millis(1);
    assert!(service.block_on(async { timeout(at_once, changes.read_again()).await }).is_err());
    service.handle().request_reload();
    service.block_on(changes.read_again());
    world.write(r#"{"key": "second"}"#);
    service.handle().request_reload();
    service.block_on(changes.read_again());
    assert_eq!(changes.get::<Secret>().expect("it is there").expose(), "second");
    world.remove();
    service.handle().request_reload();
    service.block_on(changes.read_again());
    assert_eq!(changes.get::<Secret>().expect("it is there").expose(), "second");
    service.service.stop();
}

#[test]
fn a_file_that_others_can_read_is_warned_about_once_until_it_is_mended() {
    let world = World::new("{}");
    world.change_mode(0o640);
    let service = Running::start(&world, "5ms");
    let warnings = || service.lines_with("Secrets can be read by others");
    until_read(&service, "success");
    let [warning] = &*warnings() else { panic!("not one warning: {:#?}", warnings()) };
    for detail in ["level=WARNING", "file=secdist.json", "mode=0640", "chmod 600 secdist.json"] {
        assert!(warning.contains(detail), "no {detail} in {warning}");
    }
    world.change_mode(0o600);
    until_read(&service, "success");
    assert_eq!(warnings().len(), 1);
    world.change_mode(0o604);
    eventually("a second warning", || warnings().len(), |n| *n == 2);
    service.service.stop();
}
