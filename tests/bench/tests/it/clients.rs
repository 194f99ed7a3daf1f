//! A thousand records through each operation of `kafka_bench`, on the real broker.

use std::process::Command;

use mainspring_bench::{LatencyReport, Report};
use mainspring_kafka_broker::{Client, shared, unique_name};

const N_RECORDS: usize = 1000;
const SIZE: usize = 100;

/// Runs one operation and returns its only line.
#[track_caller]
fn run(client: &Client, topic: &str, op: &str, more: &[&str]) -> String {
    let (messages, size) = (N_RECORDS.to_string(), SIZE.to_string());
    let output = Command::new(env!("CARGO_BIN_EXE_kafka_bench"))
        .args([op, "--brokers", client.bootstrap_servers(), "--topic", topic])
        .args(["--messages", &messages, "--size", &size])
        .args(more)
        .output()
        .expect("cargo has built it");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{op} failed: {stderr}");
    let stdout = String::from_utf8(output.stdout).expect("JSON is text");
    assert_eq!(stdout.lines().count(), 1, "{op} printed `{stdout}`, and said: {stderr}");
    stdout
}

#[track_caller]
fn check(line: &str, op: &str) {
    let report: Report = serde_json::from_str(line).expect("the fields are those of the contract");
    assert_eq!((&*report.client, &*report.op), ("mainspring", op));
    assert_eq!((report.messages, report.bytes), (N_RECORDS, (N_RECORDS * SIZE) as u64));
    assert!(0.0 < report.seconds && 0.0 < report.cpu_user, "{line}");
    assert!((1000..1_000_000).contains(&report.max_rss_kb), "{line}");
}

#[test]
fn produces_one_by_one_and_in_batches_and_consumes_with_commits() {
    let client: &Client = shared();
    let (topic, group) = (unique_name("bench"), unique_name("bench"));
    client.create_topic(&topic, 2).expect("the topic is new");
    check(&run(client, &topic, "produce", &[]), "produce");
    check(&run(client, &topic, "produce-batch", &["--codec", "lz4", "--acks", "1"]), "produce-batch");
    let stored = client.read_all(&topic, 2 * N_RECORDS, std::time::Duration::from_secs(30));
    let stored = stored.expect("everything was acknowledged");
    assert_eq!(stored.len(), 2 * N_RECORDS);
    assert!(stored.iter().all(|record| record.payload.len() == SIZE));

    let line = run(client, &topic, "consume", &["--group", &group]);
    let report: Report = serde_json::from_str(&line).expect("the fields are those of the contract");
    assert!(N_RECORDS <= report.messages && report.messages <= 2 * N_RECORDS, "{line}");
    assert_eq!(report.bytes, (report.messages * SIZE) as u64);
    let committed: i64 = client.committed(&group, &topic).expect("the group is known").values().sum();
    assert!(0 < committed, "nothing was committed");
}

#[test]
fn latency_counts_every_message() {
    let client: &Client = shared();
    let topic = unique_name("bench");
    client.create_topic(&topic, 1).expect("the topic is new");
    let line = run(client, &topic, "latency", &["--rate", "2000", "--linger-ms", "0"]);
    let report: LatencyReport = serde_json::from_str(&line).expect("the fields are those of the contract");
    assert_eq!((&*report.op, report.messages), ("latency", N_RECORDS));
    assert!(0.0 < report.p50_us && report.p50_us <= report.p99_us, "{line}");
    assert!(report.p99_us <= report.p999_us && report.p999_us <= report.max_us, "{line}");
}
