//! A SCRAM password is changed in the broker and in the file of secrets, under traffic, and nothing is lost, nothing comes
//! twice, and the group does not notice.
//!
//! Connections that are authenticated stay so; restarting the broker makes all of them anew, so that whatever goes on
//! afterwards goes on with the new password.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use mainspring_it::{ServiceConfig, ServiceProcess};
use mainspring_kafka_broker::{Broker, BrokerOptions};
use mainspring_testsuite::{DEADLINE, eventually};
use tempfile::TempDir;

use crate::example;

const USER: &str = "ann";
const TOPIC: &str = "orders";
const GROUP: &str = "accountants";

/// The service, what it reads and what it writes.
struct Traffic {
    service: ServiceProcess,
    secdist: PathBuf,
    ledger: PathBuf,
    brokers: String,
    _directory: TempDir,
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
    #[track_caller]
    fn start(broker: &Broker, password: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let (secdist, ledger) = (directory.path().join("secdist.json"), directory.path().join("ledger"));
        let brokers = broker.sasl_servers();
        write_secdist(&secdist, &brokers, password);
        let yaml = include_str!("../../testdata/rotating_service.yaml");
        let config = ServiceConfig::from_text("rotating_service.yaml", yaml)
            .with("secdist.json", secdist.to_str().expect("temporary directories have plain names"))
            .with("ledger.txt", ledger.to_str().expect("temporary directories have plain names"));
        let service = ServiceProcess::start(&example("rotating_service"), &config, &[]);
        let traffic = Self { service, secdist, ledger, brokers, _directory: directory };
        traffic.until_more_is_received();
        traffic
    }

    fn ledger(&self) -> Ledger {
        Ledger::parse(&fs::read_to_string(&self.ledger).unwrap_or_default())
    }

    /// Waits until what was sent from now on comes back.
    #[track_caller]
    fn until_more_is_received(&self) {
        let before = self.ledger().sent.last().copied();
        let wanted = before.map_or(20, |number| number + 20);
        eventually("more records", || self.ledger().received().last().copied(), |last| Some(wanted) <= *last);
    }

    fn sum(&self, family: &str, labels: &[(&str, &str)]) -> f64 {
        self.service.metrics().sum(family, labels)
    }

    #[track_caller]
    fn until_updated(&self, n_updates: f64) {
        for component in ["kafka-consumer", "kafka-producer"] {
            let labels = [("component", component), ("result", "success")];
            let n = || self.sum("kafka_client_credentials_updates_total", &labels);
            eventually("the new password to be taken up", n, |n| *n == n_updates);
        }
    }
}

/// Replaces the file as a whole, as its writers should.
fn write_secdist(path: &std::path::Path, brokers: &str, password: &str) {
    let client = format!(r#"{{"brokers": "{brokers}", "username": "{USER}", "password": "{password}"}}"#);
    let text = format!(r#"{{"kafka_settings": {{"kafka-consumer": {client}, "kafka-producer": {client}}}}}"#);
    let new = path.with_extension("new");
    fs::write(&new, text).expect("the directory is there");
    fs::rename(&new, path).expect("both are in one directory");
}

/// How many connections were turned away over a wrong password, as the broker says.
fn n_refused(broker: &Broker) -> usize {
    let log = fs::read_to_string(broker.log_path()).expect("the broker has a log");
    log.lines().filter(|line| line.contains("due to invalid credentials")).count()
}

#[test]
fn password_is_rotated_under_traffic_without_a_loss_or_a_rebalance() {
    let mut broker = Broker::start(BrokerOptions::default().with_user(USER, "hush-1")).expect("it starts");
    broker.create_topic(TOPIC, 2).expect("the topic is new");
    let traffic = Traffic::start(&broker, "hush-1");
    let n_rebalances = || traffic.sum("kafka_consumer_rebalances_total", &[]);
    let rebalances_of_the_start = n_rebalances();

    // As it should be done: the broker first, then the service, while connections stay.
    broker.set_password(USER, "hush-2").expect("the broker takes it");
    traffic.until_more_is_received();
    write_secdist(&traffic.secdist, &traffic.brokers, "hush-2");
    traffic.until_updated(1.0);
    traffic.until_more_is_received();
    broker.stop().expect("it stops");
    broker.restart().expect("it starts again");
    traffic.until_more_is_received();
    assert_eq!(n_refused(&broker), 0, "nobody tried the old password again");

    // The service learns of it only after the broker has begun to refuse the old password.
    broker.set_password(USER, "hush-3").expect("the broker takes it");
    broker.stop().expect("it stops");
    broker.restart().expect("it starts again");
    eventually("the old password to be refused", || n_refused(&broker), |n| 1 <= *n);
    write_secdist(&traffic.secdist, &traffic.brokers, "hush-3");
    traffic.until_updated(2.0);
    traffic.until_more_is_received();

    assert_eq!(n_rebalances(), rebalances_of_the_start);
    assert_eq!(traffic.sum("kafka_consumer_restarts_total", &[]), 0.0);
    check(&broker, traffic);
}

/// What was acknowledged is stored once, and everything that is stored up to the last commit was received once.
#[track_caller]
fn check(broker: &Broker, traffic: Traffic) {
    let Traffic { service, ledger, _directory, .. } = traffic;
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
