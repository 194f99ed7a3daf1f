//! Credentials that change while clients run. Nobody listens to these clients: whether brokers take the new credentials is
//! shown with a real one, in `tests/it`.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use mainspring_config::{Source, Surroundings, VarsOptions};
use mainspring_core::{ComponentList, Phase, Service, ServiceOptions};
use mainspring_kafka::{Batch, ConsumerScope, KafkaConsumerComponent, KafkaProducerComponent};
use mainspring_testsuite::{DEADLINE, TestService, eventually};
use tempfile::NamedTempFile;

use crate::support::with_secdist;

/// The file of secrets, which tests replace.
#[derive(Debug)]
struct World(Mutex<String>);

impl Surroundings for World {
    fn env_var(&self, _: &str) -> io::Result<Option<String>> {
        Ok(None)
    }

    fn read_file(&self, _: &str) -> io::Result<String> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// A service with both kinds of client, its secrets and its log.
struct Rotating {
    service: TestService,
    world: Arc<World>,
    log: NamedTempFile,
}

const COMPONENTS: [&str; 2] = ["kafka-consumer", "kafka-producer"];

impl Rotating {
    #[track_caller]
    fn start(secret: &str) -> Self {
        let world = Arc::new(World(Mutex::new(secdist(secret))));
        let log = NamedTempFile::new().expect("a temporary file can be made");
        let list = with_secdist(ComponentList::minimal())
            .append_default::<KafkaProducerComponent>()
            .append_default::<KafkaConsumerComponent>();
        let client = "security_protocol: SASL_PLAINTEXT, sasl_mechanisms: PLAIN, \
                      rd_kafka_custom_options: {debug: 'security,broker'}";
        let text = format!(
            "components_manager:
  task_processors: {{main-task-processor: {{worker_threads: 2}}}}
  default_task_processor: main-task-processor
  components:
    logging: {{loggers: {{default: {{file_path: '{}', level: trace}}}}}}
    secdist: {{update-period: 5ms}}
    default-secdist-provider: {{config: secdist.json}}
    kafka-producer: {{task_processor: main-task-processor, {client}}}
    kafka-consumer: {{task_processor: main-task-processor, group_id: g, topics: [t], {client}}}
",
            log.path().display()
        );
        let surroundings: Arc<dyn Surroundings + Send + Sync> = Arc::<World>::clone(&world);
        let root =
            mainspring_config::load(&Source::new("t.yaml", text), &VarsOptions::default(), &*surroundings);
        let root = root.unwrap_or_else(|problems| panic!("{problems}"));
        let service = Service::new(&list, &root, ServiceOptions { surroundings });
        let service = TestService::begin(service.unwrap_or_else(|problems| panic!("{problems}")));
        assert_eq!(service.reached(Phase::Running), Phase::Running);
        Self { service, world, log }
    }

    fn write(&self, secret: &str) {
        *self.world.0.lock().unwrap_or_else(PoisonError::into_inner) = secdist(secret);
    }

    #[track_caller]
    fn consume(&self) -> ConsumerScope {
        let component = self.service.component::<KafkaConsumerComponent>("kafka-consumer");
        let scope = component.consumer().expect("it is not in use");
        scope.start(async |_: Batch| Ok::<(), Infallible>(())).expect("it is not running");
        scope
    }

    /// How many updates of a component had this result.
    fn n_updates(&self, component: &str, result: &str) -> u64 {
        let labels = format!("{{component=\"{component}\",result=\"{result}\"}} ");
        let series = format!("kafka_client_credentials_updates_total{labels}");
        let metrics = self.service.metrics();
        let value =
            metrics.lines().find_map(|line| line.strip_prefix(&series)).expect("there is such a series");
        value.parse().expect("a counter is a number")
    }

    #[track_caller]
    fn until_updated(&self, result: &str, n_updates: u64) {
        for component in COMPONENTS {
            eventually(component, || self.n_updates(component, result), |now| *now == n_updates);
        }
    }

    fn lines_with(&self, text: &str) -> Vec<String> {
        self.service.handle().logging().flush(DEADLINE);
        let log = fs::read_to_string(self.log.path()).expect("the file stays");
        log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }

