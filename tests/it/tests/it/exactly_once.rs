//! A pipeline from topic to topic, as processes that are killed, frozen and joined by others: each record of the one is in
//! the other once, for whoever reads what is committed.

use std::collections::BTreeMap;
use std::ops::Range;

use mainspring_it::{ServiceConfig, ServiceProcess, Signal};
use mainspring_kafka_broker::{Client, shared, unique_name};
use mainspring_testsuite::{DEADLINE, eventually};
use tempfile::TempDir;

use crate::example;

const N_PARTITIONS: i32 = 4;

/// Topics and a group that nobody else uses.
#[derive(Debug)]
struct Stage {
    client: &'static Client,
    orders: String,
    bills: String,
    group: String,
    directory: TempDir,
}

impl Stage {
    #[track_caller]
    fn new() -> Self {
        let client: &Client = shared();
        let (orders, bills) = (unique_name("orders"), unique_name("bills"));
        for topic in [&orders, &bills] {
            client.create_topic(topic, N_PARTITIONS).expect("the topic is new");
        }
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        Self { client, orders, bills, group: unique_name("copiers"), directory }
    }

    #[track_caller]
    fn config(&self) -> ServiceConfig {
        let yaml = include_str!("../../testdata/exactly_once_service.yaml");
        let mark = self.directory.path().join("mark");
        ServiceConfig::from_text("exactly_once_service.yaml", yaml)
            .with("group_id: copiers", &format!("group_id: {}", self.group))
            .with("copier-{pod_name}", &format!("{}-{{pod_name}}", self.group))
            .with("[orders]", &format!("[{}]", self.orders))
            .with("to: bills", &format!("to: {}", self.bills))
            .with("mark.txt", mark.to_str().expect("temporary directories have plain names"))
    }

    /// An instance that copies, or stands still in the middle of its third transaction.
    #[track_caller]
    fn start(&self, pod: &str, standstill: Option<&str>) -> ServiceProcess {
        let mut config = self.config();
        if let Some(point) = standstill {
            config = config.with("copier: {", &format!("copier: {{standstill: {point}, "));
        }
        self.start_with(pod, &config)
    }

