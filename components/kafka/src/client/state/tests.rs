//! What errors do to the state of a client, and what takes it back.

use mainspring_core::Health;
use mainspring_kafka_ffi::{KafkaCode, KafkaError};

use super::{ClientState, Role};

fn state() -> ClientState {
    let config = serde_json::from_str(r#"{"security_protocol": "PLAINTEXT"}"#).unwrap();
    ClientState::new("kafka-producer", Role::Producer, &config)
}

fn error(code: KafkaCode, fatal: bool) -> KafkaError {
    KafkaError { code, text: "down".to_owned(), fatal, retriable: false, txn_requires_abort: false }
}

#[test]
fn a_failing_connection_is_counted_but_no_reason_for_alarm() {
    let state = state();
    state.on_error(&error(KafkaCode::TRANSPORT, false));
    state.on_error(&error(KafkaCode::TRANSPORT, false));
    assert_eq!(state.health(), Health::Ok);
    let mut view = mainspring_metrics::Registry::default().userver();
    state.collect_userver(&mut view);
    assert_eq!(format!("{:?}", view.metrics()[0].value), "Rate(2)");
}

#[test]
fn a_broker_in_trouble_is_told_once_until_it_is_up_again() {
    let state = state();
    let refused = |broker: &str| KafkaError {
        text: format!("{broker}: Connect to ipv4#10.0.0.1:9092 failed: Connection refused"),
        ..error(KafkaCode::TRANSPORT, false)
    };
    let begins =
        |broker: &str| state.troubles().begin(super::broker_of(&refused(broker).text), KafkaCode::TRANSPORT);
    assert!(begins("a:9092/1"));
    assert!(begins("b:9092/2"));
    assert!(!begins("a:9092/1"), "it is known to be down");
    assert!(state.troubles().begin("a:9092/1", super::AUTHENTICATION), "but not that it knows us no more");
    // An answer of one broker says nothing of another.
    state.on_answer();
    assert!(!begins("a:9092/1"));
    state.on_stats(r#"{"brokers": {"a:9092/1": {"state": "UP"}, "b:9092/2": {"state": "TRY_CONNECT"}}}"#);
    assert!(begins("a:9092/1"));
    assert!(!begins("b:9092/2"));
    let mut snapshot = mainspring_metrics::Registry::default().snapshot();
    state.collect(&mut snapshot);
    let labels = [("component", "kafka-producer"), ("broker", "a:9092/1")];
    let count = snapshot.get(&super::CONNECTION_ERRORS, &labels);
    assert_eq!(format!("{count:?}"), "Some(Counter(5))");
}

#[test]
fn an_error_without_a_broker_has_no_name() {
    assert_eq!(super::broker_of("a:9092/bootstrap: Disconnected"), "a:9092/bootstrap");
    assert_eq!(super::broker_of("ssl://a:9092/1: SSL handshake failed: alert"), "ssl://a:9092/1");
    assert_eq!(super::broker_of("GroupCoordinator: a:9092: Connect failed"), "GroupCoordinator");
    assert_eq!(super::broker_of("1/1 brokers are down: all of them"), "");
    assert_eq!(super::broker_of("Disconnected"), "");
}

#[test]
fn brokers_that_are_all_down_are_a_fallback_until_one_answers() {
    let state = state();
    state.on_error(&error(KafkaCode::ALL_BROKERS_DOWN, false));
    state.on_error(&error(KafkaCode::TRANSPORT, false));
    assert_eq!(state.health(), Health::fallback("no broker can be reached"));
    state.on_answer();
    assert_eq!(state.health(), Health::Ok);
    state.on_error(&error(KafkaCode::ALL_BROKERS_DOWN, false));
    state.on_stats(r#"{"brokers": {"b": {"nodeid": 1, "state": "UP"}}}"#);
    assert_eq!(state.health(), Health::Ok);
}

#[test]
fn statistics_that_are_cut_off_change_nothing() {
    let state = state();
    state.on_stats(r#"{"msg_cnt": 7}"#);
    state.on_stats(r#"{"msg_cnt": 8, "brokers": {"#);
    assert_eq!(state.statistics().msg_cnt, 7);
}

#[test]
fn a_fatal_error_stays_until_the_client_is_replaced() {
    let state = state();
    state.on_error(&error(KafkaCode::FATAL, true));
    state.on_answer();
    assert!(state.health().is_fatal());
    state.on_client_gone();
    assert_eq!(state.health(), Health::Ok);
}
