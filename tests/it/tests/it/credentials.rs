//! A SCRAM password is changed in the broker and in the file of secrets, under traffic, and nothing is lost, nothing comes
//! twice, and the group does not notice.
//!
//! Connections that are authenticated stay so; restarting the broker makes all of them anew, so that whatever goes on
//! afterwards goes on with the new password.

use std::fs;
use std::path::Path;

use mainspring_it::ServiceConfig;
use mainspring_kafka_broker::{Broker, BrokerOptions};
use mainspring_testsuite::eventually;
use tempfile::TempDir;

use crate::traffic::{TOPIC, Traffic, check, replace, secdist, text};

const USER: &str = "ann";

fn write_secdist(path: &Path, broker: &Broker, password: &str) {
    let brokers = broker.sasl_servers();
    let client = format!(r#"{{"brokers": "{brokers}", "username": "{USER}", "password": "{password}"}}"#);
    replace(path, secdist(&client));
}

/// How many connections were turned away over a wrong password, as the broker says.
fn n_refused(broker: &Broker) -> usize {
    let log = fs::read_to_string(broker.log_path()).expect("the broker has a log");
    log.lines().filter(|line| line.contains("due to invalid credentials")).count()
}

#[test]
fn password_is_rotated_under_traffic_without_a_loss_or_a_rebalance() {
    let mut broker = Broker::start(BrokerOptions::default().with_user(USER, "hush-1")).expect("it starts");
    broker.create_topic(TOPIC, 2).expect("the topic is new");
    let directory = TempDir::new().expect("a temporary directory can be made");
    let secrets = directory.path().join("secdist.json");
    write_secdist(&secrets, &broker, "hush-1");
    let yaml = include_str!("../../testdata/rotating_service.yaml");
    let config = ServiceConfig::from_text("rotating_service.yaml", yaml).with("secdist.json", text(&secrets));
    let traffic = Traffic::start(config, directory.path());
    let n_rebalances = || traffic.sum("kafka_consumer_rebalances_total", &[]);
    let rebalances_of_the_start = n_rebalances();

    // As it should be done: the broker first, then the service, while connections stay.
    broker.set_password(USER, "hush-2").expect("the broker takes it");
    traffic.until_more_is_received();
    write_secdist(&secrets, &broker, "hush-2");
    traffic.until_updated("success", |n| n == 1.0);
    traffic.until_more_is_received();
    broker.stop().expect("it stops");
    broker.restart().expect("it starts again");
    traffic.until_more_is_received();
    assert_eq!(n_refused(&broker), 0, "nobody tried the old password again");

    // The service learns of it only after the broker has begun to refuse the old password.
    broker.set_password(USER, "hush-3").expect("the broker takes it");
    broker.stop().expect("it stops");
    broker.restart().expect("it starts again");
    eventually("the old password to be refused", || n_refused(&broker), |n| 1 <= *n);
    write_secdist(&secrets, &broker, "hush-3");
    traffic.until_updated("success", |n| n == 2.0);
    traffic.until_more_is_received();

    assert_eq!(n_rebalances(), rebalances_of_the_start);
    assert_eq!(traffic.sum("kafka_consumer_restarts_total", &[]), 0.0);
    check(&broker, traffic);
}
