//! What holds without any broker: thread safety of the handles, codes, configuration.

use std::collections::HashSet;

use crate::{
    ClientConfig, ConfigErrorKind, Consumer, Delivery, Destroyed, KafkaCode, Message, MockCluster, Producer,
    Topic, builtin_features, version,
};

#[test]
fn handles_may_be_sent_and_shared() {
    fn check<T: Send + Sync>() {}
    check::<Producer>();
    check::<Topic>();
    check::<Delivery>();
    check::<Consumer>();
    check::<Message>();
    check::<crate::Headers<'_>>();
    check::<ClientConfig>();
    check::<MockCluster>();
    check::<Destroyed>();
}

#[track_caller]
fn check_name(code: i32, name: &str) {
    assert_eq!(KafkaCode::from_raw(code).name(), name);
}

#[test]
fn codes_are_named_without_the_prefix() {
    check_name(0, "NO_ERROR");
    check_name(3, "UNKNOWN_TOPIC_OR_PARTITION");
    check_name(-192, "_MSG_TIMED_OUT");
}

#[test]
fn codes_without_a_name_stay_what_they_are() {
    // A hole inside the library's table, one past its end, and the ends of the type.
    for code in [104, 131, 12_345, i32::MAX, i32::MIN] {
        let code = KafkaCode::from_raw(code);
        assert_eq!(code.name(), format!("ERR_{}?", code.as_raw()));
        assert_eq!(code.ok(), Err(code));
        assert!(!code.description().is_empty());
    }
}

#[test]
fn constants_have_the_numbers_of_the_header() {
    let named = [
        (KafkaCode::NO_ERROR, "NO_ERROR"),
        (KafkaCode::DESTROY, "_DESTROY"),
        (KafkaCode::TRANSPORT, "_TRANSPORT"),
        (KafkaCode::MSG_TIMED_OUT, "_MSG_TIMED_OUT"),
        (KafkaCode::PARTITION_EOF, "_PARTITION_EOF"),
        (KafkaCode::UNKNOWN_PARTITION, "_UNKNOWN_PARTITION"),
        (KafkaCode::UNKNOWN_TOPIC, "_UNKNOWN_TOPIC"),
        (KafkaCode::ALL_BROKERS_DOWN, "_ALL_BROKERS_DOWN"),
        (KafkaCode::INVALID_ARG, "_INVALID_ARG"),
        (KafkaCode::TIMED_OUT, "_TIMED_OUT"),
        (KafkaCode::QUEUE_FULL, "_QUEUE_FULL"),
        (KafkaCode::IN_PROGRESS, "_IN_PROGRESS"),
        (KafkaCode::ASSIGN_PARTITIONS, "_ASSIGN_PARTITIONS"),
        (KafkaCode::REVOKE_PARTITIONS, "_REVOKE_PARTITIONS"),
        (KafkaCode::STATE, "_STATE"),
        (KafkaCode::NO_OFFSET, "_NO_OFFSET"),
        (KafkaCode::PURGE_QUEUE, "_PURGE_QUEUE"),
        (KafkaCode::PURGE_INFLIGHT, "_PURGE_INFLIGHT"),
        (KafkaCode::FATAL, "_FATAL"),
        (KafkaCode::MAX_POLL_EXCEEDED, "_MAX_POLL_EXCEEDED"),
        (KafkaCode::UNKNOWN_TOPIC_OR_PART, "UNKNOWN_TOPIC_OR_PARTITION"),
        (KafkaCode::MSG_SIZE_TOO_LARGE, "MESSAGE_TOO_LARGE"),
        (KafkaCode::ILLEGAL_GENERATION, "ILLEGAL_GENERATION"),
        (KafkaCode::UNKNOWN_MEMBER_ID, "UNKNOWN_MEMBER_ID"),
        (KafkaCode::REBALANCE_IN_PROGRESS, "REBALANCE_IN_PROGRESS"),
        (KafkaCode::TOPIC_AUTHORIZATION_FAILED, "TOPIC_AUTHORIZATION_FAILED"),
    ];
    for (code, name) in named {
        check_name(code.as_raw(), name);
    }
}

#[test]
fn properties_are_checked_one_by_one() {
    let mut config = ClientConfig::new();
    let unknown = config.set("linger.minutes", "1").unwrap_err();
    assert_eq!(unknown.kind, ConfigErrorKind::UnknownProperty);
    assert!(unknown.text.contains("linger.minutes"), "{}", unknown.text);

    let invalid = config.set("batch.size", "large").unwrap_err();
    assert_eq!(invalid.kind, ConfigErrorKind::InvalidValue);
    assert!(invalid.text.contains("batch.size"), "{}", invalid.text);

    config.set("linger.ms", "7").unwrap();
    assert_eq!(config.get("linger.ms").as_deref(), Some("7"));
    assert_eq!(config.get("linger.minutes"), None);
}

#[test]
fn a_zero_byte_is_refused_on_either_side() {
    let mut config = ClientConfig::new();
    assert_eq!(config.set("client\0id", "a").unwrap_err().kind, ConfigErrorKind::UnknownProperty);
    assert_eq!(config.set("client.id", "a\0b").unwrap_err().kind, ConfigErrorKind::InvalidValue);
}

#[test]
fn a_copy_of_a_configuration_stands_alone() {
    let mut config = ClientConfig::new();
    config.set("client.id", "first").unwrap();
    let copy = config.clone();
    config.set("client.id", "second").unwrap();
    assert_eq!(copy.get("client.id").as_deref(), Some("first"));
}

#[test]
fn dump_lists_every_property_once() {
    let dump = ClientConfig::new().dump();
    let keys: HashSet<_> = dump.iter().map(|(key, _)| key).collect();
    assert_eq!(keys.len(), dump.len());
    assert!(dump.contains(&("client.id".to_owned(), "rdkafka".to_owned())));
}

#[test]
fn debug_output_of_a_configuration_shows_no_values() {
    let mut config = ClientConfig::new();
    config.set("client.id", "topsecret").unwrap();
    assert!(!format!("{config:?}").contains("topsecret"));
}

#[test]
fn the_library_is_the_vendored_one_with_the_codecs_asked_for() {
    assert_eq!(version(), "2.12.1");
    let features = builtin_features();
    for codec in ["gzip", "snappy", "lz4"] {
        assert!(features.iter().any(|feature| feature == codec), "{features:?}");
    }
    assert_eq!(features.iter().any(|feature| feature == "zstd"), cfg!(feature = "zstd"), "{features:?}");
    assert_eq!(features.iter().any(|feature| feature == "ssl"), cfg!(feature = "tls"), "{features:?}");
}

#[test]
fn credentials_are_refused_for_a_zero_byte_without_being_shown() {
    let producer = Producer::new(ClientConfig::new()).unwrap();
    producer.set_credentials("ann", "hush").unwrap();
    let refused = |username, password| producer.set_credentials(username, password).unwrap_err().text;
    assert_eq!(refused("hush\0", "x"), "the user name contains a zero byte");
    assert_eq!(refused("ann", "hush\0"), "the password contains a zero byte");
    let error = ClientConfig::new().set("sasl.password", "hush\0").unwrap_err();
    assert_eq!(error.text, "the value of `sasl.password` contains a zero byte");
}
