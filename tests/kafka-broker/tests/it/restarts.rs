//! Brokers that are killed, stopped and frozen.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use mainspring_kafka_broker::{Broker, BrokerOptions, Cluster, TestResult};

use crate::{LIMIT, eventually};

#[test]
fn killed_and_stopped_broker_comes_back_with_its_data() -> TestResult {
    let mut broker = Broker::start(BrokerOptions::default())?;
    let address = broker.bootstrap_servers().to_owned();
    broker.create_topic("orders", 1)?;
    broker.write("orders", "key", "first")?;
    broker.kill()?;
    assert_eq!(broker.pid(), None);
    broker.restart()?;
    broker.write("orders", "key", "second")?;
    broker.stop()?;
    broker.restart()?;
    assert_eq!(broker.bootstrap_servers(), address);
    let payloads: Vec<_> =
        broker.read_all("orders", 2, LIMIT)?.into_iter().map(|record| record.payload).collect();
    assert_eq!(payloads, [&b"first"[..], b"second"]);
    Ok(())
}

#[test]
fn broker_whose_port_is_taken_meanwhile_comes_back_once_it_is_free() -> TestResult {
    let mut broker = Broker::start(BrokerOptions::default())?;
    let (address, log) = (broker.bootstrap_servers().to_owned(), broker.log_path());
    broker.stop()?;
    let thief = TcpListener::bind(&address)?;
    std::thread::scope(|scope| {
        let restarting = scope.spawn(|| broker.restart());
        eventually(|| match std::fs::read_to_string(&log) {
            Ok(text) if text.contains("Address already in use") => Ok(()),
            seen => Err(format!("{seen:?}")),
        });
        drop(thief);
        restarting.join().expect("restarting does not panic")
    })?;
    assert_eq!(broker.bootstrap_servers(), address);
    Ok(())
}

#[test]
fn frozen_broker_answers_again_when_resumed() -> TestResult {
    let mut broker = Broker::start(BrokerOptions::default().with_property("message.max.bytes", 2000))?;
    broker.create_topic("orders", 1)?;
    broker.write("orders", "key", "before")?;
    broker.pause()?;
    let asked = Instant::now();
    assert!(broker.read_all("orders", 1, Duration::from_millis(500)).is_err(), "a frozen broker answered");
    assert!(asked.elapsed() < Duration::from_secs(15), "the limit was passed over: {:?}", asked.elapsed());
    broker.resume()?;
    broker.write("orders", "key", "after")?;
    assert_eq!(broker.read_all("orders", 2, LIMIT)?.len(), 2);
    assert!(
        broker.write("orders", "key", vec![b'x'; 4000]).is_err(),
        "the broker does not know its property"
    );
    Ok(())
}

#[test]
fn cluster_survives_the_loss_of_one_broker() -> TestResult {
    let mut cluster = Cluster::start(3)?;
    cluster.create_topic("orders", 3)?;
    cluster.write_all("orders", (0..100).map(|n| (n.to_string(), "before")))?;
    cluster.broker(0).kill()?;
    cluster.write_all("orders", (0..100).map(|n| (n.to_string(), "after")))?;
    cluster.restart(0)?;
    assert_eq!(cluster.read_all("orders", 200, LIMIT)?.len(), 200);
    Ok(())
}
