//! Transactions on a real broker, seen by readers of both kinds and by the group whose offsets are in them.

use std::sync::Arc;
use std::time::Duration;

use mainspring::kafka::{
    Batch, CommitError, KafkaConsumerComponent, KafkaTransactionalProducerComponent, Record, SendError,
    TransactionError, TransactionErrorClass, TransactionalProducer,
};
use mainspring::prelude::{CommonComponents as _, Component as _, ComponentList};
use mainspring_kafka_broker::{Broker, BrokerOptions, Client, ReadRecord, shared, unique_name};
use mainspring_testsuite::{DEADLINE, TestService, eventually};
use tokio::sync::mpsc;
use tokio::time::timeout;

const PRODUCER: &str = KafkaTransactionalProducerComponent::DEFAULT_NAME;
const CONSUMER: &str = KafkaConsumerComponent::DEFAULT_NAME;

/// A service with producers, each with the id given, and with a consumer when there is a section for it.
#[track_caller]
fn service(brokers: &str, producers: &[(&str, &str)], consumer: Option<&str>) -> TestService {
    let at = |name: &str| format!(r#""{name}": {{"brokers": "{brokers}"}}"#);
    let names = producers.iter().map(|(name, _)| at(name)).chain([at(CONSUMER)]);
    let secdist = format!(r#"{{"kafka_settings": {{{}}}}}"#, names.collect::<Vec<_>>().join(", "));
    let mut list = ComponentList::common();
    for (name, _) in producers {
        list = list.append::<KafkaTransactionalProducerComponent>(*name);
    }
    if consumer.is_some() {
        list = list.append_default::<KafkaConsumerComponent>();
    }
    let mut builder = TestService::new(list)
        .with_file("secdist.json", secdist)
        .with_component("secdist", "{}")
        .with_component("default-secdist-provider", "config: secdist.json");
    for (name, keys) in producers {
        builder = builder.with_component(name, &format!("security_protocol: PLAINTEXT\n{keys}"));
    }
    if let Some(keys) = consumer {
        builder = builder.with_component(CONSUMER, &format!("security_protocol: PLAINTEXT\n{keys}"));
    }
    builder.start()
}

fn producer(service: &TestService, name: &str) -> TransactionalProducer {
    service.component::<KafkaTransactionalProducerComponent>(name).producer()
}

fn payloads(records: Vec<ReadRecord>) -> Vec<String> {
    records.into_iter().map(|record| String::from_utf8(record.payload).expect("text was sent")).collect()
}

fn committed(client: &Client, topic: &str, n_records: usize) -> Vec<String> {
    payloads(client.read_all(topic, n_records, DEADLINE).expect("it can be read"))
}

fn uncommitted(client: &Client, topic: &str, n_records: usize) -> Vec<String> {
    payloads(client.read_all_uncommitted(topic, n_records, DEADLINE).expect("it can be read"))
}

#[test]
fn committed_records_are_seen_all_at_once_and_aborted_ones_never() {
    let client: &Client = shared();
    let (topic, id) = (unique_name("orders"), unique_name("id"));
    client.create_topic(&topic, 1).expect("the topic is new");
    let service =
        service(client.bootstrap_servers(), &[(PRODUCER, &format!("transactional_id: {id}"))], None);
    let producer = producer(&service, PRODUCER);
    let record = |payload: &'static str| Record::to(topic.clone()).with_payload(payload);
    service.block_on(async {
        let transaction = producer.begin().await.expect("the broker is there");
        transaction.send(record("one")).await.expect("it is stored");
        transaction.send(record("two")).await.expect("it is stored");
        assert_eq!(committed(client, &topic, 0), Vec::<String>::new());
        assert_eq!(uncommitted(client, &topic, 2), ["one", "two"]);
        transaction.commit().await.expect("nothing stands against it");
        assert_eq!(committed(client, &topic, 2), ["one", "two"]);

        let transaction = producer.begin().await.expect("the one before has ended");
        transaction.send(record("three")).await.expect("it is stored");
        transaction.abort().await.expect("the broker is there");
        let transaction = producer.begin().await.expect("the one before has ended");
        transaction.send(record("four")).await.expect("it is stored");
        // The next one begins after its abort.
        drop(transaction);
        let transaction = producer.begin().await.expect("the one before has ended");
        let sent = transaction.send_async(record("five"));
        drop(sent);
        transaction.commit().await.expect("nothing stands against it");
    });
    assert_eq!(committed(client, &topic, 3), ["one", "two", "five"]);
    assert_eq!(uncommitted(client, &topic, 5), ["one", "two", "three", "four", "five"]);
    let metrics = service.metrics();
    for (result, n) in [("committed", 2), ("aborted", 2), ("failed", 0), ("unresolved", 0)] {
        let line = format!(
            "kafka_producer_transactions_total{{component=\"{PRODUCER}\",result=\"{result}\"}} {n}\n"
        );
        assert!(metrics.contains(&line), "no `{line}` in {metrics}");
    }
}

#[test]
fn a_record_that_is_not_stored_makes_the_transaction_fail() {
    let client: &Client = shared();
    let (topic, id) = (unique_name("orders"), unique_name("id"));
    client.create_topic(&topic, 1).expect("the topic is new");
    let keys = format!("transactional_id: {id}\nmessage_max_bytes: 1000");
    let service = service(client.bootstrap_servers(), &[(PRODUCER, &keys)], None);
    let producer = producer(&service, PRODUCER);
    let record = |payload: Vec<u8>| Record::to(topic.clone()).with_payload(payload);
    service.block_on(async {
        let transaction = producer.begin().await.expect("the broker is there");
        transaction.send(record(b"good".to_vec())).await.expect("it is stored");
        // Nobody looks at it.
        drop(transaction.send_async(record(vec![b'x'; 2000])));
        let error = transaction.commit().await.expect_err("a record is missing");
        assert!(matches!(&error, TransactionError::Record(SendError::MessageTooLarge { .. })), "{error:?}");
        assert_eq!(error.class(), TransactionErrorClass::Abortable);

        // One that only the broker refuses.
        let transaction = producer.begin().await.expect("the one before was aborted");
        drop(transaction.send_async(record(b"good".to_vec()).with_partition(7)));
        let error = transaction.commit().await.expect_err("a record is missing");
        assert_eq!(error.class(), TransactionErrorClass::Abortable, "{error:?}");

        let transaction = producer.begin().await.expect("the one before was aborted");
        transaction.send(record(b"better".to_vec())).await.expect("it is stored");
        transaction.commit().await.expect("nothing stands against it");

        let transaction = producer.begin().await.expect("the one before has ended");
        let error = transaction.send_batch([record(b"good".to_vec()), record(vec![b'x'; 2000])]).await;
        let error = error.expect_err("one of them is too large");
        assert!(matches!(error.failures(), [(1, SendError::MessageTooLarge { .. })]), "{error:?}");
        let error = transaction.commit().await.expect_err("a record is missing");
        assert!(matches!(error, TransactionError::Record(_)), "{error:?}");
        let transaction = producer.begin().await.expect("the one before was aborted");
        let both = [record(b"one".to_vec()), record(b"another".to_vec())];
        assert_eq!(transaction.send_batch(both).await.expect("both are stored").len(), 2);
        transaction.commit().await.expect("nothing stands against it");
    });
    assert_eq!(committed(client, &topic, 3), ["better", "one", "another"]);
}

#[test]
fn a_second_producer_with_the_id_shuts_the_first_one_out_for_good() {
    let client: &Client = shared();
    let (topic, id) = (unique_name("orders"), unique_name("id"));
    client.create_topic(&topic, 1).expect("the topic is new");
    let keys = format!("transactional_id: {id}");
    let brokers = client.bootstrap_servers();
    let first = service(brokers, &[(PRODUCER, &keys)], None);
    let record = |payload: &'static str| Record::to(topic.clone()).with_payload(payload);
    let zombie = producer(&first, PRODUCER);
    let transaction = first.block_on(async {
        let transaction = zombie.begin().await.expect("the broker is there");
        transaction.send(record("lost")).await.expect("it is stored");
        transaction
    });
    let second = service(brokers, &[(PRODUCER, &keys)], None);
    let heir = producer(&second, PRODUCER);
    second.block_on(async {
        let taken_over = heir.begin().await.expect("it takes over");
        taken_over.send(record("kept")).await.expect("it is stored");
        taken_over.commit().await.expect("nothing stands against it");

        let error = transaction.commit().await.expect_err("the other one has the id");
        assert!(matches!(error, TransactionError::Fenced(_)), "{error:?}");
        let again = zombie.begin().await.expect_err("it does not fight");
        assert!(matches!(again, TransactionError::Fenced(_)), "{again:?}");

        let transaction = heir.begin().await.expect("nobody shut it out");
        transaction.send(record("kept too")).await.expect("it is stored");
        transaction.commit().await.expect("nobody shut it out");
    });
    assert_eq!(committed(client, &topic, 2), ["kept", "kept too"]);
    let log = first.log().join("\n");
    assert_eq!(log.matches("Producer has no more transactions").count(), 1, "{log}");
    // Another client in its place would do nothing but ask for the id again.
    assert_eq!(log.matches("going to be replaced").count(), 0, "{log}");
    assert!(first.handle().has_fatal_component());
}

/// Starts a consumer whose batches come here; each callback waits until its batch is dropped here.
fn hand_out(service: &TestService) -> (mainspring::kafka::ConsumerScope, mpsc::Receiver<Arc<Batch>>) {
    let scope = service.component::<KafkaConsumerComponent>(CONSUMER).consumer().expect("nobody has it");
    let (tx, rx) = mpsc::channel(1);
    let started = scope.start(move |batch: Batch| {
        let (tx, batch) = (tx.clone(), Arc::new(batch));
        async move { tx.send(batch).await }
    });
    started.expect("it is not running");
    (scope, rx)
}

#[test]
fn offsets_of_a_group_are_committed_with_the_transaction_and_not_without() {
    let client: &Client = shared();
    let (orders, bills) = (unique_name("orders"), unique_name("bills"));
    let (group, id) = (unique_name("group"), unique_name("id"));
    client.create_topic(&orders, 1).expect("the topic is new");
    client.create_topic(&bills, 1).expect("the topic is new");
    client.write_all(&orders, [("", "1"), ("", "2"), ("", "3")]).expect("it is written");
    let consumer = format!(
        "group_id: {group}\ntopics: [{orders}]\nmax_batch_size: 3\npoll_timeout: 10s\n\
         rd_kafka_custom_options: {{session.timeout.ms: '6000'}}"
    );
    let keys = format!("transactional_id: {id}");
    let service = service(client.bootstrap_servers(), &[(PRODUCER, &keys)], Some(&consumer));
    let producer = producer(&service, PRODUCER);
    let (scope, mut batches) = hand_out(&service);
    let bill = |payload: &'static str| Record::to(bills.clone()).with_payload(payload);
    service.block_on(async {
        let batch = timeout(DEADLINE, batches.recv()).await.expect("it comes").expect("it goes on");
        assert_eq!(batch.len(), 3);
        let transaction = producer.begin().await.expect("the broker is there");
        transaction.send(bill("aborted")).await.expect("it is stored");
        transaction.send_offsets(&batch).await.expect("the partition is ours");
        transaction.abort().await.expect("the broker is there");
        assert_eq!(client.committed(&group, &orders).expect("it answers").get(&0), None);

        let transaction = producer.begin().await.expect("the one before has ended");
        transaction.send(bill("committed")).await.expect("it is stored");
        transaction.send_offsets(&batch).await.expect("the partition is ours");
        transaction.commit().await.expect("nothing stands against it");
        assert_eq!(client.committed(&group, &orders).expect("it answers").get(&0), Some(&3));

        // A member that has left its group has nothing to say any more.
        scope.stop().await;
        let transaction = producer.begin().await.expect("the one before has ended");
        let error = transaction.send_offsets(&batch).await.expect_err("the partition is not ours");
        assert!(matches!(error, TransactionError::Offsets(_)), "{error:?}");
        let error = transaction.commit().await.expect_err("offsets are missing");
        assert!(matches!(error, TransactionError::Offsets(_)), "{error:?}");
    });
    assert_eq!(committed(client, &bills, 1), ["committed"]);
}

#[test]
fn transactions_stand_in_line_and_whoever_waits_too_long_is_told() {
    let client: &Client = shared();
    let (topic, id) = (unique_name("orders"), unique_name("id"));
    client.create_topic(&topic, 1).expect("the topic is new");
    let keys = format!("transactional_id: {id}\ntransaction_timeout: 3s\ndelivery_timeout: 3s");
    let service = service(client.bootstrap_servers(), &[(PRODUCER, &keys)], None);
    let producer = producer(&service, PRODUCER);
    service.block_on(async {
        let transaction = producer.begin().await.expect("the broker is there");
        let error = producer.begin().await.expect_err("the first one is open");
        assert!(matches!(error, TransactionError::Retriable(_)), "{error:?}");
        assert!(error.is_retryable());
        // It has outlasted its time, so it is aborted.
        let error = transaction.commit().await.expect_err("it is too late");
        assert_eq!(error.class(), TransactionErrorClass::Abortable, "{error:?}");

        let waits = producer.begin();
        let transaction = waits.await.expect("the first one has ended");
        let both = async { tokio::join!(producer.begin(), transaction.commit()) };
        let (second, first) = timeout(Duration::from_secs(60), both).await.expect("it ends");
        first.expect("there is nothing in it");
        drop(second.expect("its turn came"));
    });
}

#[test]
fn transactions_wait_for_a_broker_that_comes_later() {
    let mut broker = Broker::start(BrokerOptions::default()).expect("it starts");
    broker.create_topic("orders", 1).expect("the topic is new");
    let brokers = broker.bootstrap_servers().to_owned();
    broker.stop().expect("it stops");
    let service = service(&brokers, &[(PRODUCER, "transactional_id: one")], None);
    let producer = producer(&service, PRODUCER);
    service.block_on(async {
        let mut begin = Box::pin(producer.begin());
        assert!(timeout(Duration::from_millis(500), &mut begin).await.is_err());
        broker.restart().expect("it starts again");
        let transaction = begin.await.expect("the broker is there");
        transaction.send(Record::to("orders").with_payload("one")).await.expect("it is stored");
        // It goes on when the commit finds nobody, too.
        broker.stop().expect("it stops");
        let mut commit = Box::pin(transaction.commit());
        assert!(timeout(Duration::from_secs(2), &mut commit).await.is_err());
        broker.restart().expect("it starts again");
        commit.await.expect("the broker is there again");
    });
    eventually("the record", || committed(&broker, "orders", 1), |seen| *seen == ["one"]);
}

#[test]
fn a_batch_that_has_failed_cannot_be_part_of_a_transaction() {
    let client: &Client = shared();
    let (orders, group, id) = (unique_name("orders"), unique_name("group"), unique_name("id"));
    client.create_topic(&orders, 1).expect("the topic is new");
    client.write_all(&orders, [("", "1")]).expect("it is written");
    let consumer = format!("group_id: {group}\ntopics: [{orders}]\nrestart_after_failure_delay: 1h");
    let keys = format!("transactional_id: {id}");
    let service = service(client.bootstrap_servers(), &[(PRODUCER, &keys)], Some(&consumer));
    let producer = producer(&service, PRODUCER);
    let scope = service.component::<KafkaConsumerComponent>(CONSUMER).consumer().expect("nobody has it");
    let (tx, mut batches) = mpsc::channel(1);
    let started = scope.start(move |batch: Batch| {
        let tx = tx.clone();
        async move {
            tx.send(batch).await.expect("the test goes on");
            Err::<(), _>(std::io::Error::other("not today"))
        }
    });
    started.expect("it is not running");
    service.block_on(async {
        let batch = timeout(DEADLINE, batches.recv()).await.expect("it comes").expect("it goes on");
        let failed = || service.log().iter().any(|line| line.contains("Batch failed"));
        eventually("the batch to fail", failed, |failed| *failed);
        let transaction = producer.begin().await.expect("the broker is there");
        let error = transaction.send_offsets(&batch).await.expect_err("the batch has failed");
        assert!(matches!(error, TransactionError::Offsets(CommitError::Revoked { .. })), "{error:?}");
        assert_eq!(transaction.commit().await.expect_err("offsets are missing"), error);
    });
    assert_eq!(client.committed(&group, &orders).expect("it answers").get(&0), None);
    drop(scope);
}

#[test]
fn a_callback_that_fails_after_its_commit_is_not_given_the_batch_again() {
    let client: &Client = shared();
    let (orders, group, id) = (unique_name("orders"), unique_name("group"), unique_name("id"));
    client.create_topic(&orders, 1).expect("the topic is new");
    client.write_all(&orders, ["1", "2", "3", "4"].map(|payload| ("", payload))).expect("it is written");
    let consumer = format!(
        "group_id: {group}\ntopics: [{orders}]\nmax_batch_size: 1\nrestart_after_failure_delay: 50ms\n\
         rd_kafka_custom_options: {{session.timeout.ms: '6000'}}"
    );
    let keys = format!("transactional_id: {id}");
    let service = service(client.bootstrap_servers(), &[(PRODUCER, &keys)], Some(&consumer));
    let producer = producer(&service, PRODUCER);
    let scope = service.component::<KafkaConsumerComponent>(CONSUMER).consumer().expect("nobody has it");
    let (tx, mut offsets) = mpsc::channel(16);
    let started = scope.start(move |batch: Batch| {
        let (tx, producer) = (tx.clone(), producer.clone());
        async move {
            let offset = batch.iter().next().expect("it is not empty").offset();
            tx.send(offset).await.expect("the test goes on");
            let transaction = producer.begin().await.expect("the broker is there");
            transaction.send_offsets(&batch).await.expect("the partition is ours");
            transaction.commit().await.expect("nothing stands against it");
            Err::<(), _>(std::io::Error::other("not today"))
        }
    });
    started.expect("it is not running");
    let seen = service.block_on(async {
        let mut seen = Vec::new();
        while seen.len() < 4 {
            seen.push(timeout(DEADLINE, offsets.recv()).await.expect("it comes").expect("it goes on"));
        }
        seen
    });
    assert_eq!(seen, [0, 1, 2, 3]);
    let committed = || client.committed(&group, &orders).expect("it answers").get(&0).copied();
    eventually("the last commit", committed, |offset| *offset == Some(4));
    drop(scope);
}

#[test]
fn a_commit_without_an_answer_has_no_known_end_and_another_client_goes_on() {
    // A node that its controller takes for dead skips the markers that end transactions in its partitions, and they stay open.
    let options = BrokerOptions::default().with_property("broker.session.timeout.ms", 60_000);
    let mut broker = Broker::start(options).expect("it starts");
    broker.create_topic("orders", 1).expect("the topic is new");
    broker.create_topic("bills", 1).expect("the topic is new");
    broker.write_all("orders", [("", "1"), ("", "2")]).expect("it is written");
    let consumer = "group_id: g\ntopics: [orders]\nmax_batch_size: 1\nrestart_after_failure_delay: 50ms\n\
                    rd_kafka_custom_options: {session.timeout.ms: '6000'}";
    let keys = "transactional_id: one\ntransaction_timeout: 4s\ndelivery_timeout: 3s";
    let service = service(broker.bootstrap_servers(), &[(PRODUCER, keys)], Some(consumer));
    let producer = producer(&service, PRODUCER);
    let (_scope, mut batches) = hand_out(&service);
    service.block_on(async {
        let batch = timeout(DEADLINE, batches.recv()).await.expect("it comes").expect("it goes on");
        let transaction = producer.begin().await.expect("the broker is there");
        transaction.send(Record::to("bills").with_payload("first")).await.expect("it is stored");
        transaction.send_offsets(&batch).await.expect("the partition is ours");
        broker.pause().expect("it runs");
        let error = transaction.commit().await.expect_err("nobody answers");
        assert!(matches!(error, TransactionError::Unresolved(_)), "{error:?}");
        assert_eq!(error.class(), TransactionErrorClass::Unresolved);
        assert!(!error.is_retryable());
        broker.resume().expect("it is frozen");

        let deadline = tokio::time::Instant::now() + DEADLINE;
        let transaction = loop {
            match producer.begin().await {
                Ok(transaction) => break transaction,
                Err(error) if deadline < tokio::time::Instant::now() => panic!("{error}"),
                Err(error) => assert_eq!(error.class(), TransactionErrorClass::Retriable, "{error:?}"),
            }
        };
        transaction.send(Record::to("bills").with_payload("second")).await.expect("it is stored");
        transaction.commit().await.expect("nothing stands against it");
    });
    // The one and the other together, whichever it was.
    let bills = committed(&broker, "bills", 1);
    let offset = broker.committed("g", "orders").expect("it answers").get(&0).copied();
    match offset {
        None => assert_eq!(bills, ["second"]),
        Some(next) => assert_eq!((bills, next), (vec!["first".to_owned(), "second".to_owned()], 1)),
    }
    let log = service.log().join("\n");
    assert_eq!(log.matches("Transaction has no known end").count(), 1, "{log}");
    assert_eq!(
        log.matches("A transaction with offsets of this consumer has no known end").count(),
        1,
        "{log}"
    );
}
