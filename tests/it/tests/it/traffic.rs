//! A service that produces and consumes without a pause while a test changes what it connects with, and its ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use mainspring_it::{ServiceConfig, ServiceProcess};
use mainspring_kafka_broker::Broker;
use mainspring_testsuite::{DEADLINE, eventually};

use crate::example;

pub(crate) const TOPIC: &str = "orders";
const GROUP: &str = "accountants";

/// The service and what it writes.
pub(crate) struct Traffic {
    service: ServiceProcess,
    ledger: PathBuf,
}

/// What the service has written down.
#[derive(Debug, Default)]
struct Ledger {
    sent: BTreeSet<u64>,
    n_failed: usize,
    /// Numbers and offsets by partition, in the order of their arrival.
    got: BTreeMap<i32, Vec<(i64, u64)>>,
}

impl Ledger {
    fn parse(text: &str) -> Self {
        let mut ledger = Self::default();
        let (complete, _rest) = text.rsplit_once('\n').unwrap_or_default();
        for line in complete.lines() {
            let words: Vec<_> = line.split(' ').collect();
            match *words {
                ["sent", number] => drop(ledger.sent.insert(number.parse().expect("a number"))),
                ["failed", _] => ledger.n_failed += 1,
                ["got", number, partition, offset] => {
                    let partition = partition.parse().expect("a partition");
                    let entry = (offset.parse().expect("an offset"), number.parse().expect("a number"));
                    ledger.got.entry(partition).or_default().push(entry);
                }
                _ => panic!("no entry: `{line}`"),
            }
        }
        ledger
    }

    fn received(&self) -> BTreeSet<u64> {
        self.got.values().flatten().map(|(_, number)| *number).collect()
    }
}

impl Traffic {
    /// Starts it with this configuration; its ledger is in `directory`.
    #[track_caller]
    pub(crate) fn start(config: ServiceConfig, directory: &Path) -> Self {
        let ledger = directory.join("ledger");
        let config = config.with("ledger.txt", text(&ledger));
        let service = ServiceProcess::start(&example("rotating_service"), &config, &[]);
        let traffic = Self { service, ledger };
        traffic.until_more_is_received();
        traffic
    }

    fn ledger(&self) -> Ledger {
        Ledger::parse(&fs::read_to_string(&self.ledger).unwrap_or_default())
    }

    /// Waits until what was sent from now on comes back.
    #[track_caller]
    pub(crate) fn until_more_is_received(&self) {
        let before = self.ledger().sent.last().copied();
        let wanted = before.map_or(20, |number| number + 20);
        eventually("more records", || self.ledger().received().last().copied(), |last| Some(wanted) <= *last);
    }

    pub(crate) fn sum(&self, family: &str, labels: &[(&str, &str)]) -> f64 {
        self.service.metrics().sum(family, labels)
    }

    /// Waits until each client has taken up, or refused, what was new so often.
    #[track_caller]
    pub(crate) fn until_updated(&self, result: &str, is_enough: impl Fn(f64) -> bool) {
        for component in ["kafka-consumer", "kafka-producer"] {
            let labels = [("component", component), ("result", result)];
            let n = || self.sum("kafka_client_credentials_updates_total", &labels);
            eventually("what is new to be taken up", n, |n| is_enough(*n));
        }
    }
}

/// What secdist has for both clients.
pub(crate) fn secdist(client: &str) -> String {
    format!(r#"{{"kafka_settings": {{"kafka-consumer": {client}, "kafka-producer": {client}}}}}"#)
}

/// Replaces a file as a whole, as its writers should.
pub(crate) fn replace(path: &Path, contents: impl AsRef<[u8]>) {
    let new = path.with_extension("new");
    fs::write(&new, contents).expect("the directory is there");
    fs::rename(&new, path).expect("both are in one directory");
}

/// Paths of temporary directories are text.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("temporary directories have plain names")
}

/// What was acknowledged is stored once, and everything that is stored up to the last commit was received once.
#[track_caller]
pub(crate) fn check(broker: &Broker, traffic: Traffic) {
    let Traffic { service, ledger } = traffic;
    let ended = service.stop();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let leaks: Vec<_> = ended.log.iter().filter(|line| line.contains("hush")).collect();
    assert_eq!(leaks, Vec::<&String>::new());

    let ledger = Ledger::parse(&fs::read_to_string(ledger).expect("the service has made it"));
    assert_eq!(ledger.n_failed, 0);
    let stored = broker.read_all(TOPIC, ledger.sent.len(), DEADLINE).expect("it was acknowledged");
    let mut partitions: BTreeMap<i32, Vec<(i64, u64)>> = BTreeMap::new();
    for record in &stored {
        let number = String::from_utf8_lossy(&record.payload).parse().expect("a number was written");
        partitions.entry(record.partition).or_default().push((record.offset, number));
    }
    let numbers: Vec<_> = partitions.values().flatten().map(|(_, number)| *number).collect();
    let unique: BTreeSet<_> = numbers.iter().copied().collect();
    assert_eq!(unique.len(), numbers.len(), "a record is stored twice");
    let lost: Vec<_> = ledger.sent.difference(&unique).collect();
    assert_eq!(lost, Vec::<&u64>::new(), "acknowledged records are not stored");

    let committed = broker.committed(GROUP, TOPIC).expect("the group is known");
    for (partition, stored) in partitions {
        let got = &ledger.got[&partition];
        assert_eq!(*got, stored[..got.len()], "partition {partition} was not received in order and once");
        let n_received = i64::try_from(got.len()).expect("it is small");
        assert_eq!(committed[&partition], n_received, "what was received is committed");
    }
}
