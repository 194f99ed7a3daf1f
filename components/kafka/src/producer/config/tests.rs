//! Every bound from both sides, and every option's way into librdkafka.

use expect_test::{Expect, expect};
use mainspring_config::{FakeSurroundings, Problems, Source, VarsOptions};
use mainspring_core::ServiceOutline;

use super::ProducerConfig;
use crate::client::Connection;

fn try_read(keys: &str) -> Result<ProducerConfig, Problems> {
    let text = format!("security_protocol: PLAINTEXT\n{keys}\n");
    let source = Source::new("test.yaml", text);
    let root = mainspring_config::load(&source, &VarsOptions::default(), &FakeSurroundings::default());
    root.unwrap().read()
}

fn read(keys: &str) -> ProducerConfig {
    try_read(keys).unwrap_or_else(|problems| panic!("{problems}"))
}

fn problems(keys: &str) -> String {
    match try_read(keys) {
        Ok(config) => problems_of(&config),
        Err(problems) => problems.to_string(),
    }
}

fn problems_of(config: &ProducerConfig) -> String {
    let outline = ServiceOutline::new(["producer-task-processor"], ["kafka-producer"]);
    let lines = config.violations(&outline);
    lines.iter().map(|violation| format!("{}: {}\n", violation.path, violation.message)).collect()
}

#[track_caller]
fn check(keys: &str, expected: Expect) {
    expected.assert_eq(&problems(keys));
}

#[track_caller]
fn check_bounds(good: &[&str], bad: &[&str]) {
    for keys in good {
        assert_eq!(problems(keys), "", "{keys}");
    }
    for keys in bad {
        assert_ne!(problems(keys), "", "{keys}");
    }
}

