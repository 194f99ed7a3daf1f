//! `--check-config=connect`: what brokers answer, without a service.

use expect_test::{Expect, expect};
use mainspring_it::{Ended, ServiceConfig, ServiceProcess};
use mainspring_kafka_broker::{shared, unique_name};

use crate::BINARY;
use crate::readme::secdist;
use crate::stage::{STOP_LIMIT, Stage};

/// Asks with this value of `SECDIST_CONFIG`; names of the file and of what a run calls differently are replaced.
#[track_caller]
fn check(
    config: &ServiceConfig,
    secdist: Option<&str>,
    code: i32,
    replaced: &[(&str, &str)],
    expected: Expect,
) {
    let file = config.write();
    let env: Vec<_> = secdist.iter().map(|secdist| ("SECDIST_CONFIG", *secdist)).collect();
    let ended = ServiceProcess::run_in(BINARY, &["--check-config=connect", "-c", file.path()], &env);
    let Ended { log, stdout, took, .. } = &ended;
    // The lines of the file that are shown below a problem are no concern here.
    let lines: Vec<_> = log.iter().filter(|line| !line.starts_with(' ')).map(String::as_str).collect();
    let mut said = format!("{}\n{stdout}", lines.join("\n")).trim().replace(file.path(), "CONFIG");
    for (old, new) in replaced {
        said = said.replace(old, new);
    }
    expected.assert_eq(&said);
    assert_eq!(ended.code, Some(code));
    assert!(*took < STOP_LIMIT, "{took:?}");
}

#[test]
fn brokers_that_answer_and_have_the_topics_are_right() {
    let stage = Stage::on(shared());
    let secdist = secdist(stage.client.bootstrap_servers());
    let right = expect!["CONFIG: the configuration is right, and all connections work"];
    check(&stage.config(), Some(&secdist), 0, &[], right);
    assert_eq!(stage.committed(), Default::default(), "nobody has joined the group");
}

#[test]
fn topic_that_is_not_there_is_a_problem_at_its_place() {
    let stage = Stage::on(shared());
    let brokers = stage.client.bootstrap_servers();
    let missing = unique_name("no-such-topic");
    let config = stage.config().with(&stage.topics[0], &missing);
    let names = [(&*missing, "MISSING"), (brokers, "BROKERS")];
    check(
        &config,
        Some(&secdist(brokers)),
        3,
        &names,
        expect![[r#"
            CONFIG:32:22: kafka-consumer.topics[0]: the brokers at `BROKERS` have no topic `MISSING`
            error: the configuration has 1 problem; nothing was started"#]],
    );
    assert!(shared().create_topic(&missing, 1).is_ok(), "asking has not created it");
}

#[test]
fn brokers_that_do_not_answer_are_a_problem_of_each_section() {
    let config = ServiceConfig::of("kafka_service.yaml");
    // Nothing listens on port 1.
    check(
        &config,
        Some(&secdist("127.0.0.1:1")),
        3,
        &[],
        expect![[r#"
            CONFIG:26:13: kafka-producer: no broker at `127.0.0.1:1` answers within 5 s: 127.0.0.1:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused
            CONFIG:31:13: kafka-consumer: no broker at `127.0.0.1:1` answers within 5 s: 127.0.0.1:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused
            error: the configuration has 2 problems; nothing was started"#]],
    );
}

#[test]
fn credentials_that_are_missing_are_a_problem_of_each_section() {
    check(
        &ServiceConfig::of("kafka_service.yaml"),
        None,
        3,
        &[],
        expect![[r#"
        CONFIG:25:9: kafka-producer: no secret `kafka_settings` in `default-secdist-provider`, which found neither a file nor an environment variable
        CONFIG:30:9: kafka-consumer: no secret `kafka_settings` in `default-secdist-provider`, which found neither a file nor an environment variable
        error: the configuration has 2 problems; nothing was started"#]],
    );
}

#[test]
fn brokers_inside_the_process_answer() {
    let right = expect!["CONFIG: the configuration is right, and all connections work"];
    check(&ServiceConfig::of("kafka_service_embedded.yaml"), None, 0, &[], right);
}
