//! What errors say.

use std::time::Duration;

use expect_test::{Expect, expect};
use mainspring_kafka_ffi::KafkaCode;

use super::{SendError, Target};

#[track_caller]
fn check(code: i32, partition: Option<i32>, expected: Expect) {
    let target = Target { topic: "orders".into(), partition };
    let error = SendError::new(KafkaCode::from_raw(code), target, Duration::from_secs(3));
    let code = error.kafka_code().map_or_else(|| "none".to_owned(), |code| code.to_string());
    expected.assert_eq(&format!("{error}; code {code}"));
    assert_eq!(error.to_string().ends_with(" (retryable)"), error.is_retryable());
    assert_eq!(error.target().partition, partition);
}

#[test]
fn messages_say_where_what_and_whether_to_try_again() {
    check(
        -192,
        Some(3),
        expect!["send to `orders`[3] failed: no acknowledgement within 3s (retryable); code -192"],
    );
    check(
        -184,
        None,
        expect!["send to `orders` failed: no space in the producer's queue within 3s (retryable); code -184"],
    );
    check(10, None, expect!["send to `orders` failed: the record is too large; code 10"]);
    check(-188, None, expect!["send to `orders` failed: the topic is unknown; code -188"]);
    check(3, None, expect!["send to `orders` failed: the topic is unknown; code 3"]);
    check(-190, Some(9), expect!["send to `orders`[9] failed: the partition is unknown; code -190"]);
    check(-152, None, expect!["send to `orders` failed: it was purged before it was sent; code -152"]);
    check(
        -151,
        None,
        expect!["send to `orders` failed: it was purged on its way; it may have been stored; code -151"],
    );
    check(-197, None, expect!["send to `orders` failed: the producer has stopped; code none"]);
    check(
        -150,
        None,
        expect![
            "send to `orders` failed: the client failed for good and is replaced: Local: Fatal error; code -150"
        ],
    );
    check(29, None, expect!["send to `orders` failed: Broker: Topic authorization failed; code 29"]);
    check(
        19,
        None,
        expect!["send to `orders` failed: Broker: Not enough in-sync replicas (retryable); code 19"],
    );
}
