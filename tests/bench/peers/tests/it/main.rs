//! The clients that are measured beside ours do what the contract says, on the real broker.

use std::process::Command;

use mainspring_bench::Report;
use mainspring_kafka_broker::{Client, shared, unique_name};

const N_RECORDS: usize = 1000;
const SIZE: usize = 100;

#[track_caller]
fn check(binary: &str, name: &str) {
    let client: &Client = shared();
    let topic = unique_name("bench");
    client.create_topic(&topic, 2).expect("the topic is new");
    for op in ["produce", "produce-batch", "consume"] {
        let (messages, size) = (N_RECORDS.to_string(), SIZE.to_string());
        let output = Command::new(binary)
            .args([op, "--brokers", client.bootstrap_servers(), "--topic", &topic])
            .args(["--messages", &messages, "--size", &size, "--codec", "zstd"])
            .output()
            .expect("cargo has built it");
        assert!(output.status.success(), "{op} failed: {}", String::from_utf8_lossy(&output.stderr));
        let report: Report = serde_json::from_slice(&output.stdout).expect("the fields are the contract's");
        assert_eq!((&*report.client, &*report.op), (name, op));
        assert!(N_RECORDS <= report.messages && report.messages <= 2 * N_RECORDS, "{report:?}");
        assert_eq!(report.bytes, (report.messages * SIZE) as u64);
        assert!(0.0 < report.seconds && 0 < report.max_rss_kb, "{report:?}");
    }
}

#[test]
fn plain_c_produces_and_consumes() {
    check(env!("CARGO_BIN_EXE_kafka_bench_c"), "c");
}

#[test]
fn rust_rdkafka_produces_and_consumes() {
    check(env!("CARGO_BIN_EXE_kafka_bench_rdkafka"), "rust-rdkafka");
}
