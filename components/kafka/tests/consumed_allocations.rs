//! How often our code asks for memory per consumed message. It counts all threads, so there is one test here and nothing
//! beside it; librdkafka's own memory is not counted.

#[path = "it/support.rs"]
#[expect(dead_code, reason = "it needs the cluster only")]
mod support;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mainspring_core::ComponentList;
use mainspring_kafka::{Batch, KafkaConsumerComponent};
use mainspring_kafka_ffi::{ClientConfig, CountingAllocator, MockCluster, Producer, Record};
use mainspring_testsuite::{TestService, eventually};

use crate::support::{with_brokers, with_secdist};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

const MESSAGES: u64 = 100_000;

/// Messages after which everything that grows has grown.
const WARM: u64 = 40_000;

/// What the rest may ask for: of other threads, and, for each fetch of 500 messages and more, of ours.
const SLACK: u64 = 5_000;

/// Puts messages with this many keys into the topic `t`.
fn fill(cluster: &MockCluster, keys: u64) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &cluster.bootstrap_servers()).expect("it is known");
    config.set("linger.ms", "5").expect("it is known");
    let producer = Producer::new(config).expect("threads are left");
    let topic = producer.topic("t").expect("the name is fine");
    for number in 0..MESSAGES {
        let record = Record::new(bytes::Bytes::from_static(&[b'x'; 100]))
            .with_key(bytes::Bytes::from((number % keys).to_string()));
        drop(producer.send(&topic, record).expect("the queue has room for all"));
    }
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    eventually(
        "acknowledgements",
        || {
            while producer.poll_events(&mut cx, &mut |_| ()).is_ready() {}
            producer.in_flight()
        },
        |in_flight| *in_flight == 0,
    );
}

/// Allocations from the moment when the first messages have come to the one when all have.
fn check(options: &str) {
    let cluster = MockCluster::new(1).expect("a thread and a port are left");
    cluster.create_topic("t", 4, 1).expect("the topic is new");
    fill(&cluster, 1000);
    let section = format!(
        "security_protocol: PLAINTEXT\ngroup_id: g\ntopics: [t]\nstatistics_interval: 0s\noperation_log_level: none\nmax_batch_size: 500\n\
         rd_kafka_custom_options: {{group.protocol: consumer}}\n{options}"
    );
    let list = with_secdist(ComponentList::minimal()).append_default::<KafkaConsumerComponent>();
    let builder = TestService::new(list).with_component("kafka-consumer", &section);
    let service = with_brokers(builder, &cluster.bootstrap_servers(), &["kafka-consumer"]).start();
    let (seen, warm, done) = (AtomicU64::new(0), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (at_warm, at_end) = (Arc::clone(&warm), Arc::clone(&done));
    let scope = service.component::<KafkaConsumerComponent>("kafka-consumer").consumer().expect("it is free");
    let callback = move |batch: Batch| {
        let length = u64::try_from(batch.len()).expect("it is small");
        let before = seen.fetch_add(length, Ordering::Relaxed);
        if before < WARM && WARM <= before + length {
            at_warm.store(ALLOCATOR.count(), Ordering::Relaxed);
        }
        if before + length == MESSAGES {
            at_end.store(ALLOCATOR.count(), Ordering::Release);
        }
        std::future::ready(Ok::<(), Infallible>(()))
    };
    service.block_on(async { scope.start(callback) }).expect("it runs only once");
    eventually("all messages", || done.load(Ordering::Acquire), |done| 0 < *done);
    let allocations = done.load(Ordering::Acquire) - warm.load(Ordering::Relaxed);
    let messages = MESSAGES - WARM;
    assert!(allocations <= SLACK, "{options}: {allocations} allocations for {messages} messages");
    service.block_on(scope.stop());
}

#[test]
fn a_consumed_message_costs_no_allocation_in_any_mode() {
    check("");
    // Here nearly every batch has one message.
    check("concurrency: {mode: key, max: 4}");
    check("concurrency: {mode: unordered, max: 4}");
}
