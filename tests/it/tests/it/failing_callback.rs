//! A consumer whose callback fails, panics and forgets to commit: nothing is lost, nothing is out of order, and nothing
//! is committed that was not processed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use mainspring_it::{ServiceConfig, ServiceProcess};
use mainspring_kafka_broker::{Client, shared, unique_name};
use mainspring_testsuite::{DEADLINE, eventually};

use crate::example;

const N_RECORDS: usize = 1000;

/// One message in one batch, as `examples/failing_service.rs` writes it down.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    fate: String,
    partition: i32,
    offset: i64,
    payload: String,
}

/// The file that the service writes.
#[derive(Debug)]
struct Ledger(PathBuf);

impl Ledger {
    /// The lines that are complete by now.
    #[track_caller]
    fn entries(&self) -> Vec<Entry> {
        let text = fs::read_to_string(&self.0).expect("the service has made it");
        let (complete, _rest) = text.rsplit_once('\n').unwrap_or_default();
        complete.lines().map(|line| entry(line).unwrap_or_else(|| panic!("no entry: `{line}`"))).collect()
    }
}

fn entry(line: &str) -> Option<Entry> {
    let mut words = line.splitn(4, ' ');
    Some(Entry {
        fate: words.next()?.to_owned(),
        partition: words.next()?.parse().ok()?,
        offset: words.next()?.parse().ok()?,
        payload: words.next()?.to_owned(),
    })
}

/// The offset up to which, without a gap, batches succeeded, by partition.
fn processed(entries: &[Entry]) -> BTreeMap<i32, i64> {
    let mut processed = BTreeMap::new();
    for entry in entries {
        let next = processed.entry(entry.partition).or_insert(0);
        if ["Committed", "NotCommitted"].contains(&&*entry.fate) && entry.offset == *next {
            *next += 1;
        }
    }
    processed
}

/// Every record's payload, by partition and offset.
fn stored(client: &Client, topic: &str) -> BTreeMap<(i32, i64), String> {
    let records = client.read_all(topic, N_RECORDS, DEADLINE).expect("everything was acknowledged");
    let text = |payload| String::from_utf8(payload).expect("text was written");
    records.into_iter().map(|record| ((record.partition, record.offset), text(record.payload))).collect()
}

#[track_caller]
fn start(client: &Client, topic: &str, group: &str, ledger: &Path) -> ServiceProcess {
    let config =
        ServiceConfig::from_text("failing_service.yaml", include_str!("../../testdata/failing_service.yaml"))
            .with("group_id: accountants", &format!("group_id: {group}"))
            .with("[orders]", &format!("[{topic}]"))
            .with("ledger.txt", ledger.to_str().expect("temporary directories have plain names"));
    let brokers = client.bootstrap_servers();
    let secdist = format!(r#"{{"kafka_settings": {{"kafka-consumer": {{"brokers": "{brokers}"}}}}}}"#);
    ServiceProcess::start(&example("failing_service"), &config, &[("SECDIST_CONFIG", &secdist)])
}

#[test]
fn failing_callback_sees_its_batch_again_and_nothing_is_lost() {
    let client: &Client = shared();
    let (topic, group) = (unique_name("orders"), unique_name("accountants"));
    client.create_topic(&topic, 2).expect("the topic is new");
    client.write_all(&topic, (0..N_RECORDS).map(|n| (n.to_string(), n.to_string()))).expect("it is written");
    let stored = stored(client, &topic);
    let mut ends = BTreeMap::new();
    for &(partition, offset) in stored.keys() {
        ends.insert(partition, offset + 1);
    }

    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let ledger = Ledger(directory.path().join("ledger"));
    let service = start(client, &topic, &group, &ledger.0);
    let committed = || client.committed(&group, &topic).expect("the group is known");
    // Asked in this order, what is committed may not be ahead of what was processed.
    let look = || (committed(), processed(&ledger.entries()));
    let is_done = |(committed, processed): &(BTreeMap<i32, i64>, BTreeMap<i32, i64>)| {
        for (partition, committed) in committed {
            let processed = processed.get(partition).copied().unwrap_or_default();
            assert!(*committed <= processed, "{committed} committed, {processed} processed in {partition}");
        }
        *committed == ends
    };
    eventually("everything to be committed", look, is_done);
    let entries = ledger.entries();
    assert_eq!(processed(&entries), ends);
    check_fates(&entries);
    check_order(&entries);
    for Entry { partition, offset, payload, .. } in &entries {
        assert_eq!(stored.get(&(*partition, *offset)), Some(payload), "at {partition}:{offset}");
    }

    let ended = service.stop();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(committed(), ends);
    assert_eq!(ledger.entries(), entries, "something was handed out after everything was committed");
}

/// The callback went wrong in every way, often.
#[track_caller]
fn check_fates(entries: &[Entry]) {
    for fate in ["Committed", "NotCommitted", "Failed", "Panicked"] {
        let n_entries = entries.iter().filter(|entry| entry.fate == fate).count();
        assert!(5 <= n_entries, "{n_entries} messages {fate}");
    }
}

/// In each partition offsets come one after another, but for steps back to what was not committed.
#[track_caller]
fn check_order(entries: &[Entry]) {
    for partition in 0..2 {
        let of_partition = entries.iter().filter(|entry| entry.partition == partition);
        let given: Vec<_> = of_partition.map(|entry| entry.offset).collect();
        assert_eq!(given[0], 0, "reading of {partition} did not begin at its beginning");
        let gap = given.windows(2).find(|pair| pair[0] + 1 < pair[1]);
        assert_eq!(gap, None, "offsets of {partition} were passed over");
        let n_steps_back = given.windows(2).filter(|pair| pair[1] <= pair[0]).count();
        assert!(0 < n_steps_back, "no batch of {partition} was seen again");
    }
}