#[test]
fn defaults_are_those_of_userver() {
    let config = read("");
    let rdkafka = config.client_config(&Connection::to("localhost:9092")).unwrap();
    let set = [
        "bootstrap.servers",
        "client.id",
        "delivery.timeout.ms",
        "enable.idempotence",
        "linger.ms",
        "message.max.bytes",
        "metadata.max.age.ms",
        "queue.buffering.max.kbytes",
        "queue.buffering.max.messages",
        "retries",
        "retry.backoff.max.ms",
        "retry.backoff.ms",
        "security.protocol",
        "statistics.interval.ms",
        "topic.metadata.propagation.max.ms",
        "topic.metadata.refresh.interval.ms",
    ];
    let lines = set.map(|name| format!("{name} = {}\n", rdkafka.get(name).unwrap_or_default()));
    let expected = expect![[r#"
        bootstrap.servers = localhost:9092
        client.id = mainspring
        delivery.timeout.ms = 3000
        enable.idempotence = false
        linger.ms = 10
        message.max.bytes = 1000000
        metadata.max.age.ms = 900000
        queue.buffering.max.kbytes = 1048576
        queue.buffering.max.messages = 100000
        retries = 2147483647
        retry.backoff.max.ms = 1000
        retry.backoff.ms = 100
        security.protocol = plaintext
        statistics.interval.ms = 5000
        topic.metadata.propagation.max.ms = 1500
        topic.metadata.refresh.interval.ms = 300000
    "#]];
    expected.assert_eq(&lines.concat());
}

#[test]
fn durations_have_bounds() {
    check_bounds(
        &[
            "delivery_timeout: 11ms",
            "delivery_timeout: 24d",
            "queue_buffering_max: 0s",
            "queue_buffering_max: 15m\ndelivery_timeout: 16m",
            "retry_backoff: 1ms",
            "retry_backoff_max: 5m",
            "statistics_interval: 0s",
            "statistics_interval: 24h",
            "topic_metadata_refresh_interval: 10ms",
            "metadata_max_age: 24h",
        ],
        &[
            "delivery_timeout: 0s",
            "delivery_timeout: 25d",
            "queue_buffering_max: 900001ms",
            "retry_backoff: 0s",
            "retry_backoff_max: 300001ms",
            "statistics_interval: 86400001ms",
            "topic_metadata_refresh_interval: 9ms",
            "metadata_max_age: 86400001ms",
        ],
    );
}

#[test]
fn a_timeout_that_ends_before_lingering_does_is_refused() {
    check(
        "delivery_timeout: 10ms",
        expect![[r#"
            delivery_timeout: must be longer than `queue_buffering_max` (`10ms`), found `10ms`
        "#]],
    );
    check(
        "retry_backoff: 2s",
        expect![[r#"
            retry_backoff_max: must not be shorter than `retry_backoff` (`2s`), found `1s`
        "#]],
    );
    check(
        "enable_idempotence: true\nmessage_send_max_retries: 0",
        expect![[r#"
            message_send_max_retries: must be at least 1 with `enable_idempotence`, found `0`
        "#]],
    );
}

#[test]
fn a_queue_without_room_for_the_largest_record_is_refused() {
    check("queue_buffering_max_kbytes: 977", expect![""]);
    check(
        "queue_buffering_max_kbytes: 976",
        expect![[r#"
            queue_buffering_max_kbytes: must have room for one record of `message_max_bytes` (`1000000` bytes), found `976` KiB
        "#]],
    );
}

#[test]
fn a_protocol_that_the_embedded_brokers_do_not_speak_is_refused() {
    let outline = ServiceOutline::new(["producer-task-processor"], ["kafka-producer", "kafka-embedded"]);
    assert_eq!(read("").violations(&outline), []);
    let mut config = read("");
    config.common.security_protocol = crate::SecurityProtocol::SaslPlaintext;
    config.common.sasl_mechanisms = Some(crate::SaslMechanism::Plain);
    let expected =
        "must be `PLAINTEXT` with the brokers of `kafka-embedded` in this service, found `SASL_PLAINTEXT`";
    let violation = mainspring_config::Violation::new("security_protocol", expected);
    assert_eq!(config.violations(&outline), [violation]);
}

#[test]
fn an_unknown_task_processor_is_refused() {
    check(
        "task_processor: producer-task-procesor",
        expect![[r#"
            task_processor: unknown task processor `producer-task-procesor`; did you mean `producer-task-processor`?
        "#]],
    );
}

#[test]
fn custom_options_are_tried_one_by_one() {
    check("rd_kafka_custom_options: {sticky.partitioning.linger.ms: '5', acks: '1'}", expect![""]);
    check(
        "rd_kafka_custom_options: {linger.ms: '5', linger.minutes: '1', acks: many, sasl.password: hush, \
         delivery.report.only.error: 'true', statistics.interval.ms: '1', transactional.id: t}",
        expect![[r#"
            rd_kafka_custom_options.acks: Invalid value for configuration property "request.required.acks"
            rd_kafka_custom_options.delivery.report.only.error: `delivery.report.only.error` is reserved: this library relies on it
            rd_kafka_custom_options.linger.minutes: No such configuration property: "linger.minutes"
            rd_kafka_custom_options.linger.ms: `linger.ms` is set by the key `queue_buffering_max`; use that
            rd_kafka_custom_options.sasl.password: `sasl.password` looks like a secret; secrets belong to secdist
            rd_kafka_custom_options.statistics.interval.ms: `statistics.interval.ms` is set by the key `statistics_interval`; use that
            rd_kafka_custom_options.transactional.id: `transactional.id` is for the component `kafka-transactional-producer`, as its key `transactional_id`
        "#]],
    );
}

#[test]
fn the_codec_and_its_level_reach_the_client() {
    let set = |keys: &str| {
        let rdkafka = read(keys).client_config(&Connection::to("localhost:9092")).unwrap();
        ["compression.codec", "compression.level"].map(|name| rdkafka.get(name).unwrap())
    };
    assert_eq!(set(""), ["none", "-1"]);
    assert_eq!(set("compression: gzip"), ["gzip", "-1"]);
    assert_eq!(set("compression: lz4\ncompression_level: 12"), ["lz4", "12"]);
    check(
        "compression: gzip\ncompression_level: 10",
        expect![[r#"
        compression_level: must be from `0` to `9` with `compression: gzip`, found `10`
    "#]],
    );
    check_bounds(
        &["compression: zstd\ncompression_level: 1"],
        &["compression: snappy\ncompression_level: 0", "compression: brotli"],
    );
}

#[test]
fn custom_options_win_over_common_ones() {
    let config = read("rd_kafka_custom_options: {client.id: mine, sticky.partitioning.linger.ms: '5'}");
    let rdkafka = config.client_config(&Connection::to("localhost:9092")).unwrap();
    assert_eq!(rdkafka.get("client.id").as_deref(), Some("mine"));
    assert_eq!(rdkafka.get("sticky.partitioning.linger.ms").as_deref(), Some("5"));
}

#[cfg(not(feature = "tls"))]
#[test]
fn encrypted_protocols_name_the_build_they_need() {
    let mut config = read("");
    config.common.security_protocol = crate::SecurityProtocol::SaslSsl;
    let expected = expect![[r#"
        sasl_mechanisms: required with security_protocol `SASL_SSL`
        ssl_ca_location: required with security_protocol `SASL_SSL`
        security_protocol: `SASL_SSL` needs a build with the feature `tls` of `mainspring-kafka`
    "#]];
    expected.assert_eq(&problems_of(&config));
}

#[cfg(feature = "tls")]
#[test]
fn encrypted_protocols_need_no_more_than_their_keys() {
    let mut config = read("");
    config.common.security_protocol = crate::SecurityProtocol::SaslSsl;
    let expected = expect![[r#"
        sasl_mechanisms: required with security_protocol `SASL_SSL`
        ssl_ca_location: required with security_protocol `SASL_SSL`
    "#]];
    expected.assert_eq(&problems_of(&config));
    config.common.sasl_mechanisms = Some(crate::SaslMechanism::ScramSha512);
    config.common.ssl_ca_location = Some("probe".to_owned());
    assert_eq!(problems_of(&config), "");
}

#[test]
fn a_certificate_goes_with_its_key_and_with_encryption() {
    let mut config = read("ssl_certificate_location: client.pem");
    expect![[r#"
        ssl_certificate_location: does not go with security_protocol `PLAINTEXT`, which does not encrypt
    "#]]
    .assert_eq(&problems_of(&config));
    let has = |config: &ProducerConfig, text: &str| problems_of(config).contains(text);
    config.common.security_protocol = crate::SecurityProtocol::Ssl;
    let no_key = "ssl_certificate_location: needs `ssl_key_location`, which is not given";
    assert!(has(&config, no_key), "{}", problems_of(&config));
    config.common.ssl_key_location = Some("client.key".to_owned());
    assert!(!has(&config, "ssl_certificate_location"), "{}", problems_of(&config));
    config.common.ssl_certificate_location = None;
    let no_certificate = "ssl_key_location: needs `ssl_certificate_location`, which is not given";
    assert!(has(&config, no_certificate), "{}", problems_of(&config));
}

#[test]
fn custom_options_do_not_say_how_to_connect() {
    let custom = "{security.protocol: ssl, sasl.mechanism: PLAIN, ssl.ca.location: ca.pem, bootstrap.servers: 'a:1', \
                  metadata.broker.list: 'a:1', sasl.username: ann}";
    expect![[r#"
        rd_kafka_custom_options.bootstrap.servers: `bootstrap.servers` belongs to secdist
        rd_kafka_custom_options.metadata.broker.list: `metadata.broker.list` belongs to secdist
        rd_kafka_custom_options.sasl.mechanism: `sasl.mechanism` is set by the key `sasl_mechanisms`; use that
        rd_kafka_custom_options.sasl.username: `sasl.username` belongs to secdist
        rd_kafka_custom_options.security.protocol: `security.protocol` is set by the key `security_protocol`; use that
        rd_kafka_custom_options.ssl.ca.location: `ssl.ca.location` is set by the key `ssl_ca_location`; use that
    "#]].assert_eq(&problems(&format!("rd_kafka_custom_options: {custom}")));
}

#[test]
fn custom_options_that_idempotence_does_not_allow_are_refused() {
    let idempotent =
        |custom: &str| problems(&format!("enable_idempotence: true\nrd_kafka_custom_options: {{{custom}}}"));
    expect![[r#"
        rd_kafka_custom_options.max.in.flight: must be at most 5 with `enable_idempotence: true`, found `6`
        rd_kafka_custom_options.queue.buffering.backpressure.threshold: must be 1 with `enable_idempotence: true`, found `2`
        rd_kafka_custom_options.acks: must be `all` with `enable_idempotence: true`, found `1`
        rd_kafka_custom_options.queuing.strategy: must be `fifo` with `enable_idempotence: true`, found `lifo`
    "#]].assert_eq(&idempotent(
        "max.in.flight: '6', acks: '1', queuing.strategy: lifo, queue.buffering.backpressure.threshold: '2'",
    ));
    assert_eq!(idempotent("max.in.flight: '5', acks: all, queuing.strategy: fifo"), "");
    check(
        "rd_kafka_custom_options: {enable.gapless.guarantee: 'true'}",
        expect![[r#"
        rd_kafka_custom_options.enable.gapless.guarantee: must be `false` with `enable_idempotence: false`, found `true`
    "#]],
    );
    check("rd_kafka_custom_options: {max.in.flight: '6', acks: '1', queuing.strategy: lifo}", expect![""]);
}

/// What passes the check is taken by librdkafka, and what does not is not.
#[test]
fn the_rules_about_combinations_are_librdkafkas() {
    for custom in [
        "max.in.flight: '6'",
        "max.in.flight.requests.per.connection: '6'",
        "max.in.flight: '5'",
        "acks: '1'",
        "request.required.acks: '0'",
        "acks: all",
        "acks: '-1'",
        "queuing.strategy: lifo",
        "queuing.strategy: fifo",
        "queue.buffering.backpressure.threshold: '2'",
        "queue.buffering.backpressure.threshold: '1'",
        "enable.gapless.guarantee: 'true'",
        "reconnect.backoff.max.ms: '99'",
    ] {
        for idempotence in [true, false] {
            let keys = format!(
                "statistics_interval: 0s\nenable_idempotence: {idempotence}\nrd_kafka_custom_options: {{{custom}}}"
            );
            let client = read(&keys).client_config(&Connection::to("localhost:9092")).unwrap();
            let theirs = mainspring_kafka_ffi::Producer::new(client).err();
            let ours = problems(&keys);
            assert_eq!(ours.is_empty(), theirs.is_none(), "{keys}: {ours} and {theirs:?}");
        }
    }
}
