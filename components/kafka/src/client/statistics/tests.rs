//! Statistics are read whatever is missing or new in them, and sums carry over.

use mainspring_metrics::{Registry, Snapshot, prometheus_text};

use super::{RTT, Statistics};

fn collect(statistics: &Statistics) -> String {
    let mut snapshot: Snapshot = Registry::default().snapshot();
    statistics.collect_brokers("kafka-producer", &mut snapshot);
    let text = prometheus_text(&snapshot);
    let lines = text.lines().filter(|line| line.starts_with("kafka_client_"));
    lines.map(|line| format!("{line}\n")).collect()
}

fn broker(count: u32) -> Statistics {
    let json = format!(
        r#"{{"brokers": {{"b:9092/1": {{"name": "b:9092/1", "nodeid": 1, "state": "UP",
            "rtt": {{"sum": 3000000, "cnt": {count}, "p50": 1000, "p90": 2000, "p99": 3000}}}}}}}}"#
    );
    Statistics::parse(&json).unwrap()
}

#[test]
fn missing_fields_are_nothing_and_new_ones_are_ignored() {
    let statistics =
        Statistics::parse(r#"{"msg_cnt": 3, "invented": {"later": [1]}, "topics": {"t": {}}}"#).unwrap();
    assert_eq!((statistics.msg_cnt, statistics.msg_max), (3, 0));
    assert!(statistics.topics.contains_key("t"));
    assert!(!statistics.has_broker_up());
    Statistics::parse("{\"msg_cnt\": 3, \"brokers\": {").unwrap_err();
}

#[test]
fn only_brokers_that_have_an_id_are_shown() {
    let json = r#"{"brokers": {"boot": {"name": "boot", "nodeid": -1, "state": "UP"}}}"#;
    assert_eq!(collect(&Statistics::parse(json).unwrap()), "");
    assert!(collect(&broker(1)).contains("kafka_client_broker_up{broker=\"b:9092/1\""));
}

#[test]
fn sums_and_counts_of_summaries_only_grow() {
    let mut second = broker(2);
    second.follow(&broker(5));
    let text = collect(&second);
    let name = RTT.name();
    let labels = "{broker=\"b:9092/1\",component=\"kafka-producer\"}";
    assert!(text.contains(&format!("{name}_count{labels} 7\n")), "{text}");
    assert!(text.contains(&format!("{name}_sum{labels} 6")), "{text}");
}
