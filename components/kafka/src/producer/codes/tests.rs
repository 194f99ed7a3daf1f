//! The table, as the code goes by it and as operators read it.

use std::fmt::Write as _;

use expect_test::expect_file;
use mainspring_kafka_ffi::KafkaCode;

use super::{Kind, OTHER, Retry, Row, TABLE, is_retryable, lookup};

#[test]
fn codes_ascend_so_that_each_is_found() {
    assert!(TABLE.is_sorted_by(|left, right| left.code < right.code));
    for row in TABLE {
        assert_eq!(lookup(row.code), (row.kind, row.retry), "{}", row.code);
    }
}

#[test]
fn codes_that_are_not_in_the_table_are_not_worth_another_try() {
    for code in [-2000, -191, 0, 1, 30, 12_345, i32::MAX, i32::MIN] {
        assert_eq!(lookup(KafkaCode::from_raw(code)), (Kind::Rejected, Retry::Cannot), "{code}");
    }
}

#[test]
fn each_row_is_about_a_code_that_the_library_knows() {
    for row in TABLE {
        assert!(!row.code.name().ends_with('?'), "{}", row.code);
        assert!(!row.reason.is_empty() && !row.reason.ends_with('.'), "{}", row.reason);
    }
}

#[test]
fn what_may_be_stored_nevertheless_is_said() {
    for code in [-197, -192, -151, -150, 7, 13] {
        let row = TABLE.iter().find(|row| row.code.as_raw() == code).unwrap();
        assert!(row.reason.contains("may have been stored"), "{}", row.reason);
    }
}

#[test]
fn the_document_for_operators_is_this_table() {
    let mut text = String::from(
        "# Errors of sends\n\n\
         What each code of librdkafka (negative) and of Kafka's protocol (positive) becomes, and whether sending the\n\
         record again may help: `SendError::is_retryable`, and the label `retryable` of `kafka_producer_errors_total`.\n\
         librdkafka has tried again by itself, until `delivery_timeout`, before most of these are reported.\n\n\
         Written from the table in `components/kafka/src/producer/codes.rs` by its test.\n\n\
         | Code | Name | `SendError` | Retryable | Why |\n|---|---|---|---|---|\n",
    );
    for Row { code, kind, retry, reason } in TABLE {
        let retry = if *retry == Retry::May { "yes" } else { "no" };
        let number = code.as_raw();
        writeln!(text, "| {number} | `{code}` | `{kind:?}` | {retry} | {reason} |").unwrap();
    }
    writeln!(text, "| any other | | `{:?}` | no | {} |", OTHER.0, OTHER.2).unwrap();
    expect_file!["../../../../../docs/kafka-errors.md"].assert_eq(&text);
}

#[test]
fn the_retryable_ones_are_these() {
    let names: Vec<_> = (-300..=200)
        .map(KafkaCode::from_raw)
        .filter(|code| is_retryable(*code))
        .map(|code| code.name().into_owned())
        .collect();
    expect_test::expect![[r#"
        _TRANSPORT
        _RESOLVE
        _MSG_TIMED_OUT
        _ALL_BROKERS_DOWN
        _TIMED_OUT
        _QUEUE_FULL
        _INVALID_DIFFERENT_RECORD
        CORRUPT_MESSAGE
        LEADER_NOT_AVAILABLE
        NOT_LEADER_OR_FOLLOWER
        REQUEST_TIMED_OUT
        BROKER_NOT_AVAILABLE
        REPLICA_NOT_AVAILABLE
        NETWORK_EXCEPTION
        NOT_ENOUGH_REPLICAS
        NOT_ENOUGH_REPLICAS_AFTER_APPEND
        KAFKA_STORAGE_ERROR
        FENCED_LEADER_EPOCH
        UNKNOWN_LEADER_EPOCH
        THROTTLING_QUOTA_EXCEEDED
    "#]]
    .assert_eq(&(names.join("\n") + "\n"));
}
