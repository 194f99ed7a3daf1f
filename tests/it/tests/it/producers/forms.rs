//! What is sent is what is read, whatever it is made of.

use std::convert::Infallible;
use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use mainspring::kafka::{Batch, KafkaConsumerComponent, Record};
use mainspring::prelude::*;
use mainspring::secdist::{DefaultSecdistProvider, SecdistComponent};
use mainspring_kafka_broker::{Client, shared, unique_name};
use mainspring_testsuite::{DEADLINE, TestService, eventually};

use super::{producer, producing};

/// A message as a consumer of ours has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    partition: i32,
    key: Option<Vec<u8>>,
    payload: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    timestamp: Option<SystemTime>,
}

/// Reads the topic from its start, in the order of partitions and offsets.
#[track_caller]
fn read(brokers: &str, topic: &str, count: usize) -> Vec<Seen> {
    let list = ComponentList::minimal()
        .append_default::<DefaultSecdistProvider>()
        .append_default::<SecdistComponent>()
        .append_default::<KafkaConsumerComponent>();
    let secdist = format!(r#"{{"kafka_settings": {{"kafka-consumer": {{"brokers": "{brokers}"}}}}}}"#);
    let section = format!(
        "security_protocol: PLAINTEXT\ngroup_id: {}\ntopics: [{topic}]\npoll_timeout: 20ms\n",
        unique_name("readers")
    );
    let service = TestService::new(list)
        .with_env("SECDIST_CONFIG", secdist)
        .with_component("default-secdist-provider", "environment-secrets-key: SECDIST_CONFIG")
        .with_component("kafka-consumer", &section)
        .start();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let component: Arc<KafkaConsumerComponent> = service.component("kafka-consumer");
    let scope = component.consumer().expect("nobody has it");
    let into = Arc::clone(&seen);
    let started = scope.start(move |batch: Batch| {
        let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        let messages = batch.iter().map(|message| {
            let headers = message.headers().map(|(name, value)| (name.to_owned(), owned(value))).collect();
            let seen = Seen {
                partition: message.partition(),
                key: owned(message.key()),
                payload: owned(message.payload()),
                headers,
                timestamp: message.timestamp(),
            };
            (message.partition(), message.offset(), seen)
        });
        into.lock().expect("nobody panics with it").extend(messages);
        ready(Ok::<_, Infallible>(()))
    });
    started.expect("it is not running yet");
    eventually("all messages", || seen.lock().expect("as above").len(), |len| count <= *len);
    service.block_on(scope.stop());
    drop((scope, component));
    service.stop();
    let mut seen = std::mem::take(&mut *seen.lock().expect("as above"));
    seen.sort_by_key(|(partition, offset, _)| (*partition, *offset));
    seen.into_iter().map(|(_, _, seen)| seen).collect()
}

/// Memory of our own that a payload lends without giving it away.
struct Owned(Vec<u8>);

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[test]
fn every_form_of_a_record_makes_the_round_trip() {
    let broker = shared();
    let topic = unique_name("forms");
    broker.create_topic(&topic, 2).expect("the topic is new");
    let service = producing(broker.bootstrap_servers(), "");
    let sent = producer(&service);
    let created = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    let record = |payload: &'static str| Record::to(topic.clone()).with_partition(0).with_payload(payload);
    let full = record("full")
        .with_key("key")
        .with_header("trace", "abc")
        .with_header("trace", vec![0, 255])
        .with_header("empty", "")
        .with_timestamp(created);
    let from_owner = bytes::Bytes::from_owner(Owned(b"owned".to_vec()));
    let records = vec![
        record("static"),
        record("").with_key(""),
        Record::to(topic.clone()).with_partition(0).with_key("gone"),
        Record::to(topic.clone()).with_partition(0).with_payload(vec![7; 3]),
        Record::to(topic.clone()).with_partition(0).with_payload(String::from("text")),
        Record::to(topic.clone()).with_partition(0).with_payload(from_owner),
        full,
        record("elsewhere").with_partition(1),
    ];
    let before = SystemTime::now() - Duration::from_secs(60);
    service.block_on(async {
        // One by one, and as a batch: both ways give the same.
        for record in records.clone() {
            sent.send(record).await.expect("the broker takes it");
        }
        let deliveries = sent.send_batch(records.clone()).await.expect("the broker takes them");
        let offsets: Vec<_> =
            deliveries.iter().map(|delivery| (delivery.partition, delivery.offset)).collect();
        let expected: Vec<_> = (7..14).map(|offset| (0, Some(offset))).chain([(1, Some(1))]).collect();
        assert_eq!(offsets, expected);
        assert!(deliveries.iter().all(|delivery| delivery.timestamp.is_some()));
    });

    let seen = read(broker.bootstrap_servers(), &topic, 16);
    let some = |bytes: &[u8]| Some(bytes.to_vec());
    let expected = [
        (None, some(b"static")),
        (some(b""), some(b"")),
        (some(b"gone"), None),
        (None, some(&[7; 3])),
        (None, some(b"text")),
        (None, some(b"owned")),
        (some(b"key"), some(b"full")),
    ];
    let got: Vec<_> = seen.iter().map(|seen| (seen.key.clone(), seen.payload.clone())).collect();
    assert_eq!(got[..7], expected);
    assert_eq!(got[7..14], expected);
    let headers = [("trace", some(b"abc")), ("trace", some(&[0, 255])), ("empty", some(b""))];
    for idx in [6, 13] {
        assert_eq!(seen[idx].timestamp, Some(created));
        assert!(seen[idx].headers.iter().map(|(name, value)| (&**name, value.clone())).eq(headers.clone()));
    }
    assert!(seen[0].headers.is_empty() && before < seen[0].timestamp.expect("the topic keeps times"));
    assert_eq!((seen[14].partition, seen[14].payload.clone()), (1, some(b"elsewhere")));
}

#[test]
fn every_codec_makes_the_round_trip() {
    let broker = shared();
    let client = Client::new(broker.bootstrap_servers());
    let sizes: Vec<f64> =
        ["none", "gzip\ncompression_level: 9", "snappy", "lz4\ncompression_level: 12", "zstd"]
            .map(|codec| {
                let topic = unique_name("codec");
                client.create_topic(&topic, 1).expect("the topic is new");
                let keys =
                    format!("queue_buffering_max: 50ms\nstatistics_interval: 50ms\ncompression: {codec}");
                let service = producing(broker.bootstrap_servers(), &keys);
                let payload = |number: usize| format!("{number:05} {}", "the same again ".repeat(20));
                let records = (0..1000).map(|number| Record::to(topic.clone()).with_payload(payload(number)));
                service.block_on(producer(&service).send_batch(records)).expect("the broker takes them");
                let read = client.read_all(&topic, 1000, DEADLINE).expect("it can be read");
                assert!(
                    read.iter().enumerate().all(|(idx, record)| record.payload == payload(idx).into_bytes()),
                    "{codec}"
                );
                let sum = format!(
                    "kafka_producer_batch_size_bytes_sum{{component=\"kafka-producer\",topic=\"{topic}\"}} "
                );
                let sent = || -> Option<f64> {
                    service.metrics().lines().find_map(|line| line.strip_prefix(&sum)?.parse().ok())
                };
                eventually("the size of batches", sent, |sent| sent.is_some_and(|sent| 0.0 < sent))
                    .expect("it is there")
            })
            .into();
    for compressed in &sizes[1..] {
        assert!(10.0 * compressed < sizes[0], "{sizes:?}");
    }
}
