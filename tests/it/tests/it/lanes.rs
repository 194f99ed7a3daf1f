//! Callbacks at the same time, on a real broker: order within a key, what is committed, membership, and memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainspring::kafka::{Batch, ConsumerScope, KafkaConsumerComponent};
use mainspring::prelude::{CommonComponents as _, Component as _, ComponentList};
use mainspring_kafka_broker::{Client, shared, unique_name};
use mainspring_testsuite::{TestService, eventually};
use tokio::sync::Semaphore;

const CONSUMER: &str = KafkaConsumerComponent::DEFAULT_NAME;

/// A service with a consumer; `keys` are lines of its section.
#[track_caller]
fn service(client: &Client, topic: &str, group: &str, keys: &str) -> TestService {
    let brokers = client.bootstrap_servers();
    let secdist = format!(r#"{{"kafka_settings": {{"{CONSUMER}": {{"brokers": "{brokers}"}}}}}}"#);
    let section = format!(
        "security_protocol: PLAINTEXT\ntopics: [{topic}]\ngroup_id: {group}\nstatistics_interval: 200ms\n\
         restart_after_failure_delay: 50ms\n{keys}"
    );
    TestService::new(ComponentList::common().append_default::<KafkaConsumerComponent>())
        .with_file("secdist.json", secdist)
        .with_component("secdist", "{}")
        .with_component("default-secdist-provider", "config: secdist.json")
        .with_component(CONSUMER, &section)
        .start()
}

fn consumer(service: &TestService) -> ConsumerScope {
    service.component::<KafkaConsumerComponent>(CONSUMER).consumer().expect("nobody else has it")
}

/// The sum of a family's series.
fn metric(service: &TestService, family: &str) -> f64 {
    let text = service.metrics();
    let lines = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(family));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// A message: partition, offset, key and payload.
type Entry = (i32, i64, String, String);

/// What callbacks were done with.
#[derive(Debug, Clone, Default)]
struct Journal(Arc<Mutex<Vec<Entry>>>);

impl Journal {
    fn note(&self, batch: &Batch) {
        let text = |bytes: Option<&[u8]>| {
            String::from_utf8(bytes.unwrap_or_default().to_vec()).expect("text was written")
        };
        let entries = batch.iter().map(|message| {
            (message.partition(), message.offset(), text(message.key()), text(message.payload()))
        });
        self.0.lock().expect("no test panics while it holds it").extend(entries);
    }

    fn entries(&self) -> Vec<Entry> {
        self.0.lock().expect("no test panics while it holds it").clone()
    }

    fn len(&self) -> usize {
        self.0.lock().expect("no test panics while it holds it").len()
    }
}

/// How many messages of each partition were done, and that none was done twice.
#[track_caller]
fn ends(entries: &[Entry]) -> BTreeMap<i32, i64> {
    let mut offsets: BTreeMap<i32, BTreeSet<i64>> = BTreeMap::new();
    for (partition, offset, ..) in entries {
        assert!(offsets.entry(*partition).or_default().insert(*offset), "{partition}:{offset} came twice");
    }
    let mut ends = BTreeMap::new();
    for (partition, offsets) in offsets {
        let n_offsets = i64::try_from(offsets.len()).expect("there are not that many");
        assert!(offsets.into_iter().eq(0..n_offsets), "something of {partition} is missing");
        ends.insert(partition, n_offsets);
    }
    ends
}

#[test]
fn keys_keep_their_order_whatever_is_slow_or_fails_and_only_what_is_done_is_committed() {
    let client: &Client = shared();
    let (topic, group) = (unique_name("orders"), unique_name("accountants"));
    client.create_topic(&topic, 4).expect("the topic is new");
    let record = |n: usize| (format!("key-{}", n % 100), n.to_string());
    client.write_all(&topic, (0..10_000).map(record)).expect("it is written");

    let keys = "concurrency: {mode: key, max: 8, max_pending_per_partition: 10000}\nmax_batch_size: 20";
    let service = service(client, &topic, &group, keys);
    let (journal, slow, calls) =
        (Journal::default(), Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (noted, waits, counted) = (journal.clone(), Arc::clone(&slow), Arc::clone(&calls));
    let scope = consumer(&service);
    let callback = move |batch: Batch| {
        let (noted, waits, counted) = (noted.clone(), Arc::clone(&waits), Arc::clone(&counted));
        async move {
            if batch.iter().any(|message| message.key() == Some(b"key-42")) {
                waits.acquire().await.expect("it is never closed").forget();
            }
            match counted.fetch_add(1, Ordering::SeqCst) % 50 {
                10 => return Err("on purpose"),
                30 => panic!("on purpose"),
                _ => {}
            }
            noted.note(&batch);
            Ok(())
        }
    };
    service.block_on(async { scope.start(callback) }).expect("it runs only once");
    eventually("all other keys", || journal.len(), |count| *count == 9900);
    let first_slow = {
        let entries = journal.entries();
        assert!(entries.iter().all(|(_, _, key, _)| key != "key-42"));
        let partition = (0..4).find(|partition| {
            let n_of_partition = entries.iter().filter(|(of, ..)| of == partition).count();
            let last = entries.iter().filter(|(of, ..)| of == partition).map(|(_, offset, ..)| *offset).max();
            last.is_some_and(|last| i64::try_from(n_of_partition).expect("few") <= last)
        });
        let partition = partition.expect("the slow key leaves gaps");
        let done: BTreeSet<_> =
            entries.iter().filter(|(of, ..)| *of == partition).map(|(_, offset, ..)| *offset).collect();
        let gap = (0..).find(|offset| !done.contains(offset)).expect("it has gaps");
        (partition, gap)
    };
    let committed = || {
        drop(scope.async_commit());
        client.committed(&group, &topic).expect("the group is known")
    };
    eventually("commits up to the slow key", committed, |committed| {
        let of_slow = committed.get(&first_slow.0).copied().unwrap_or_default();
        assert!(of_slow <= first_slow.1, "{of_slow} is beyond {first_slow:?}, which is not done");
        of_slow == first_slow.1
    });

    slow.add_permits(1_000_000);
    eventually("the slow key", || journal.len(), |count| *count == 10_000);
    let entries = journal.entries();
    let ends = ends(&entries);
    let mut by_key: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (_, _, key, payload) in &entries {
        by_key.entry(key).or_default().push(payload.parse().expect("numbers were written"));
    }
    assert_eq!(by_key.len(), 100);
    for (key, numbers) in by_key {
        assert!(numbers.is_sorted(), "{key}: {numbers:?}");
    }
    eventually("everything to be committed", committed, |committed| *committed == ends);
    assert!(10.0 < metric(&service, "kafka_consumer_restarts_total"), "callbacks failed");
    service.block_on(scope.stop());
}

#[test]
fn a_callback_slower_than_the_session_keeps_its_membership_while_others_go_on() {
    let client: &Client = shared();
    let (topic, group) = (unique_name("orders"), unique_name("accountants"));
    client.create_topic(&topic, 1).expect("the topic is new");
    let record = |n: usize| (format!("key-{}", n % 10), n.to_string());
    client.write_all(&topic, (0..100).map(record)).expect("it is written");
    let keys = "concurrency: {mode: key, max: 4}\nmax_batch_size: 20\nmax_callback_duration: 7s\n\
                rd_kafka_custom_options: {session.timeout.ms: '6000', heartbeat.interval.ms: '500'}";
    let service = service(client, &topic, &group, keys);
    let journal = Journal::default();
    let noted = journal.clone();
    let scope = consumer(&service);
    let callback = move |batch: Batch| {
        let noted = noted.clone();
        async move {
            if batch.iter().any(|message| message.offset() == 3) {
                // Longer than the session, and all but as long as callbacks may take.
                tokio::time::sleep(Duration::from_millis(6500)).await;
            }
            noted.note(&batch);
            batch.commit().await
        }
    };
    service.block_on(async { scope.start(callback) }).expect("it runs only once");
    eventually("the other keys", || journal.len(), |count| 90 <= *count);
    client.write_all(&topic, (100..200).map(record)).expect("it is written");
    eventually("what came meanwhile", || journal.len(), |count| 180 <= *count);
    eventually("the slow key", || journal.len(), |count| *count == 200);
    let entries = journal.entries();
    assert_eq!(ends(&entries), BTreeMap::from([(0, 200)]));
    let of_slow: Vec<_> =
        entries.iter().filter(|(_, _, key, _)| key == "key-3").map(|(_, offset, ..)| *offset).collect();
    assert_eq!(of_slow, (3..200).step_by(10).collect::<Vec<_>>());
    let committed = || client.committed(&group, &topic).expect("the group is known");
    eventually("commits", committed, |committed| *committed == BTreeMap::from([(0, 200)]));
    assert_eq!(metric(&service, "kafka_consumer_rebalances_total"), 1.0, "it was never put out");
    assert_eq!(metric(&service, "kafka_consumer_restarts_total"), 0.0);
    service.block_on(scope.stop());
}

#[test]
fn a_stuck_partition_takes_its_share_of_the_memory_and_no_more_and_every_other_one_goes_on() {
    const MIB: f64 = 1_048_576.0;
    let client: &Client = shared();
    let (topic, group) = (unique_name("orders"), unique_name("accountants"));
    client.create_topic(&topic, 16).expect("the topic is new");
    // Of 64 MB one partition has as good as half, twice the budget.
    let payload = |n: usize| format!("{n:0>10000}");
    let key = |n: usize| if n < 3000 { "stuck".to_owned() } else { n.to_string() };
    client.write_all(&topic, (0..6400).map(|n| (key(n), payload(n)))).expect("it is written");
    let keys = "concurrency: {mode: partition, max: 8, max_pending_per_partition: 1000000}\nmax_batch_size: 10\n\
                fetch_memory_max: 16MiB";
    let service = service(client, &topic, &group, keys);
    let (journal, stuck, all) =
        (Journal::default(), Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (noted, waits, starts) = (journal.clone(), Arc::clone(&stuck), Arc::clone(&all));
    let scope = consumer(&service);
    let callback = move |batch: Batch| {
        let (noted, waits, starts) = (noted.clone(), Arc::clone(&waits), Arc::clone(&starts));
        async move {
            drop(starts.acquire().await.expect("it is never closed"));
            if batch.iter().any(|message| message.key() == Some(b"stuck")) {
                drop(waits.acquire().await.expect("it is never closed"));
            }
            noted.note(&batch);
            Ok::<(), std::convert::Infallible>(())
        }
    };
    service.block_on(async { scope.start(callback) }).expect("it runs only once");
    let (mut most_held, mut most) = (0.0_f64, 0.0_f64);
    let mut held_now = || {
        let held = metric(&service, "kafka_consumer_held_bytes");
        most_held = most_held.max(held);
        most = most.max(held + metric(&service, "kafka_consumer_fetch_queue_bytes"));
        held
    };
    // While no callback ends, half of the budget is held, and librdkafka holds what it may.
    eventually("the budget to be used", &mut held_now, |held| 7.0 * MIB <= *held);
    all.add_permits(1);
    let others = |n_records: usize| {
        let stored =
            client.read_all(&topic, n_records, mainspring_testsuite::DEADLINE).expect("it was written");
        let of_stuck = stored.iter().find(|record| record.key == b"stuck").expect("there are many").partition;
        (of_stuck, stored.iter().filter(|record| record.partition != of_stuck).count())
    };
    let mut done_by_others = |of_stuck: i32| {
        held_now();
        journal.entries().iter().filter(|(partition, ..)| *partition != of_stuck).count()
    };
    let (of_stuck, n_others) = others(6400);
    eventually("every other partition", || done_by_others(of_stuck), |done| *done == n_others);
    // By now the stuck one has all that it may have, and there is still room for what comes.
    client.write_all(&topic, (6400..7400).map(|n| (key(n), payload(n)))).expect("it is written");
    let (_, n_others) = others(7400);
    eventually("what comes later", || done_by_others(of_stuck), |done| *done == n_others);
    assert!(most_held <= 8.5 * MIB, "{most_held} bytes were held");
    assert!(most <= 16.0 * MIB, "{most} bytes in all");
    assert_eq!(metric(&service, "kafka_consumer_fetch_memory_limit_bytes"), 16.0 * MIB);
    stuck.add_permits(1);
    eventually("the stuck partition", || journal.len(), |count| *count == 7400);
    ends(&journal.entries());
    service.block_on(scope.stop());
}
