//! Each answer of librdkafka, and what is left to do.

use std::sync::Arc;

use mainspring_kafka_ffi::{KafkaCode, KafkaError};

use crate::transactions::error::{TransactionError, TransactionErrorClass, TransactionStep};

fn error(step: TransactionStep, code: i32, flags: &str) -> TransactionError {
    let error = KafkaError {
        code: KafkaCode::from_raw(code),
        text: "Broker says no".to_owned(),
        fatal: flags.contains("fatal"),
        retriable: flags.contains("retriable"),
        txn_requires_abort: flags.contains("abort"),
    };
    TransactionError::new(&Arc::from("orders-0"), step, error)
}

#[track_caller]
fn check(step: TransactionStep, code: i32, flags: &str, expected: TransactionErrorClass) {
    assert_eq!(error(step, code, flags).class(), expected);
}

#[test]
fn what_passes_is_retriable_but_in_a_commit_it_leaves_the_end_open() {
    use TransactionStep::{Abort, Begin, Commit, Init};
    for step in [Init, Begin, Abort] {
        check(step, -185, "retriable", TransactionErrorClass::Retriable);
    }
    check(Commit, -185, "retriable", TransactionErrorClass::Unresolved);
    check(Commit, 1, "", TransactionErrorClass::Unresolved);
    check(Commit, -150, "fatal", TransactionErrorClass::Unresolved);
    check(Begin, -150, "fatal", TransactionErrorClass::Retriable);
    assert!(!error(Commit, -185, "retriable").is_retryable());
}

#[test]
fn failed_offsets_and_records_can_only_be_aborted() {
    check(TransactionStep::SendOffsets, 22, "abort", TransactionErrorClass::Abortable);
    check(TransactionStep::SendOffsets, 22, "", TransactionErrorClass::Abortable);
    check(TransactionStep::SendOffsets, -150, "fatal", TransactionErrorClass::Abortable);
    check(TransactionStep::Commit, -149, "abort", TransactionErrorClass::Abortable);
    assert!(error(TransactionStep::Commit, -149, "abort").is_retryable());
}

#[test]
fn a_producer_that_was_shut_out_is_told_from_one_that_failed() {
    for code in [-144, 47, 90] {
        let error = error(TransactionStep::Commit, code, "fatal");
        assert!(matches!(error, TransactionError::Fenced(_)), "{code}: {error:?}");
    }
    let error = error(TransactionStep::Init, 53, "fatal");
    assert!(matches!(error, TransactionError::Fatal(_)), "{error:?}");
    assert_eq!(error.class(), TransactionErrorClass::Fatal);
}

#[test]
fn errors_say_which_step_of_which_producer_and_what_to_do() {
    assert_eq!(
        error(TransactionStep::Init, -144, "fatal").to_string(),
        "init in a transaction of `orders-0` failed: Broker says no; another producer has this `transactional_id` now, or a \
         transaction outlasted `transaction_timeout`: give each instance an id of its own, and restart this one"
    );
    assert_eq!(
        error(TransactionStep::Commit, -149, "abort").to_string(),
        "commit in a transaction of `orders-0` failed: Broker says no; it can only be aborted (retryable)"
    );
}
