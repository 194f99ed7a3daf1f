//! Offsets in a store of the user's own: a service that is killed again and again goes on where its store says, and nothing is
//! lost or done twice.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use mainspring_it::{ServiceConfig, ServiceProcess};
use mainspring_kafka_broker::{Client, shared, unique_name};
use mainspring_testsuite::{DEADLINE, eventually};

use crate::example;

const N_RECORDS: usize = 2000;
const N_KILLS: usize = 4;

/// Offsets and payloads by partition, in the order of the store.
#[track_caller]
fn entries(store: &Path) -> BTreeMap<i32, Vec<(i64, String)>> {
    let text = fs::read_to_string(store).unwrap_or_default();
    let mut entries: BTreeMap<i32, Vec<(i64, String)>> = BTreeMap::new();
    // The service may be in the middle of a line.
    let (complete, _rest) = text.rsplit_once('\n').unwrap_or_default();
    for line in complete.lines() {
        let mut words = line.splitn(3, ' ');
        let (partition, offset) = (words.next().expect("a partition"), words.next().expect("an offset"));
        let entry = (offset.parse().expect("a number"), words.next().expect("a payload").to_owned());
        entries.entry(partition.parse().expect("a number")).or_default().push(entry);
    }
    entries
}

fn n_entries(store: &Path) -> usize {
    entries(store).values().map(Vec::len).sum()
}

#[test]
fn killed_service_goes_on_where_its_own_store_says() {
    let client: &Client = shared();
    let (topic, group) = (unique_name("orders"), unique_name("keepers"));
    client.create_topic(&topic, 3).expect("the topic is new");
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let store = directory.path().join("store");
    let config =
        ServiceConfig::from_text("storing_service.yaml", include_str!("../../testdata/storing_service.yaml"))
            .with("group_id: keepers", &format!("group_id: {group}"))
            .with("[orders]", &format!("[{topic}]"))
            .with("store.txt", store.to_str().expect("temporary directories have plain names"));
    let brokers = client.bootstrap_servers();
    let secdist = format!(r#"{{"kafka_settings": {{"kafka-consumer": {{"brokers": "{brokers}"}}}}}}"#);
    let start = || {
        let env = [("SECDIST_CONFIG", secdist.as_str())];
        ServiceProcess::start(&example("storing_service"), &config, &env)
    };
    let per_round = N_RECORDS / (N_KILLS + 1);
    for round in 0..N_KILLS {
        let service = start();
        let numbers = round * per_round..(round + 1) * per_round;
        let records = numbers.map(|number| (number.to_string(), number.to_string()));
        client.write_all(&topic, records).expect("it is written");
        // In the midst of it.
        let reached = round * per_round + per_round / 2;
        eventually("half of them", || n_entries(&store), |n| reached <= *n);
        drop(service);
    }
    let records = (N_KILLS * per_round..N_RECORDS).map(|number| (number.to_string(), number.to_string()));
    client.write_all(&topic, records).expect("it is written");
    let service = start();
    eventually("all of them", || n_entries(&store), |n| N_RECORDS <= *n);
    assert_eq!(service.stop().code, Some(0));

    let mut stored: BTreeMap<i32, Vec<(i64, String)>> = BTreeMap::new();
    for record in client.read_all(&topic, N_RECORDS, DEADLINE).expect("they were written") {
        let payload = String::from_utf8(record.payload).expect("a number was written");
        stored.entry(record.partition).or_default().push((record.offset, payload));
    }
    assert_eq!(entries(&store), stored, "each once and in order");
    assert_eq!(client.committed(&group, &topic).expect("the group is known"), BTreeMap::new());
}
