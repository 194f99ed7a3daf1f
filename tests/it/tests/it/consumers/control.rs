//! Control from the scope, answered by real brokers.

use std::time::{Duration, SystemTime};

use mainspring::kafka::{ControlError, Position};
use mainspring_testsuite::eventually;

use crate::consumers::stage::{N_PARTITIONS, Stage, wait};

#[test]
fn a_seek_to_a_time_reads_on_at_the_first_record_of_that_time() {
    let stage = Stage::new();
    for number in 0..5 {
        stage.client.write_to(&stage.topic, 0, "key", number.to_string()).expect("it is written");
    }
    // Timestamps are whole milliseconds, and those of the next records have to differ.
    wait(Duration::from_millis(20));
    let between = SystemTime::now();
    wait(Duration::from_millis(20));
    for number in 5..10 {
        stage.client.write_to(&stage.topic, 0, "key", number.to_string()).expect("it is written");
    }
    let member = stage.member("reader", "");
    stage.until_all_came(10);
    let seek = |position| member.service.block_on(member.running().seek(&stage.topic, 0, position));
    seek(Position::Timestamp(between)).expect("the partition is ours");
    stage.until_all_came(15);
    let offsets = &stage.ledger.offsets()[&(stage.topic.clone(), 0)];
    assert_eq!(offsets[10..], [5, 6, 7, 8, 9]);
    seek(Position::Timestamp(SystemTime::now() + Duration::from_secs(60))).expect("that is the end");
    stage.client.write_to(&stage.topic, 0, "key", "10").expect("it is written");
    stage.until_all_came(16);
    assert_eq!(stage.ledger.offsets()[&(stage.topic.clone(), 0)][15..], [10]);
}

#[test]
fn ranges_lag_and_partitions_are_those_of_the_broker() {
    let stage = Stage::new();
    let member = stage.member("reader", "");
    stage.until_shared(&[&member]);
    for _ in 0..7 {
        stage.client.write_to(&stage.topic, 2, "key", "value").expect("it is written");
    }
    stage.until_all_came(7);
    let (scope, service) = (member.running(), &member.service);
    let range = service.block_on(scope.offset_range(&stage.topic, 2)).expect("the broker answers");
    assert_eq!((range.low, range.high), (0, 7));
    let lag = || service.block_on(scope.lag(&stage.topic, 2)).expect("the broker answers");
    eventually("everything to be processed", lag, |lag| *lag == 0);
    service.block_on(scope.pause(&stage.topic, 2)).expect("the partition is ours");
    for _ in 0..3 {
        stage.client.write_to(&stage.topic, 2, "key", "value").expect("it is written");
    }
    assert_eq!(lag(), 3);
    service.block_on(scope.resume(&stage.topic, 2)).expect("the partition is ours");
    eventually("everything to be processed", lag, |lag| *lag == 0);
    stage.ledger.check_each_once(10);
    let mut ids = service.block_on(scope.partition_ids(&stage.topic)).expect("the broker answers");
    ids.sort_unstable();
    assert!(ids.into_iter().eq(0..N_PARTITIONS));
    let error =
        service.block_on(scope.offset_range(&stage.topic, 77)).expect_err("there is no such partition");
    assert!(matches!(error, ControlError::Query { retryable: false, .. }), "{error:?}");
    let error = service.block_on(scope.partition_ids("no-such-topic")).expect_err("there is no such topic");
    assert!(!error.is_retryable(), "{error:?}");
}