    #[track_caller]
    fn start_with(&self, pod: &str, config: &ServiceConfig) -> ServiceProcess {
        let brokers = self.client.bootstrap_servers();
        let of = |name: &str| format!(r#""{name}": {{"brokers": "{brokers}"}}"#);
        let (consumer, producer) = (of("kafka-consumer"), of("kafka-transactional-producer"));
        let secdist = format!(r#"{{"kafka_settings": {{{consumer}, {producer}}}}}"#);
        let env = [("SECDIST_CONFIG", secdist.as_str()), ("POD", pod)];
        ServiceProcess::start(&example("exactly_once_service"), config, &env)
    }

    #[track_caller]
    fn until_it_stands_still(&self) {
        let mark = self.directory.path().join("mark");
        eventually("the instance to stand still", || mark.exists(), |is_there| *is_there);
    }

    #[track_caller]
    fn let_it_go_on(&self) {
        std::fs::remove_file(self.directory.path().join("mark")).expect("it is there");
    }

    #[track_caller]
    fn write(&self, numbers: Range<usize>) {
        let records = numbers.map(|number| (number.to_string(), number.to_string()));
        self.client.write_all(&self.orders, records).expect("it is written");
    }

    /// How often each number is among the bills, for whoever reads what is committed.
    #[track_caller]
    fn copies(&self) -> BTreeMap<usize, usize> {
        let mut copies = BTreeMap::new();
        for record in self.client.read_all(&self.bills, 0, DEADLINE).expect("the topic can be read") {
            // Made by hand, some have an empty record at the end.
            if let Ok(number) = String::from_utf8_lossy(&record.payload).parse() {
                *copies.entry(number).or_default() += 1;
            }
        }
        copies
    }

    /// Each number up to here was copied, once, and the group knows.
    #[track_caller]
    fn check(&self, n_records: usize) {
        let copies = eventually("all copies", || self.copies(), |copies| n_records <= copies.len());
        let expected: BTreeMap<_, _> = (0..n_records).map(|number| (number, 1)).collect();
        assert_eq!(copies, expected);
        let orders = self.client.read_all(&self.orders, n_records, DEADLINE).expect("the topic can be read");
        let mut ends = BTreeMap::new();
        for order in orders {
            let end = ends.entry(order.partition).or_insert(0);
            *end = i64::max(*end, order.offset + 1);
        }
        let committed = || self.client.committed(&self.group, &self.orders).expect("it answers");
        eventually("all offsets", committed, |committed| *committed == ends);
        // Nothing came in between.
        assert_eq!(self.copies(), expected);
    }
}

/// Kills an instance while it stands still; another one goes on in its place, with its id and its place in the group.
#[track_caller]
fn kill_at(point: &str) {
    let stage = Stage::new();
    let in_place = |config: ServiceConfig| {
        config.with(
            "            max_batch_size: 20\n",
            "            max_batch_size: 20\n            group_instance_id: member\n",
        )
    };
    stage.write(0..200);
    let standing = stage.config().with("copier: {", &format!("copier: {{standstill: {point}, "));
    let killed = stage.start_with("a", &in_place(standing));
    stage.until_it_stands_still();
    // Dropped is killed, by SIGKILL.
    drop(killed);
    let heir = stage.start_with("a", &in_place(stage.config()));
    stage.write(200..300);
    stage.check(300);
    let ended = heir.stop();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
}

#[test]
fn killed_with_an_empty_transaction_each_record_counts_once() {
    kill_at("before_send");
}

#[test]
fn killed_after_its_records_are_stored_each_record_counts_once() {
    kill_at("after_send");
}

#[test]
fn killed_after_its_offsets_are_sent_each_record_counts_once() {
    kill_at("after_send_offsets");
}

#[test]
fn killed_right_after_a_commit_each_record_counts_once() {
    kill_at("after_commit");
}

#[test]
fn killed_again_and_again_at_any_moment_each_record_counts_once() {
    const N_KILLS: usize = 6;
    let stage = Stage::new();
    let config = stage.config().with(
        "            max_batch_size: 20\n",
        "            max_batch_size: 3\n            group_instance_id: member\n",
    );
    for kill in 0..N_KILLS {
        stage.write(kill * 100..(kill + 1) * 100);
        let copied_before = stage.copies().len();
        let service = stage.start_with("a", &config);
        // Each a little later in its work.
        let wanted = copied_before + 1 + 5 * kill;
        eventually("some more copies", || stage.copies().len(), |n| wanted <= *n);
        drop(service);
    }
    let service = stage.start_with("a", &config);
    stage.check(N_KILLS * 100);
    let ended = service.stop();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
}

#[test]
fn instances_come_go_and_die_and_each_record_counts_once() {
    let stage = Stage::new();
    stage.write(0..100);
    let first = stage.start("a", None);
    eventually("some copies", || stage.copies().len(), |n| 0 < *n);
    stage.write(100..600);
    // Partitions change hands under traffic.
    let second = stage.start("b", None);
    let n_assigned =
        |service: &ServiceProcess| service.metrics().sum("kafka_consumer_assigned_partitions", &[]);
    stage.write(600..900);
    eventually("both to share", || (n_assigned(&first), n_assigned(&second)), |n| *n == (2.0, 2.0));
    stage.write(900..1200);
    // It leaves in order, in the middle of its work.
    let ended = second.stop();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    stage.write(1200..1300);
    eventually("the first to have all", || n_assigned(&first), |n| *n == 4.0);
    // One with another id takes over from it, without a word: whatever it left open is aborted by the cluster.
    drop(first);
    let third = stage.start("c", None);
    stage.write(1300..1400);
    stage.check(1400);
    assert_eq!(third.stop().code, Some(0));
}

#[test]
fn offsets_of_an_instance_that_died_in_a_transaction_hold_up_its_heir_until_that_is_aborted() {
    let stage = Stage::new();
    stage.write(0..200);
    let killed = stage.start("a", Some("after_send_offsets"));
    stage.until_it_stands_still();
    drop(killed);
    // With another id, so that it cannot abort what the other one left open, and must not begin before the cluster does.
    let heir = stage.start("b", None);
    stage.check(200);
    assert_eq!(heir.stop().code, Some(0));
}

#[test]
fn a_frozen_instance_that_comes_back_to_life_changes_nothing() {
    for point in ["after_send", "after_send_offsets"] {
        let stage = Stage::new();
        stage.write(0..200);
        let zombie = stage.start("a", Some(point));
        stage.until_it_stands_still();
        zombie.signal(Signal::STOP);
        let heir = stage.start("b", None);
        stage.check(200);
        // It goes on with its transaction, as if nothing had happened.
        stage.let_it_go_on();
        zombie.signal(Signal::CONT);
        zombie.until_logged("Batch failed");
        stage.write(200..300);
        stage.check(300);
        drop(zombie);
        assert_eq!(heir.stop().code, Some(0));
    }
}
