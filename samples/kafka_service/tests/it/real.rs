//! A record's way through a real Kafka, and what the service says about it.

use mainspring_it::{Metrics, ServiceConfig};
use mainspring_kafka_broker::{shared, unique_name};
use mainspring_testsuite::{DEADLINE, eventually};

use crate::stage::{STOP_LIMIT, Stage, consumed, request, start_at};

#[test]
fn record_is_stored_consumed_committed_and_counted() {
    let stage = Stage::on(shared());
    let service = stage.start();
    let topic = &stage.topics[0];
    let answer = service.post("/produce", &request(topic, "key", "payload"));
    assert_eq!(answer.brief(), (200, r#"{"message":"Message send successfully"}"#));

    let stored = stage.stored();
    assert_eq!(stored.values().collect::<Vec<_>>(), ["payload"]);
    let position = stored.keys().next().expect("it is stored").clone();
    let found = eventually("the record", || consumed(&service.log()), |found| !found.is_empty());
    assert_eq!(found, std::slice::from_ref(&position));
    let expected = ((topic.clone(), position.partition), 1);
    eventually(
        "the commit",
        || stage.committed(),
        |committed| committed.clone().into_iter().eq([expected.clone()]),
    );

    // The batch is counted when its callback has returned, which its commit does not wait for.
    let processed = || service.metrics().sum("kafka_consumer_processed_messages_total", &[("topic", topic)]);
    eventually("the batch to be counted", processed, |n| *n == 1.0);
    check_metrics(&service.metrics(), topic, &stage.group);
    let openmetrics = service.monitor_as("/metrics", "application/openmetrics-text; version=1.0.0");
    assert_eq!(
        openmetrics.header("content-type"),
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert!(openmetrics.body.ends_with("# EOF\n"));
    check_metrics(&Metrics::parse(&openmetrics.body), topic, &stage.group);
    check_userver_view(&service.monitor("/service/monitor?format=json&prefix=kafka_").body, topic);
}

#[track_caller]
fn check_metrics(metrics: &Metrics, topic: &str, group: &str) {
    let count = |name: &str, labels: &[(&str, &str)]| {
        assert!(metrics.has(name, labels), "there is no {name} {labels:?}");
        metrics.sum(name, labels)
    };
    let destination = ("messaging_destination_name", topic);
    let consumer = [("component", "kafka-consumer"), destination, ("messaging_consumer_group_name", group)];
    assert_eq!(
        count("messaging_client_sent_messages_total", &[("component", "kafka-producer"), destination]),
        1.0
    );
    assert_eq!(count("messaging_client_operation_duration_seconds_count", &[destination]), 1.0);
    assert_eq!(count("messaging_client_consumed_messages_total", &consumer), 1.0);
    assert_eq!(count("messaging_process_duration_seconds_count", &consumer), 1.0);
    assert_eq!(
        count("kafka_consumer_processed_messages_total", &[("topic", topic), ("result", "success")]),
        1.0
    );
    assert_eq!(count("kafka_service_consumed_messages_total", &[("topic", topic)]), 1.0);
    assert_eq!(count("kafka_consumer_assigned_partitions", &[("group", group)]), 4.0);
    assert_eq!(count("http_server_request_duration_seconds_count", &[("http_route", "/produce")]), 1.0);
}

/// The figures that userver's own functional tests look at.
#[track_caller]
fn check_userver_view(json: &str, topic: &str) {
    let view: serde_json::Value = serde_json::from_str(json).expect("it is JSON");
    for (name, component) in [("kafka_producer", "kafka-producer"), ("kafka_consumer", "kafka-consumer")] {
        for (metric, expected) in [("messages_total", 1), ("messages_success", 1), ("messages_error", 0)] {
            let path = format!("{name}.{metric}");
            let series = view[&path].as_array().unwrap_or_else(|| panic!("no `{path}` in {view:#}"));
            let labels = serde_json::json!({"component_name": component, "topic": topic});
            let found = series.iter().find(|series| series["labels"] == labels);
            let found = found.unwrap_or_else(|| panic!("`{path}` has no {labels} in {view:#}"));
            assert_eq!(found["value"], expected, "{path}");
        }
    }
}

#[test]
fn record_that_may_get_through_later_is_answered_with_429() {
    // Nothing listens there.
    let config =
        ServiceConfig::of("kafka_service.yaml").with("delivery_timeout: 10s", "delivery_timeout: 500ms");
    let service = start_at("127.0.0.1:1", &config);
    let answer = service.post("/produce", &request("test-topic-1", "k", "p"));
    assert_eq!(answer.brief(), (429, r#"{"error":"Retry later"}"#));
    service.until_logged("status=429");
    let ended = service.stop();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(ended.took < STOP_LIMIT, "it took {:?}", ended.took);
}

#[test]
fn record_for_a_topic_that_does_not_exist_yet_gets_through_once_it_does() {
    let stage = Stage::on(shared());
    let service = stage.start_with(&stage.config().with("delivery_timeout: 10s", "delivery_timeout: 3s"));
    let topic = unique_name("late");
    let body = request(&topic, "k", "p");
    let refused = format!(r#"{{"error":"send to `{topic}` failed: the topic is unknown"}}"#);
    assert_eq!(service.post("/produce", &body).brief(), (400, refused.as_str()));
    shared().create_topic(&topic, 1).expect("the topic is new");
    eventually(
        "the record to get through",
        || service.post("/produce", &body).status,
        |status| *status == 200,
    );
    assert_eq!(shared().read_all(&topic, 1, DEADLINE).expect("it was acknowledged").len(), 1);
}
