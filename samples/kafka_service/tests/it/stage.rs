//! What the tests share: topics and a group of their own, services on them, and the ledger of what became of records.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use mainspring_it::{ServiceConfig, ServiceProcess};
use mainspring_kafka_broker::{Client, unique_name};
use mainspring_testsuite::DEADLINE;

use crate::BINARY;
use crate::readme::secdist;

/// Partitions of each topic.
pub(crate) const N_PARTITIONS: i32 = 2;

/// Two topics and a group that nobody else uses.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    pub(crate) client: &'a Client,
    pub(crate) topics: [String; 2],
    pub(crate) group: String,
}

/// Where a message was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

impl Position {
    pub(crate) fn topic_partition(&self) -> (String, i32) {
        (self.topic.clone(), self.partition)
    }
}

/// The offset behind the last of these positions in each of their partitions: what is committed when all are.
pub(crate) fn ends<'a>(positions: impl IntoIterator<Item = &'a Position>) -> BTreeMap<(String, i32), i64> {
    let mut ends = BTreeMap::new();
    for position in positions {
        let end = ends.entry(position.topic_partition()).or_default();
        *end = i64::max(*end, position.offset + 1);
    }
    ends
}

impl<'a> Stage<'a> {
    #[track_caller]
    pub(crate) fn on(client: &'a Client) -> Self {
        let topics = [unique_name("test-topic-1"), unique_name("test-topic-2")];
        for topic in &topics {
            client.create_topic(topic, N_PARTITIONS).expect("the topic is new");
        }
        Self { client, topics, group: unique_name("test-group") }
    }

    /// The configuration for a real Kafka, on these topics and in this group.
    #[track_caller]
    pub(crate) fn config(&self) -> ServiceConfig {
        let [first, second] = &self.topics;
        ServiceConfig::of("kafka_service.yaml")
            .with("group_id: test-group", &format!("group_id: {}", self.group))
            .with("[test-topic-1, test-topic-2]", &format!("[{first}, {second}]"))
    }

    #[track_caller]
    pub(crate) fn start(&self) -> ServiceProcess {
        self.start_with(&self.config())
    }

    #[track_caller]
    pub(crate) fn start_with(&self, config: &ServiceConfig) -> ServiceProcess {
        start_at(self.client.bootstrap_servers(), config)
    }

    /// Everything in the topics, by where it lies.
    #[track_caller]
    pub(crate) fn stored(&self) -> BTreeMap<Position, String> {
        let mut stored = BTreeMap::new();
        for topic in &self.topics {
            for record in self.client.read_all(topic, 0, DEADLINE).expect("the topic can be read") {
                let position =
                    Position { topic: topic.clone(), partition: record.partition, offset: record.offset };
                stored.insert(position, String::from_utf8(record.payload).expect("text was sent"));
            }
        }
        stored
    }

    /// The committed offsets of the group, by topic and partition.
    #[track_caller]
    pub(crate) fn committed(&self) -> BTreeMap<(String, i32), i64> {
        let of_topic = |topic: &String| {
            let offsets = self.client.committed(&self.group, topic).expect("the group can be asked about");
            offsets
                .into_iter()
                .map(|(partition, offset)| ((topic.clone(), partition), offset))
                .collect::<Vec<_>>()
        };
        self.topics.iter().flat_map(of_topic).collect()
    }

    /// Writes one more record to the end of each partition.
    #[track_caller]
    pub(crate) fn mark_ends(&self) {
        for topic in &self.topics {
            for partition in 0..N_PARTITIONS {
                let marker = format!("end of {partition}");
                self.client.write_to(topic, partition, "marker", marker).expect("it is written");
            }
        }
    }

