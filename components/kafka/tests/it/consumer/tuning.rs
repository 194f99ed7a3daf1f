//! What changes while a consumer runs.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use expect_test::expect;
use mainspring_config::{Problems, Source};
use mainspring_kafka::Batch;

use crate::consumer::support::{Journal, Kafka, Running, until, within};

/// Makes this the value of `MAINSPRING_KAFKA_CONSUMER` for the consumer, as an update of the dynamic configuration does.
fn tune(service: &Running, tuning: &str) -> Result<(), Problems> {
    let text = format!(r#"{{"MAINSPRING_KAFKA_CONSUMER": {{"kafka-consumer": {tuning}}}}}"#);
    let values = mainspring_config::parse(&Source::new("update", text))?;
    service.handle.dynamic_config().store(&[&values]).map(drop)
}

async fn until_state(service: &Running, state: &str) {
    until("the state", || service.state(), |seen| seen == state).await;
}

/// Waits until every message that a callback was given is done with.
async fn until_done(service: &Running, journal: &Journal) {
    let processed = || service.metric("kafka_consumer_processed_messages", &[("result", "success")]);
    until("the last callback", || journal.numbers().len() as f64 - processed(), |rest| *rest == 0.0).await;
}

#[tokio::test]
async fn a_paused_consumer_keeps_its_place_and_neither_loses_nor_repeats_messages() {
    let kafka = Kafka::new(2);
    kafka.fill(0..1000).await;
    let service = kafka.service("max_batch_size: 7").await;
    let (_scope, journal) = service.consume();
    journal.reached(50).await;
    let mut pauses = 0;
    for round in 1..=3 {
        tune(&service, r#"{"paused": true}"#).unwrap();
        until_state(&service, "paused").await;
        // A batch that was with its callback when the pause came may have to be written down still.
        let mut seen = journal.numbers().len();
        loop {
            until_done(&service, &journal).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
            if std::mem::replace(&mut seen, journal.numbers().len()) == journal.numbers().len() {
                break;
            }
        }
        kafka.fill(1000 * round..1000 * (round + 1)).await;
        assert_eq!(journal.numbers().len(), seen, "nothing is read while it is paused");
        assert_eq!(service.metric("kafka_consumer_assigned_partitions", &[]), 2.0);
        assert_eq!(service.metric("kafka_consumer_paused_partitions", &[]), 2.0);
        pauses += usize::from(seen < 1000 * usize::try_from(round).unwrap());
        tune(&service, r#"{"paused": false}"#).unwrap();
        until_state(&service, "running").await;
        journal.reached(seen + 50).await;
    }
    journal.reached(4000).await;
    until_done(&service, &journal).await;
    assert!(0 < pauses, "no pause came in the middle of a backlog");
    for (partition, offsets) in journal.offsets() {
        assert!(offsets.iter().copied().eq(0..2000), "partition {partition}: {offsets:?}");
    }
    assert_eq!(service.metric("kafka_consumer_paused_partitions", &[]), 0.0);
    assert_eq!(service.metric("kafka_consumer_rebalances", &[("event", "revoke")]), 0.0);
}

#[tokio::test]
async fn a_consumer_may_be_paused_before_it_starts() {
    let kafka = Kafka::new(1);
    kafka.fill(0..10).await;
    let service = kafka.service("").await;
    tune(&service, r#"{"paused": true}"#).unwrap();
    let (_scope, journal) = service.consume();
    until_state(&service, "paused").await;
    assert_eq!(journal.numbers().len(), 0);
    tune(&service, "{}").unwrap();
    journal.reached(10).await;
}

#[tokio::test]
async fn a_paused_member_shares_its_partitions_and_what_it_had_read_is_not_lost() {
    let kafka = Kafka::new(4);
    kafka.fill(0..200).await;
    let first = kafka.service("max_batch_size: 10").await;
    let (_scope, first_journal) = first.consume();
    first_journal.reached(20).await;
    tune(&first, r#"{"paused": true}"#).unwrap();
    until_state(&first, "paused").await;
    until_done(&first, &first_journal).await;

    let second = kafka.service("max_batch_size: 10").await;
    let (_scope, second_journal) = second.consume();
    let assigned = |service: &Running| service.metric("kafka_consumer_assigned_partitions", &[]);
    until("both share", || (assigned(&first), assigned(&second)), |counts| *counts == (2.0, 2.0)).await;
    assert_eq!(first.state(), "paused");
    tune(&first, "{}").unwrap();
    let all = || {
        let mut numbers = [first_journal.numbers(), second_journal.numbers()].concat();
        numbers.sort_unstable();
        numbers
    };
    until("all messages", || all().len(), |count| 200 <= *count).await;
    assert!(all().into_iter().eq(0..200), "{:?}", all());
}

#[tokio::test]
async fn the_size_of_batches_follows() {
    let kafka = Kafka::new(1);
    kafka.fill(0..90).await;
    let service = kafka.service("max_batch_size: 10\npoll_timeout: 1h").await;
    tune(&service, r#"{"max_batch_size": 3}"#).unwrap();
    let (_scope, journal) = service.consume();
    journal.reached(90).await;
    assert_eq!(journal.sizes(), [3; 30]);
    tune(&service, r#"{"max_batch_size": 45, "paused": true}"#).unwrap();
    until_state(&service, "paused").await;
    kafka.fill(90..180).await;
    tune(&service, r#"{"max_batch_size": 45}"#).unwrap();
    journal.reached(180).await;
    assert_eq!(journal.sizes()[30..], [45, 45]);
}

#[tokio::test]
async fn messages_per_second_are_limited() {
    let kafka = Kafka::new(1);
    kafka.fill(0..60).await;
    let service = kafka.service("max_batch_size: 1000").await;
    tune(&service, r#"{"max_messages_per_second": 20}"#).unwrap();
    let journal = Journal::default();
    let times = Arc::new(Mutex::new(Vec::new()));
    let scope = service.scope();
    let (noted, noted_times) = (journal.clone(), Arc::clone(&times));
    scope
        .start(move |batch: Batch| {
            noted_times.lock().unwrap().push(Instant::now());
            noted.note(&batch);
            async move { batch.commit().await }
        })
        .unwrap();
    journal.reached(60).await;
    assert!(journal.sizes().iter().all(|size| *size <= 20), "{:?}", journal.sizes());
    let took = {
        let times = times.lock().unwrap();
        times[times.len() - 1].duration_since(times[0])
    };
    // The last batch, of 20 at most, comes when those before it have used up their time.
    assert!(Duration::from_millis(1900) <= took, "60 messages took {took:?}");
    tune(&service, "{}").unwrap();
    within("stop", scope.stop()).await;
}

#[tokio::test]
async fn the_delay_after_a_failure_follows() {
    let kafka = Kafka::new(1);
    kafka.fill(0..5).await;
    let service = kafka.service("max_batch_size: 5\nrestart_after_failure_delay: 1h").await;
    tune(&service, r#"{"restart_after_failure_delay": "10ms"}"#).unwrap();
    let journal = Journal::default();
    let (scope, noted) = (service.scope(), journal.clone());
    scope
        .start(move |batch: Batch| {
            let batch_idx = noted.note(&batch);
            async move { if batch_idx == 0 { Err("on purpose") } else { Ok(()) } }
        })
        .unwrap();
    journal.reached(10).await;
}

#[tokio::test]
async fn values_out_of_range_are_refused() {
    let kafka = Kafka::new(1);
    let service = kafka.service("").await;
    let wrong = r#"{"max_batch_size": 0, "max_messages_per_second": 0, "pause": true}"#;
    expect![[r#"
        update:1:69: MAINSPRING_KAFKA_CONSUMER.kafka-consumer.max_batch_size: expected an integer from 1 to 1000000, found `0`
        update:1:99: MAINSPRING_KAFKA_CONSUMER.kafka-consumer.max_messages_per_second: expected an integer from 1 to 4294967295, found `0`
        update:1:102: MAINSPRING_KAFKA_CONSUMER.kafka-consumer: unknown key `pause`; did you mean `paused`?"#]].assert_eq(&tune(&service, wrong).unwrap_err().to_string());
    let wrong = r#"{"restart_after_failure_delay": "2d"}"#;
    expect!["update:1:82: MAINSPRING_KAFKA_CONSUMER.kafka-consumer.restart_after_failure_delay: expected a duration of at most `24h`, found `2d`"].assert_eq(&tune(&service, wrong).unwrap_err().to_string());
}
