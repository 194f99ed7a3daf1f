//! The calls of transactions. The mock cluster answers them but isolates nothing: what readers see is tested on a real broker.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mainspring_kafka_ffi::{KafkaCode, KafkaError, Producer, Record, TopicPartition};

use crate::support::{cluster, config, consumer, fill, read, serving};

const LIMIT: Duration = Duration::from_secs(30);

/// Makes a blocking call while the events are served.
async fn call(
    producer: &Arc<Producer>,
    call: impl FnOnce(&Producer) -> Result<(), KafkaError> + Send + 'static,
) -> Result<(), KafkaError> {
    let caller = Arc::clone(producer);
    #[expect(clippy::disallowed_methods, reason = "this crate has no task processors")]
    let called = tokio::task::spawn_blocking(move || call(&caller));
    serving(producer, &mut |_| (), called).await.unwrap()
}

#[tokio::test]
async fn records_and_offsets_go_through_the_states_of_a_transaction() {
    let cluster = cluster("t", 1);
    fill(&cluster, "t", 1, 0..3).await;
    let consumer = consumer(&cluster, "g", &[]);
    assert_eq!(consumer.group_metadata().unwrap().generation(), -1);
    consumer.subscribe(&["t"]).unwrap();
    read(&consumer, 3).await;
    let group = consumer.group_metadata().unwrap();
    assert!(0 < group.generation(), "{group:?}");

    let properties = [("transactional.id", "one"), ("linger.ms", "40000"), ("message.timeout.ms", "60000")];
    let producer = Arc::new(Producer::new(config(&cluster, &properties)).unwrap());
    let error = call(&producer, Producer::begin_transaction_blocking).await.unwrap_err();
    assert_eq!((error.code, error.fatal), (KafkaCode::STATE, false), "{error}");
    call(&producer, |producer| producer.init_transactions_blocking(LIMIT)).await.unwrap();
    call(&producer, Producer::begin_transaction_blocking).await.unwrap();
    let topic = producer.topic("t").unwrap();
    let stored = producer.send(&topic, Record::new(Bytes::from_static(b"3"))).unwrap();
    let offsets = [TopicPartition::new("t", 0).with_offset(3)];
    call(&producer, move |producer| producer.send_offsets_blocking(&offsets, &group, LIMIT)).await.unwrap();
    // It waits for the record, and does not wait for `linger.ms`.
    call(&producer, |producer| producer.commit_transaction_blocking(LIMIT)).await.unwrap();
    assert_eq!(stored.await.unwrap().offset, Some(3));

    call(&producer, Producer::begin_transaction_blocking).await.unwrap();
    let purged = producer.send(&topic, Record::new(Bytes::from_static(b"4"))).unwrap();
    call(&producer, |producer| producer.abort_transaction_blocking(LIMIT)).await.unwrap();
    assert_eq!(purged.await.unwrap_err().code, KafkaCode::PURGE_QUEUE);
}

#[tokio::test]
async fn a_call_without_an_answer_is_retriable_and_is_taken_up_again() {
    let cluster = cluster("t", 1);
    cluster.set_broker_down(1).unwrap();
    let properties = [("transactional.id", "one"), ("reconnect.backoff.max.ms", "100")];
    let producer = Arc::new(Producer::new(config(&cluster, &properties)).unwrap());
    let soon = Duration::from_millis(100);
    let error = call(&producer, move |producer| producer.init_transactions_blocking(soon)).await.unwrap_err();
    assert!(error.retriable && !error.fatal, "{error:?}");
    cluster.set_broker_up(1).unwrap();
    call(&producer, |producer| producer.init_transactions_blocking(LIMIT)).await.unwrap();
}

#[tokio::test]
async fn a_producer_without_an_id_has_no_transactions() {
    let cluster = cluster("t", 1);
    let producer = Arc::new(Producer::new(config(&cluster, &[])).unwrap());
    let error = call(&producer, |producer| producer.init_transactions_blocking(LIMIT)).await.unwrap_err();
    assert!(!error.retriable && error.text.contains("transactional.id"), "{error:?}");
}
