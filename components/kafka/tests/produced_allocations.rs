//! How often our code asks for memory per record. It counts all threads, so there is one test here and nothing beside it;
//! librdkafka's own memory is not counted.

#[path = "it/support.rs"]
#[expect(dead_code, reason = "it needs the producing half")]
mod support;

use mainspring_kafka::{Producer, Record, SendFuture};
use mainspring_kafka_ffi::{CountingAllocator, MockCluster};
use mainspring_testsuite::TestService;

use crate::support::{producer, producing};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

const RECORDS: u64 = 20_000;

/// What other threads may ask for meanwhile: timers, a growing queue of wake-ups.
const SLACK: u64 = 50;

fn record() -> Record {
    Record::to("orders").with_payload("paid").with_key("17")
}

fn counted(work: impl FnOnce()) -> u64 {
    let before = ALLOCATOR.count();
    work();
    ALLOCATOR.count() - before
}

fn send_one_by_one(service: &TestService, producer: &Producer, sent: &mut Vec<SendFuture>) {
    service.block_on(async {
        sent.extend((0..RECORDS).map(|_| producer.send_async(record())));
        for answer in sent.drain(..) {
            answer.await.expect("the broker takes it");
        }
    });
}

#[test]
fn a_record_costs_one_allocation_and_a_batch_a_few_however_long_it_is() {
    let cluster = MockCluster::new(1).expect("a thread and a port are left");
    cluster.create_topic("orders", 1, 1).expect("the topic is new");
    let keys =
        "statistics_interval: 0s\nqueue_buffering_max: 1ms\noperation_log_level: none\ndelivery_timeout: 60s";
    let service = producing(&cluster, keys);
    let producer = producer(&service);
    let mut sent = Vec::with_capacity(usize::try_from(RECORDS).expect("it is small"));
    // The first ones find nothing ready.
    send_one_by_one(&service, &producer, &mut sent);

    let one_by_one = counted(|| send_one_by_one(&service, &producer, &mut sent));
    assert!(one_by_one <= RECORDS + SLACK, "{one_by_one} allocations for {RECORDS} records");

    for length in [100, 10_000, 80_000] {
        let batch = counted(|| {
            let records = (0..length).map(|_| record());
            service.block_on(producer.send_batch(records)).expect("the broker takes them");
        });
        assert!(batch <= SLACK, "{batch} allocations for a batch of {length}");
    }
}
