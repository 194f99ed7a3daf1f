//! The first command of README: the service on the Kafka inside its process.

use expect_test::{Expect, expect};
use mainspring_it::{ServiceConfig, ServiceProcess};
use mainspring_testsuite::eventually;

use crate::BINARY;
use crate::readme::{blocks, output_of, without_times};
use crate::stage::{consumed, request};

#[track_caller]
fn embedded() -> ServiceProcess {
    ServiceProcess::start(BINARY, &ServiceConfig::of("kafka_service_embedded.yaml"), &[])
}

/// What README's `curl` posts, and where to.
#[track_caller]
fn readme_request(blocks: &[(&'static str, &'static str)]) -> (&'static str, &'static str) {
    let posts = |(_, block): &&(_, &'static str)| block.contains("curl") && block.contains(" -d '");
    let (_, command) = blocks.iter().find(posts).expect("README posts something");
    let (_, after) = command.split_once("localhost:8187").expect("it names the service");
    let path = after.split(' ').next().expect("a split has a first part");
    (path, after.split('\'').nth(1).expect("the body is quoted"))
}

#[test]
fn first_message_prints_what_the_readme_shows() {
    let blocks = blocks("First message");
    let service = embedded();
    let log = || -> Vec<String> {
        let address = |line: &str, port: u16, shown: &str| line.replace(&format!("[::]:{port}"), shown);
        let lines = service.log().into_iter().map(|line| without_times(&line));
        let lines = lines.map(|line| address(&line, service.main_addr().port(), "[::]:8187"));
        lines.map(|line| address(&line, service.monitor_addr().port(), "[::]:8086")).collect()
    };
    let started =
        output_of(&blocks, "--config configs/kafka_service_embedded.yaml").lines().map(without_times);
    for line in started {
        assert!(log().contains(&line), "the log has no line `{line}`: {:#?}", log());
    }

    let (path, body) = readme_request(&blocks);
    // curl says that its body is a form.
    let answer =
        service.try_post_as("application/x-www-form-urlencoded", path, body).expect("it is answered");
    assert_eq!(answer.brief(), (200, output_of(&blocks, path)));

    let shown = blocks.iter().find(|(_, block)| block.contains(" Message consumed "));
    let consumed_line = without_times(shown.expect("README shows it").1.trim_end());
    eventually("the line that README shows", log, |log| log.contains(&consumed_line));
    let needle = "kafka_service_consumed";
    let counted = output_of(&blocks, &format!("localhost:8086/metrics | grep {needle}"));
    let grep = || -> Vec<String> {
        let metrics = service.monitor("/metrics").body;
        metrics.lines().filter(|line| line.contains(needle)).map(str::to_owned).collect()
    };
    eventually("the count that README shows", grep, |lines| {
        lines.iter().eq(&counted.lines().collect::<Vec<_>>())
    });
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
