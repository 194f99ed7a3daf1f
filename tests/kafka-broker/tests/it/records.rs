//! The client: topics, records, committed offsets, and what it says when there is nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use mainspring_kafka_broker::{TestResult, shared, unique_name};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};

use crate::LIMIT;

#[test]
fn record_is_read_back_where_it_was_written() -> TestResult {
    let topic = unique_name("orders");
    shared().create_topic(&topic, 3)?;
    shared().write(&topic, "key", "payload")?;
    let records = shared().read_all(&topic, 1, LIMIT)?;
    let [record] = &records[..] else { panic!("expected one record, found {records:?}") };
    assert_eq!((record.offset, &record.key[..], &record.payload[..]), (0, &b"key"[..], &b"payload"[..]));
    Ok(())
}

#[test]
fn record_for_a_partition_is_read_back_there() -> TestResult {
    let topic = unique_name("orders");
    shared().create_topic(&topic, 3)?;
    for partition in [2, 0] {
        shared().write_to(&topic, partition, "key", "payload")?;
    }
    let records = shared().read_all(&topic, 2, LIMIT)?;
    assert_eq!(records.iter().map(|record| record.partition).collect::<Vec<_>>(), [0, 2]);
    Ok(())
}

#[test]
fn records_of_one_key_stay_in_order() -> TestResult {
    let topic = unique_name("orders");
    shared().create_topic(&topic, 2)?;
    shared().write_all(&topic, (0..1000).map(|n| ("key", n.to_string())))?;
    let payloads: Vec<_> =
        shared().read_all(&topic, 1000, LIMIT)?.into_iter().map(|record| record.payload).collect();
    let expected: Vec<_> = (0..1000).map(|n| n.to_string().into_bytes()).collect();
    assert_eq!(payloads, expected);
    Ok(())
}

#[test]
fn one_record_too_many_is_read_too() -> TestResult {
    let topic = unique_name("orders");
    shared().create_topic(&topic, 1)?;
    shared().write_all(&topic, [("a", "1"), ("b", "2")])?;
    assert_eq!(shared().read_all(&topic, 1, LIMIT)?.len(), 2);
    Ok(())
}

#[test]
fn one_record_too_few_is_an_error_that_counts() -> TestResult {
    let topic = unique_name("orders");
    shared().create_topic(&topic, 1)?;
    shared().write(&topic, "a", "1")?;
    // Long enough to find the one on a busy machine.
    let error = shared().read_all(&topic, 2, Duration::from_secs(10)).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("waited 10s for 2 records in `{topic}`; last seen: 1 records")),
        "{error}"
    );
    Ok(())
}

#[test]
fn unknown_topic_is_an_error() {
    let topic = unique_name("missing");
    let error = shared().read_all(&topic, 1, LIMIT).unwrap_err().to_string();
    assert_eq!(error, format!("cannot read `{topic}`"));
}

#[test]
fn deleted_topic_can_be_created_again() -> TestResult {
    let topic = unique_name("orders");
    shared().create_topic(&topic, 1)?;
    assert!(shared().create_topic(&topic, 1).is_err(), "a topic was created twice");
    shared().delete_topic(&topic)?;
    shared().create_topic(&topic, 2)?;
    Ok(())
}

#[test]
fn committed_offsets_are_those_of_the_group() -> TestResult {
    let (topic, group) = (unique_name("orders"), unique_name("readers"));
    shared().create_topic(&topic, 1)?;
    shared().write_all(&topic, [("a", "1"), ("b", "2")])?;
    assert_eq!(shared().committed(&group, &topic)?, BTreeMap::new());

    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", shared().bootstrap_servers())
        .set("group.id", &group)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .create()
        .expect("the settings are valid");
    consumer.subscribe(&[&topic]).expect("the topic's name is valid");
    // Joining the group ends a poll early, without a record.
    let mut polls = std::iter::repeat_with(|| consumer.poll(LIMIT)).take(5).flatten();
    let first = polls.next().expect("a record within the limit").expect("no error");
    consumer.commit_message(&first, CommitMode::Sync).expect("a member may commit");
    assert_eq!(shared().committed(&group, &topic)?, BTreeMap::from([(0, 1)]));
    Ok(())
}
