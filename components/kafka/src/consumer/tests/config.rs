//! Which configurations are refused, and with what words.

use expect_test::{Expect, expect};
use mainspring_config::{FakeSurroundings, Source, parse};
use mainspring_core::{Component, ServiceOutline};

use crate::KafkaConsumerComponent;
use crate::client::Connection;
use crate::consumer::config::{ConsumerConfig, KeyLogFormat, Settings};

const REQUIRED: &str = "group_id: g\ntopics: [t]\nsecurity_protocol: PLAINTEXT\n";

fn config(text: &str) -> Result<ConsumerConfig, String> {
    let section = parse(&Source::new("test.yaml", text)).map_err(|problems| problems.to_string())?;
    section.read().map_err(|problems| problems.to_string())
}

/// All complaints about a configuration that has what is required and these lines.
#[track_caller]
fn check(lines: &str, expected: Expect) {
    let names = lines.lines().filter_map(|line| line.split(':').next()).collect::<Vec<_>>();
    let required = REQUIRED.lines().filter(|line| !names.iter().any(|name| line.starts_with(name)));
    let text = required.chain(lines.lines()).collect::<Vec<_>>().join("\n");
    let service = ServiceOutline::new(["main-task-processor", "consumer-task-processor"], ["kafka-consumer"]);
    let complaints = match config(&text) {
        Err(problems) => problems,
        Ok(config) => {
            let violations = KafkaConsumerComponent::validate(&config, &service);
            let lines =
                violations.into_iter().map(|violation| format!("{}: {}", violation.path, violation.message));
            lines.collect::<Vec<_>>().join("\n")
        }
    };
    expected.assert_eq(&complaints);
}

fn settings(lines: &str, world: &FakeSurroundings) -> Result<Settings, String> {
    let config = config(&format!("{REQUIRED}{lines}"))?;
    let connection = Connection::to("localhost:9092");
    config.into_settings("kafka-consumer", &connection, world).map_err(|error| error.to_string())
}

#[track_caller]
fn check_property(lines: &str, property: &str, expected: &str) {
    let settings = settings(lines, &FakeSurroundings::default().with_env("POD", "pod-7")).unwrap();
    assert_eq!(settings.client.get(property).as_deref(), Some(expected), "{property}");
}

#[test]
fn what_is_required_is_enough() {
    check("", expect![""]);
}

