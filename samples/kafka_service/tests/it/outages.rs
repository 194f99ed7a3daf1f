//! A broker that goes away under a running service.

use std::collections::BTreeSet;

use mainspring_it::Signal;
use mainspring_kafka_broker::{Broker, BrokerOptions};
use mainspring_testsuite::eventually;

use crate::stage::{STOP_LIMIT, Stage, check_stored_once, consumed, request};

#[test]
fn killed_broker_that_comes_back_costs_no_acknowledged_record() {
    let mut broker = Broker::start(BrokerOptions::default()).expect("a broker starts");
    let client = mainspring_kafka_broker::Client::new(broker.bootstrap_servers());
    let stage = Stage::on(&client);
    // Long enough for a broker that starts on a busy machine.
    let service = stage.start_with(&stage.config().with("delivery_timeout: 10s", "delivery_timeout: 50s"));
    let acknowledged = stage.traffic(&service, |traffic| {
        traffic.until_acknowledged(100);
        broker.kill().expect("it can be killed");
        service.until_logged("ALL_BROKERS_DOWN");
        broker.restart().expect("it comes back");
        traffic.until_acknowledged(100);
    });
    let stored = stage.stored();
    check_stored_once(&stored, &acknowledged);
    let everything: BTreeSet<_> = stored.into_keys().collect();
    let seen = || consumed(&service.log()).into_iter().collect::<BTreeSet<_>>();
    eventually("everything stored to be consumed", seen, |seen| *seen == everything);
    let ended = service.stop();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
}

#[test]
fn service_whose_broker_is_dead_ends_in_time() {
    let mut broker = Broker::start(BrokerOptions::default()).expect("a broker starts");
    let client = mainspring_kafka_broker::Client::new(broker.bootstrap_servers());
    let stage = Stage::on(&client);
    let service = stage.start();
    assert_eq!(service.post("/produce", &request(&stage.topics[0], "k", "p")).status, 200);
    eventually("the record", || consumed(&service.log()).len(), |n| *n == 1);
    broker.kill().expect("it can be killed");
    let ended = service.stop();
    assert!(ended.took < STOP_LIMIT, "it took {:?}", ended.took);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
}

#[test]
fn request_that_waits_for_a_dead_broker_is_answered_before_the_service_ends() {
    let mut broker = Broker::start(BrokerOptions::default()).expect("a broker starts");
    let client = mainspring_kafka_broker::Client::new(broker.bootstrap_servers());
    let stage = Stage::on(&client);
    let service = stage.start_with(&stage.config().with("delivery_timeout: 10s", "delivery_timeout: 5s"));
    let body = request(&stage.topics[0], "k", "p");
    assert_eq!(service.post("/produce", &body).status, 200);
    broker.kill().expect("it can be killed");
    let answer = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| service.try_post("/produce", &body));
        let in_flight = || service.metrics().sum("kafka_producer_in_flight_messages", &[]);
        eventually("the record to be in flight", in_flight, |n| *n == 1.0);
        service.signal(Signal::TERM);
        waiting.join().expect("posting does not panic").expect("it is answered")
    });
    assert_eq!(answer.brief(), (429, r#"{"error":"Retry later"}"#));
    let ended = service.ended();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
}
