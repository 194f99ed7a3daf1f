//! The first command of README: the service on the Kafka inside its process.

use expect_test::{Expect, expect};
use mainspring_it::{ServiceConfig, ServiceProcess};
use mainspring_testsuite::eventually;

use crate::BINARY;
use crate::stage::{consumed, request};

#[track_caller]
fn embedded() -> ServiceProcess {
    ServiceProcess::start(BINARY, &ServiceConfig::of("kafka_service_embedded.yaml"), &[])
}

/// What README's `curl` posts, and where to.
fn readme_request() -> (String, String) {
    let readme = include_str!("../../../../README.md");
    let line =
        readme.lines().find(|line| line.contains("curl") && line.contains("-d '")).expect("README shows it");
    let url =
        line.split_whitespace().find(|word| word.contains("localhost:8187")).expect("it names the service");
    let (_port, path) = url.split_once(":8187").expect("found above");
    let body = line.split('\'').nth(1).expect("the body is quoted");
    (path.to_owned(), body.to_owned())
}

#[test]
fn record_of_the_readme_is_sent_consumed_and_counted() {
    let service = embedded();
    let (path, body) = readme_request();
    // curl says that its body is a form.
    let answer =
        service.try_post_as("application/x-www-form-urlencoded", &path, &body).expect("it is answered");
    assert_eq!(answer.brief(), (200, r#"{"message":"Message send successfully"}"#));
    service.until_logged(" Message consumed topic=test-topic-1 ");
    let count =
        || service.metrics().sum("kafka_service_consumed_messages_total", &[("topic", "test-topic-1")]);
    eventually("the count", count, |count| *count == 1.0);
    assert_eq!(consumed(&service.log()).len(), 1);
    // One warning, that nothing is durable; whoever tries this first should not wonder about others.
    let warnings: Vec<_> = service.log().into_iter().filter(|line| line.contains(" WARNING ")).collect();
    assert!(warnings.len() == 1 && warnings[0].contains("nothing it stores is durable"), "{warnings:#?}");
    let ended = service.stop();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
}

#[test]
fn every_record_is_consumed_once_in_the_order_of_its_partition() {
    let service = embedded();
    for n in 0..50 {
        let topic = ["test-topic-1", "test-topic-2"][n % 2];
        assert_eq!(service.post("/produce", &request(topic, &n.to_string(), "x")).status, 200);
    }
    let mut positions = eventually("all records", || consumed(&service.log()), |found| 50 <= found.len());
    for topic in ["test-topic-1", "test-topic-2"] {
        for partition in 0..2 {
            let of_partition = positions.iter().filter(|at| at.topic == topic && at.partition == partition);
            let offsets: Vec<_> = of_partition.map(|at| at.offset).collect();
            assert!(offsets.is_sorted(), "{topic}[{partition}]: {offsets:?}");
        }
    }
    positions.sort();
    positions.dedup();
    assert_eq!(positions.len(), 50);
}

#[track_caller]
fn check_refused(bodies: &[&str], expected: Expect) {
    let service = embedded();
    let answers = bodies.iter().map(|body| {
        let answer = service.post("/produce", body);
        format!("{} {}\n", answer.status.as_u16(), answer.body)
    });
    expected.assert_eq(&answers.collect::<String>());
}

#[test]
fn wrong_body_is_answered_with_the_reason() {
    let bodies = [
        "",
        "{",
        r#"{"topic": "test-topic-1", "key": "k"}"#,
        r#"{"topic": "test-topic-1", "key": 1, "payload": "p"}"#,
    ];
    check_refused(
        &bodies,
        expect![[r#"
        400 {"code":"400","message":"Invalid JSON body: invalid type: null, expected struct ProduceRequest at line 1 column 4"}
        400 {"code":"400","message":"Invalid JSON body: EOF while parsing an object at line 1 column 1"}
        400 {"code":"400","message":"Invalid JSON body: missing field `payload` at line 1 column 37"}
        400 {"code":"400","message":"Invalid JSON body: `key`: invalid type: integer `1`, expected a string at line 1 column 34"}
    "#]],
    );
}

#[test]
fn record_that_can_never_be_sent_is_answered_with_the_reason() {
    // Larger than `message_max_bytes`, smaller than `max_request_size`.
    check_refused(
        &[&request("test-topic-1", "k", &"x".repeat(1_010_000))],
        expect![[r#"
        400 {"error":"send to `test-topic-1` failed: the record is too large"}
    "#]],
    );
}