#[test]
fn memory_and_concurrency_have_bounds() {
    check("fetch_memory_max: 8MiB", expect![""]);
    check("fetch_memory_max: 4GiB", expect![""]);
    check(
        "fetch_memory_max: 8388607B",
        expect!["test.yaml:4:19: fetch_memory_max: expected a size from `8MiB` to `4GiB`, found `8388607B`"],
    );
    check("max_batch_bytes: 32MiB", expect![""]);
    check(
        "max_batch_bytes: 33554433B",
        expect![
            "max_batch_bytes: must not be more than half of `fetch_memory_max`, which is `32MiB`, found `33554433`"
        ],
    );
    check("concurrency: {mode: key}", expect![""]);
    check("concurrency: {mode: partition, max: 10000, max_pending_per_partition: 10000000}", expect![""]);
    check(
        "concurrency: {mode: unordered, max: 10001, max_pending_per_partition: 0}",
        expect![[r#"
        test.yaml:4:37: concurrency.max: expected an integer from 1 to 10000, found `10001`
        test.yaml:4:71: concurrency.max_pending_per_partition: expected an integer from 1 to 10000000, found `0`"#]],
    );
    check_property("fetch_memory_max: 64MiB", "queued.max.messages.kbytes", "8192");
}

#[test]
fn bounds_hold_on_both_sides() {
    check(
        "max_batch_size: 0",
        expect!["test.yaml:4:17: max_batch_size: expected an integer from 1 to 1000000, found `0`"],
    );
    check("max_batch_size: 1", expect![""]);
    check("max_batch_size: 1000000", expect![""]);
    check(
        "max_batch_size: 1000001",
        expect!["test.yaml:4:17: max_batch_size: expected an integer from 1 to 1000000, found `1000001`"],
    );
    check("poll_timeout: 0s", expect![""]);
    check("poll_timeout: 1h", expect![""]);
    check(
        "poll_timeout: 3601s",
        expect!["test.yaml:4:15: poll_timeout: expected a duration of at most `1h`, found `3601s`"],
    );
    check(
        "max_callback_duration: 0s",
        expect!["test.yaml:4:24: max_callback_duration: expected a duration from `1ms` to `24h`, found `0s`"],
    );
    check("max_callback_duration: 1ms\nrd_kafka_custom_options: {group.protocol: consumer}", expect![""]);
    check("max_callback_duration: 24h", expect![""]);
    check("commit_interval: 1ms", expect![""]);
    check("commit_interval: 1h", expect![""]);
    check(
        "commit_interval: 0s",
        expect!["test.yaml:4:18: commit_interval: expected a duration from `1ms` to `1h`, found `0s`"],
    );
    check(
        "commit_interval: 3601s",
        expect!["test.yaml:4:18: commit_interval: expected a duration from `1ms` to `1h`, found `3601s`"],
    );
    check(
        "partition_assignment_strategy: []",
        expect!["test.yaml:4:32: partition_assignment_strategy: expected at least 1 item, found 0"],
    );
    check(
        "partition_assignment_strategy: [range, range]",
        expect!["test.yaml:4:40: partition_assignment_strategy[1]: the same item is given twice"],
    );
    check(
        "group_protocol: consumer\ngroup_remote_assignor: ''",
        expect![
            "test.yaml:5:24: group_remote_assignor: expected a string that is not empty, found an empty string"
        ],
    );
    check(
        "max_callback_duration: 86400001ms",
        expect![
            "test.yaml:4:24: max_callback_duration: expected a duration from `1ms` to `24h`, found `86400001ms`"
        ],
    );
    check("restart_after_failure_delay: 24h", expect![""]);
    check(
        "restart_after_failure_delay: 25h",
        expect![
            "test.yaml:4:30: restart_after_failure_delay: expected a duration of at most `24h`, found `25h`"
        ],
    );
}

#[test]
fn groups_and_topics_have_names() {
    check(
        "group_id: ''",
        expect!["test.yaml:3:11: group_id: expected a string that is not empty, found an empty string"],
    );
    check(
        "group_instance_id: ''",
        expect![
            "test.yaml:4:20: group_instance_id: expected a string that is not empty, found an empty string"
        ],
    );
    check("topics: []", expect!["test.yaml:3:9: topics: expected at least 1 item, found 0"]);
    check(
        "topics: [a, '', a]",
        expect!["test.yaml:3:13: topics[1]: expected a string that is not empty, found an empty string"],
    );
}

#[test]
fn task_processors_must_exist() {
    check(
        "task_processor: nope",
        expect![[
            r#"task_processor: unknown task processor `nope`; declared: `consumer-task-processor`, `main-task-processor`"#
        ]],
    );
    check(
        "callback_task_processor: main-task-procesor",
        expect![
            "callback_task_processor: unknown task processor `main-task-procesor`; did you mean `main-task-processor`?"
        ],
    );
}

#[test]
fn properties_that_the_consumer_relies_on_cannot_be_overridden() {
    check(
        "rd_kafka_custom_options: {enable.auto.commit: 'true'}",
        expect![[
            r#"rd_kafka_custom_options.enable.auto.commit: `enable.auto.commit` is always `false` here: offsets are committed by the callback"#
        ]],
    );
    check(
        "rd_kafka_custom_options: {group.id: other}",
        expect![[r#"rd_kafka_custom_options.group.id: `group.id` is set by the key `group_id`; use that"#]],
    );
}

#[test]
fn secrets_are_refused_as_custom_options() {
    for name in [
        "ssl.key.password",
        "ssl.keystore.password",
        "ssl.key.pem",
        "sasl.password",
        "sasl.oauthbearer.config",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.assertion.private.key.pem",
        "sasl.oauthbearer.assertion.private.key.passphrase",
    ] {
        let config = config(&format!("{REQUIRED}rd_kafka_custom_options: {{{name}: hunter2}}")).unwrap();
        let service =
            ServiceOutline::new(["main-task-processor", "consumer-task-processor"], ["kafka-consumer"]);
        let violations = KafkaConsumerComponent::validate(&config, &service);
        let messages: Vec<_> = violations.into_iter().map(|violation| violation.message).collect();
        assert_eq!(messages, [format!("`{name}` looks like a secret; secrets belong to secdist")]);
    }
}

#[test]
fn choices_are_spelled_as_in_userver() {
    check(
        "auto_offset_reset: never",
        expect![
            "test.yaml:4:20: auto_offset_reset: expected one of `smallest`, `earliest`, `beginning`, `largest`, `latest`, `end`, `error`; found `never`"
        ],
    );
    check("message_key_log_format: hex", expect![""]);
}

#[test]
fn keys_set_their_properties() {
    check_property("", "group.id", "g");
    check_property("", "enable.auto.commit", "false");
    check_property("", "enable.auto.offset.store", "false");
    check_property("", "auto.offset.reset", "smallest");
    check_property("auto_offset_reset: latest", "auto.offset.reset", "largest");
    check_property("group_instance_id: a", "group.instance.id", "a");
}

#[test]
fn a_callback_of_a_classic_group_may_take_as_long_as_its_session() {
    check("max_callback_duration: 45s", expect![""]);
    check(
        "max_callback_duration: 44999ms",
        expect![
            "max_callback_duration: must not be shorter than the session timeout (`session.timeout.ms`, `45s`), found `44999ms`"
        ],
    );
    check("max_callback_duration: 6s\nrd_kafka_custom_options: {session.timeout.ms: '6000'}", expect![""]);
    check(
        "max_callback_duration: 6s\nrd_kafka_custom_options: {session.timeout.ms: '6001'}",
        expect![
            "max_callback_duration: must not be shorter than the session timeout (`session.timeout.ms`, `6001ms`), found `6s`"
        ],
    );
    check(
        "rd_kafka_custom_options: {session.timeout.ms: '300001'}",
        expect![
            "max_callback_duration: must not be shorter than the session timeout (`session.timeout.ms`, `300001ms`), found `5m`"
        ],
    );
    check_property("max_callback_duration: 5m", "max.poll.interval.ms", "300000");
    let consumer = "max_callback_duration: 1s\nrd_kafka_custom_options: {group.protocol: consumer}";
    check(consumer, expect![""]);
    check_property(consumer, "max.poll.interval.ms", "45000");
    let config = config(&format!("{REQUIRED}max_callback_duration: 1s")).unwrap();
    let embedded = ServiceOutline::new(
        ["main-task-processor", "consumer-task-processor"],
        ["kafka-consumer", "kafka-embedded"],
    );
    assert_eq!(KafkaConsumerComponent::validate(&config, &embedded), [], "embedded brokers decide");
}

#[test]
fn custom_options_that_librdkafka_refuses_together_are_refused() {
    check(
        "rd_kafka_custom_options: {group.protocol: consumer, session.timeout.ms: '6000', heartbeat.interval.ms: '100', \
         partition.assignment.strategy: cooperative-sticky}",
        expect![[r#"
            rd_kafka_custom_options.session.timeout.ms: `session.timeout.ms` is not possible with `group.protocol: consumer`: brokers decide it
            rd_kafka_custom_options.heartbeat.interval.ms: `heartbeat.interval.ms` is not possible with `group.protocol: consumer`: brokers decide it
            rd_kafka_custom_options.partition.assignment.strategy: `partition.assignment.strategy` is not possible with `group.protocol: consumer`: brokers decide it"#]],
    );
    check(
        "rd_kafka_custom_options: {fetch.max.bytes: '1000', message.max.bytes: '2000'}",
        expect![
            "rd_kafka_custom_options.fetch.max.bytes: must not be less than `message.max.bytes` (`2000`), found `1000`"
        ],
    );
    check("rd_kafka_custom_options: {fetch.max.bytes: '2000', message.max.bytes: '2000'}", expect![""]);
    check(
        "rd_kafka_custom_options: {fetch.max.bytes: '1000000', receive.message.max.bytes: '1000511'}",
        expect![
            "rd_kafka_custom_options.receive.message.max.bytes: must be at least `1000512`, 512 more than `fetch.max.bytes`, found `1000511`"
        ],
    );
    check(
        "rd_kafka_custom_options: {fetch.max.bytes: '1000000', receive.message.max.bytes: '1000512'}",
        expect![""],
    );
    check(
        "rd_kafka_custom_options: {receive.message.max.bytes: '1000'}",
        expect![
            "rd_kafka_custom_options.receive.message.max.bytes: must be at least `8389120`, 512 more than `fetch.max.bytes`, found `1000`"
        ],
    );
    check(
        "rd_kafka_custom_options: {reconnect.backoff.max.ms: '99'}",
        expect![
            "rd_kafka_custom_options.reconnect.backoff.max.ms: `reconnect.backoff.max.ms` (`99`) must not be less than `reconnect.backoff.ms` (`100`)"
        ],
    );
    check(
        "rd_kafka_custom_options: {reconnect.backoff.ms: '10001'}",
        expect![
            "rd_kafka_custom_options.reconnect.backoff.ms: `reconnect.backoff.max.ms` (`10000`) must not be less than `reconnect.backoff.ms` (`10001`)"
        ],
    );
    check("rd_kafka_custom_options: {reconnect.backoff.ms: '10000'}", expect![""]);
}

/// What passes the check is taken by librdkafka, and what does not is not.
#[test]
fn the_rules_about_combinations_are_librdkafkas() {
    for custom in [
        "group.protocol: consumer, session.timeout.ms: '6000'",
        "group.protocol: consumer, heartbeat.interval.ms: '100'",
        "group.protocol: consumer, partition.assignment.strategy: range",
        "group.protocol: consumer, group.protocol.type: x",
        "fetch.max.bytes: '1000000', message.max.bytes: '2000000'",
        "fetch.max.bytes: '2000000', message.max.bytes: '2000000'",
        "fetch.max.bytes: '1000000', receive.message.max.bytes: '1000511'",
        "fetch.max.bytes: '1000000', receive.message.max.bytes: '1000512'",
        "receive.message.max.bytes: '50000000'",
        "receive.message.max.bytes: '60000000'",
        "receive.message.max.bytes: '8389119'",
        "receive.message.max.bytes: '8389120'",
        "reconnect.backoff.max.ms: '99'",
        "reconnect.backoff.max.ms: '100'",
        "reconnect.backoff.ms: '10001'",
    ] {
        let lines = format!("statistics_interval: 0s\nrd_kafka_custom_options: {{{custom}}}");
        let config = config(&format!("{REQUIRED}{lines}")).unwrap();
        let service =
            ServiceOutline::new(["main-task-processor", "consumer-task-processor"], ["kafka-consumer"]);
        let ours = KafkaConsumerComponent::validate(&config, &service);
        let client = settings(&lines, &FakeSurroundings::default()).unwrap().client;
        let theirs = mainspring_kafka_ffi::Consumer::new(client).err();
        assert_eq!(ours.is_empty(), theirs.is_none(), "{custom}: {ours:?} and {theirs:?}");
    }
}

#[test]
fn the_pod_name_is_replaced_once() {
    check_property("env_pod_name: POD", "group.id", "g");
    check_property("group_instance_id: 'm-{pod_name}'", "group.instance.id", "m-{pod_name}");
    check_property(
        "env_pod_name: POD\ngroup_instance_id: '{pod_name}-{pod_name}'",
        "group.instance.id",
        "pod-7-{pod_name}",
    );
    let missing =
        settings("env_pod_name: POD\ngroup_instance_id: '{pod_name}'", &FakeSurroundings::default());
    let missing = missing.unwrap_err();
    expect!["environment variable `POD`, named by `env_pod_name`, is not set"].assert_eq(&missing);
}

#[test]
fn keys_are_shown_as_configured() {
    assert_eq!(KeyLogFormat::Plaintext.show(Some(b"key")), "key");
    assert_eq!(KeyLogFormat::Hex.show(Some(b"\x00\xff")), "00ff");
    assert_eq!(KeyLogFormat::Hex.show(None), "");
}

#[test]
fn each_group_protocol_refuses_the_options_that_it_has_not() {
    check("group_protocol: classic\npartition_assignment_strategy: [range, roundrobin]", expect![""]);
    check("partition_assignment_strategy: [cooperative-sticky]", expect![""]);
    check(
        "partition_assignment_strategy: [cooperative-sticky, range]",
        expect![
            "partition_assignment_strategy: `cooperative-sticky` stands alone: the others take partitions back in another way"
        ],
    );
    check("group_protocol: consumer\ngroup_remote_assignor: uniform", expect![""]);
    check(
        "group_remote_assignor: uniform",
        expect!["group_remote_assignor: needs `group_protocol: consumer`: members of a classic group choose"],
    );
    check(
        "group_protocol: classic\ngroup_remote_assignor: uniform",
        expect!["group_remote_assignor: needs `group_protocol: consumer`: members of a classic group choose"],
    );
    check(
        "group_protocol: consumer\npartition_assignment_strategy: [range]",
        expect![
            "partition_assignment_strategy: not possible with `group_protocol: consumer`: brokers decide it; see `group_remote_assignor`"
        ],
    );
    check(
        "group_protocol: consumer\nrd_kafka_custom_options: {session.timeout.ms: '6000', heartbeat.interval.ms: '100', group.protocol.type: consumer, partition.assignment.strategy: range}",
        expect![[r#"
            rd_kafka_custom_options.session.timeout.ms: `session.timeout.ms` is not possible with `group.protocol: consumer`: brokers decide it
            rd_kafka_custom_options.heartbeat.interval.ms: `heartbeat.interval.ms` is not possible with `group.protocol: consumer`: brokers decide it
            rd_kafka_custom_options.partition.assignment.strategy: `partition.assignment.strategy` is not possible with `group.protocol: consumer`: brokers decide it
            rd_kafka_custom_options.group.protocol.type: `group.protocol.type` is not possible with `group.protocol: consumer`: brokers decide it"#]],
    );
    check(
        "group_protocol: consumer\nrd_kafka_custom_options: {group.protocol: classic}",
        expect![
            "rd_kafka_custom_options.group.protocol: `group.protocol` is set by the key `group_protocol`; use that"
        ],
    );
    check("group_protocol: consumer\nmax_callback_duration: 1s", expect![""]);
    check(
        "group_protocol: classic\nmax_callback_duration: 1s",
        expect![
            "max_callback_duration: must not be shorter than the session timeout (`session.timeout.ms`, `45s`), found `1s`"
        ],
    );
}

#[test]
fn group_protocols_reach_librdkafka() {
    check_property("group_protocol: consumer\ngroup_remote_assignor: range", "group.protocol", "consumer");
    check_property(
        "group_protocol: consumer\ngroup_remote_assignor: range",
        "group.remote.assignor",
        "range",
    );
    check_property("group_protocol: classic", "group.protocol", "classic");
    let property = "partition.assignment.strategy";
    check_property("partition_assignment_strategy: [roundrobin, range]", property, "roundrobin,range");
    check_property("partition_assignment_strategy: [cooperative-sticky]", property, "cooperative-sticky");
}

#[test]
fn fetching_goes_on_soon_after_the_queue_was_full_unless_told_otherwise() {
    check_property("", "fetch.queue.backoff.ms", "10");
    check_property(
        "rd_kafka_custom_options: {fetch.queue.backoff.ms: '1000'}",
        "fetch.queue.backoff.ms",
        "1000",
    );
}

#[test]
fn every_option_is_logged_with_its_origin_and_no_secret_is() {
    let text = format!(
        "{REQUIRED}rd_kafka_custom_options: {{fetch.wait.max.ms: '10', client.rack: b}}\ngroup_protocol: classic"
    );
    let connection =
        Connection::to("localhost:9092").with_credentials(r#"{"username": "ann", "password": "hush"}"#);
    let settings = config(&text).unwrap();
    let settings = settings.into_settings("kafka-consumer", &connection, &FakeSurroundings::default());
    let options = settings.unwrap().options.replace(", ", "\n");
    expect![[r#"
        auto.offset.reset=smallest (auto_offset_reset)
        bootstrap.servers=localhost:9092 (the brokers' address)
        client.id=mainspring (client_id)
        client.rack=b (rd_kafka_custom_options)
        enable.auto.commit=false (always so)
        enable.auto.offset.store=false (always so)
        enable.partition.eof=false (always so)
        fetch.queue.backoff.ms=10 (default of mainspring)
        fetch.wait.max.ms=10 (rd_kafka_custom_options)
        group.id=g (group_id)
        group.protocol=classic (group_protocol)
        max.poll.interval.ms=300000 (max_callback_duration)
        metadata.max.age.ms=900000 (metadata_max_age)
        queued.max.messages.kbytes=8192 (fetch_memory_max)
        security.protocol=PLAINTEXT (security_protocol)
        statistics.interval.ms=5000 (statistics_interval)
        topic.metadata.refresh.interval.ms=300000 (topic_metadata_refresh_interval)
        sasl.username=*** (secdist)
        sasl.password=*** (secdist)"#]]
    .assert_eq(&options);
}