    /// Nothing that was ever in secdist is in the log, but for where the brokers are.
    #[track_caller]
    fn stop(self) {
        let Self { service, log, .. } = self;
        service.stop();
        let log = fs::read_to_string(log.path()).expect("the file stays");
        let leaks: Vec<_> = log.lines().filter(|line| line.contains("hush")).collect();
        assert_eq!(leaks, Vec::<&str>::new());
    }
}

/// The same for both components.
fn secdist(secret: &str) -> String {
    format!(r#"{{"kafka_settings": {{"kafka-producer": {secret}, "kafka-consumer": {secret}}}}}"#)
}

const FIRST: &str = r#"{"brokers": "127.0.0.1:1", "username": "ann", "password": "hush-1"}"#;
const SECOND: &str = r#"{"brokers": "127.0.0.1:1", "username": "ann", "password": "hush-2"}"#;

#[test]
fn new_credentials_are_taken_up_once_and_by_the_same_clients() {
    let rotating = Rotating::start(FIRST);
    let scope = rotating.consume();
    rotating.write(SECOND);
    rotating.until_updated("success", 1);
    // A key that nobody asks for changes nothing.
    rotating.write(&SECOND.replace('{', r#"{"comment": "x", "#));
    rotating.write(FIRST);
    rotating.until_updated("success", 2);
    rotating.until_updated("error", 0);
    assert_eq!(rotating.lines_with("New credentials are used").len(), 4);
    let metrics = rotating.service.metrics();
    let restarts = metrics.lines().filter(|line| line.starts_with("kafka_consumer_restarts_total"));
    assert!(restarts.clone().all(|line| line.ends_with(" 0")), "{:?}", restarts.collect::<Vec<_>>());
    drop(scope);
    rotating.stop();
}

#[test]
fn unusable_credentials_are_told_once_and_the_old_ones_stay() {
    let rotating = Rotating::start(FIRST);
    let scope = rotating.consume();
    let bad = [
        (
            r#"{"brokers": "127.0.0.1:1", "username": "hush-ann"}"#,
            "no secret `kafka_settings.kafka-producer.password`",
        ),
        (
            r#"{"brokers": "127.0.0.1:1", "username": "hush-ann", "password": {"hush": 1}}"#,
            "secret `kafka_settings.kafka-producer.password`",
        ),
        (
            r#"{"brokers": "127.0.0.1:1", "username": "hush-ann", "password": "hush\u0000hush"}"#,
            "`sasl.password` contains a zero byte",
        ),
    ];
    for ((secret, reason), n_updates) in bad.iter().zip(1..) {
        rotating.write(secret);
        rotating.until_updated("error", n_updates);
        assert_ne!(rotating.lines_with(reason), Vec::<String>::new());
    }
    rotating.until_updated("success", 0);
    assert_eq!(rotating.lines_with("brokers cannot be used; the old ones stay").len(), 6);
    drop(scope);
    rotating.stop();
}

#[test]
fn other_brokers_are_asked_by_another_client() {
    let rotating = Rotating::start(FIRST);
    let scope = rotating.consume();
    let asks = |component: &str, port: u16| {
        let lines = rotating.lines_with("Connection to a broker is failing");
        let names = [format!("component={component}"), format!("127.0.0.1:{port}/")];
        lines.iter().any(|line| names.iter().all(|name| line.contains(name)))
    };
    for component in COMPONENTS {
        eventually(component, || asks(component, 1), |asks| *asks);
    }
    for (port, n_updates) in [(2, 1), (3, 2)] {
        rotating.write(&FIRST.replace("127.0.0.1:1", &format!("127.0.0.1:{port}")));
        rotating.until_updated("success", n_updates);
        for component in COMPONENTS {
            eventually(component, || asks(component, port), |asks| *asks);
        }
    }
    assert_eq!(rotating.lines_with("New brokers, certificates or keys are in use").len(), 4);
    drop(scope);
    rotating.stop();
}

#[test]
fn a_consumer_that_starts_later_begins_with_the_new_credentials() {
    let rotating = Rotating::start(FIRST);
    rotating.write(SECOND);
    rotating.until_updated("success", 1);
    let scope = rotating.consume();
    eventually("the client", || rotating.lines_with("Started consuming").len(), |n| *n == 1);
    // Told once, by whoever took them.
    rotating.until_updated("success", 1);
    drop(scope);
    rotating.stop();
}