    /// Posts records to both topics from four threads, each record once and with a payload of its own, until `enough`
    /// says so or the service is gone; `meanwhile` is done beside. The payloads that were acknowledged.
    #[track_caller]
    pub(crate) fn traffic(&self, service: &ServiceProcess, meanwhile: impl FnOnce(&Traffic)) -> Vec<String> {
        let traffic = Traffic::default();
        std::thread::scope(|scope| {
            let traffic = &traffic;
            let writers: Vec<_> =
                (0..4).map(|writer| scope.spawn(move || self.write(service, writer, traffic))).collect();
            // Even a panic of it must let the writers end.
            let _ends = EndOnDrop(traffic);
            meanwhile(traffic);
            traffic.end();
            writers.into_iter().flat_map(|writer| writer.join().expect("writers do not panic")).collect()
        })
    }

    fn write(&self, service: &ServiceProcess, writer: usize, traffic: &Traffic) -> Vec<String> {
        let mut acknowledged = Vec::new();
        for n in 0..Traffic::RECORDS_MAX {
            if traffic.ended.load(Ordering::Relaxed) {
                break;
            }
            let payload = format!("{writer}-{n}");
            let topic = &self.topics[n % self.topics.len()];
            let Ok(answer) = service.try_post("/produce", &request(topic, &payload, &payload)) else { break };
            match answer.brief() {
                (200, _) => {
                    acknowledged.push(payload);
                    traffic.acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                // The broker is away, or the service ends.
                (429 | 503, _) => {}
                other => panic!("unexpected answer {other:?}"),
            }
        }
        acknowledged
    }
}

/// Records on their way.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    acknowledged: AtomicUsize,
    ended: AtomicBool,
}

impl Traffic {
    /// From each writer; far more than any test needs.
    const RECORDS_MAX: usize = 100_000;

    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits for this many further acknowledgements.
    #[track_caller]
    pub(crate) fn until_acknowledged(&self, n_records: usize) {
        let goal = self.acknowledged() + n_records;
        mainspring_testsuite::eventually("acknowledgements", || self.acknowledged(), |n| goal <= *n);
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

struct EndOnDrop<'a>(&'a Traffic);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Starts a service whose Kafka is at this address, told as README does it.
#[track_caller]
pub(crate) fn start_at(bootstrap_servers: &str, config: &ServiceConfig) -> ServiceProcess {
    ServiceProcess::start(BINARY, config, &[("SECDIST_CONFIG", &secdist(bootstrap_servers))])
}

/// The body of a `POST /produce`.
pub(crate) fn request(topic: &str, key: &str, payload: &str) -> String {
    format!(r#"{{"topic": "{topic}", "key": "{key}", "payload": "{payload}"}}"#)
}

/// The messages that the consumer handler has logged, in the order of the log.
pub(crate) fn consumed(log: &[String]) -> Vec<Position> {
    let positions = log.iter().filter(|line| line.contains(" Message consumed "));
    positions.map(|line| position(line).unwrap_or_else(|| panic!("no position in `{line}`"))).collect()
}

fn position(line: &str) -> Option<Position> {
    let field = |name: &str| line.split_once(&format!(" {name}="))?.1.split(' ').next();
    Some(Position {
        topic: field("topic")?.to_owned(),
        partition: field("partition")?.parse().ok()?,
        offset: field("offset")?.parse().ok()?,
    })
}

/// How long a service may take to end: 10 s for the batch under way, 20 s for the records in flight (twice
/// `delivery_timeout`), and as much again as a loaded machine may add.
pub(crate) const STOP_LIMIT: Duration = Duration::from_secs(45);

/// Every acknowledged payload is stored exactly once, and no payload twice.
#[track_caller]
pub(crate) fn check_stored_once(stored: &BTreeMap<Position, String>, acknowledged: &[String]) {
    let mut counts = BTreeMap::new();
    for payload in stored.values() {
        *counts.entry(payload).or_insert(0) += 1;
    }
    let twice: Vec<_> = counts.iter().filter(|(_, count)| 1 < **count).collect();
    assert!(twice.is_empty(), "stored more than once: {twice:?}");
    let lost: Vec<_> = acknowledged.iter().filter(|payload| !counts.contains_key(payload)).collect();
    assert!(lost.is_empty(), "acknowledged but not stored: {lost:?}");
}
