//! A broker that answers nobody for a while: memory stays within its bound, and whoever sends gets a fair share.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use futures_util::future::join_all;
use mainspring::kafka::Record;
use mainspring_kafka_broker::{Broker, BrokerOptions};
use mainspring_testsuite::eventually;

use super::{producer, producing};

const SIZE: usize = 10_000;

#[test]
fn memory_stays_within_its_bound_while_a_broker_stands_still_and_senders_share_fairly() {
    const SENDERS: u32 = 50;
    const EACH: u32 = 100;
    let mut broker = Broker::start(BrokerOptions::default()).expect("it starts");
    broker.create_topic("standstill", 1).expect("the topic is new");
    let keys = "queue_buffering_max_kbytes: 1024\nqueue_buffering_max: 0s\ndelivery_timeout: 5m\nstatistics_interval: 50ms";
    let service = producing(broker.bootstrap_servers(), keys);
    let producer = producer(&service);
    let send = || producer.send(Record::to("standstill").with_payload(vec![7_u8; SIZE]));
    service.block_on(send()).expect("the broker takes it");
    broker.pause().expect("it runs");

    let sent: Vec<_> = (0..SENDERS).map(|_| AtomicU32::new(0)).collect();
    let counts = || sent.iter().map(|sent| sent.load(Ordering::Relaxed)).collect::<Vec<_>>();
    let total = || counts().iter().sum::<u32>();
    let fifty_megabytes = || {
        service.block_on(join_all(sent.iter().map(|sent| async {
            // Ten at a time, so that together they want far more than there is room for.
            for _ in 0..EACH / 10 {
                for answer in join_all((0..10).map(|_| send())).await {
                    answer.expect("it waits for the broker");
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            }
        })));
    };
    thread::scope(|scope| {
        let sending = scope.spawn(fifty_megabytes);
        let queued = || -> f64 {
            let metrics = service.metrics();
            let line = "kafka_producer_queue_bytes{component=\"kafka-producer\"} ";
            let bytes = metrics.lines().find_map(|metric| metric.strip_prefix(line)?.parse().ok());
            bytes.unwrap_or_default()
        };
        let queued = eventually("a full queue", queued, |bytes| 1000.0 * 1024.0 < *bytes);
        assert!(queued <= 1024.0 * 1024.0, "{queued}");
        let in_flight = producer.in_flight();
        assert!(in_flight * SIZE <= 1024 * 1024, "{in_flight}");
        assert_eq!(total(), 0, "nothing is acknowledged");
        broker.resume().expect("it was paused");
        // Somewhere in the middle all have about as much.
        eventually("half of all", total, |total| SENDERS * EACH / 2 <= *total);
        let counts = counts();
        let (least, most) = (counts.iter().min().copied(), counts.iter().max().copied());
        assert!(most <= least.map(|least| 2 * least + 20), "{counts:?}");
        sending.join().expect("all are sent");
    });
    assert!(counts().iter().all(|count| *count == EACH), "{:?}", counts());
    assert_eq!(producer.in_flight(), 0);
}
