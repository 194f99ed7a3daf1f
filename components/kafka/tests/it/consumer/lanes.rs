//! Batches that are processed at the same time: what overtakes what, what is committed, and what comes again.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use mainspring_core::Health;
use mainspring_kafka::Batch;
use mainspring_kafka_ffi::Record;
use tokio::sync::Notify;

use crate::consumer::support::{Journal, Kafka, Running, until, within};

const BY_KEY: &str = "concurrency: {mode: key, max: 4}\nmax_batch_size: 10";

/// Records with these numbers as payload, over `n_keys` keys in turn, all in partition 0.
async fn fill_keys(kafka: &Kafka, numbers: Range<i32>, n_keys: i32) {
    let record = |number: i32| {
        Record::new(Bytes::from(number.to_string()))
            .with_key(Bytes::from(format!("key-{}", number % n_keys)))
            .with_partition(0)
    };
    kafka.send(numbers.map(record)).await;
}

fn committed(service: &Running) -> f64 {
    service.metric("kafka_consumer_committed_offset", &[])
}

/// Commits what is processed until that is `offset`, and not more.
async fn commit_up_to(scope: &mainspring_kafka::ConsumerScope, service: &Running, offset: f64) {
    let look = || {
        drop(scope.async_commit());
        committed(service)
    };
    until("commit", look, |committed| *committed == offset).await;
}

/// The numbers of each key, in the order in which they came.
fn by_key(journal: &Journal, n_keys: i32) -> BTreeMap<i32, Vec<i32>> {
    let mut keys: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for number in journal.numbers() {
        keys.entry(number % n_keys).or_default().push(number);
    }
    keys
}

#[tokio::test]
async fn a_key_that_waits_keeps_no_other_key_waiting_and_holds_back_the_commit() {
    let kafka = Kafka::new(1);
    fill_keys(&kafka, 0..1000, 50).await;
    let service = kafka.service(BY_KEY).await;
    let (journal, release) = (Journal::default(), Arc::new(Notify::new()));
    let (noted, released) = (journal.clone(), Arc::clone(&release));
    let scope = service.scope();
    scope
        .start(move |batch: Batch| {
            let (noted, released) = (noted.clone(), Arc::clone(&released));
            async move {
                let waits = batch.iter().any(|message| message.key() == Some(b"key-7"));
                if waits {
                    released.notified().await;
                }
                noted.note(&batch);
                Ok::<(), Infallible>(())
            }
        })
        .unwrap();
    journal.reached(980).await;
    assert_eq!(by_key(&journal, 50).get(&7), None);
    commit_up_to(&scope, &service, 7.0).await;
    let all = || {
        release.notify_one();
        journal.numbers().len()
    };
    until("the rest", all, |count| *count == 1000).await;
    for (key, numbers) in by_key(&journal, 50) {
        assert!(numbers.iter().copied().eq((key..1000).step_by(50)), "{key}: {numbers:?}");
    }
    commit_up_to(&scope, &service, 1000.0).await;
    assert_eq!(service.metric("kafka_consumer_processed_messages", &[("result", "success")]), 1000.0);
}

#[tokio::test]
async fn callbacks_run_at_the_same_time_up_to_the_limit_and_never_two_of_one_key() {
    let kafka = Kafka::new(1);
    fill_keys(&kafka, 0..400, 8).await;
    let service = kafka.service("concurrency: {mode: key, max: 4}\nmax_batch_size: 3").await;
    let most = Arc::new(AtomicUsize::new(0));
    let running: Arc<Mutex<Vec<Bytes>>> = Arc::default();
    let (journal, overlapping) = (Journal::default(), Arc::new(AtomicUsize::new(0)));
    let scope = service.scope();
    let (noted, seen, keys, overlaps) =
        (journal.clone(), Arc::clone(&most), Arc::clone(&running), Arc::clone(&overlapping));
    scope
        .start(move |batch: Batch| {
            let (noted, seen, keys, overlaps) =
                (noted.clone(), Arc::clone(&seen), Arc::clone(&keys), Arc::clone(&overlaps));
            async move {
                let key = Bytes::copy_from_slice(batch.iter().next().unwrap().key().unwrap());
                assert!(batch.iter().all(|message| message.key() == Some(&key)), "of one key");
                {
                    let mut keys = keys.lock().unwrap();
                    overlaps.fetch_add(usize::from(keys.contains(&key)), Ordering::SeqCst);
                    keys.push(key.clone());
                    seen.fetch_max(keys.len(), Ordering::SeqCst);
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
                noted.note(&batch);
                keys.lock().unwrap().retain(|running| *running != key);
                Ok::<(), Infallible>(())
            }
        })
        .unwrap();
    journal.reached(400).await;
    assert_eq!((most.load(Ordering::SeqCst), overlapping.load(Ordering::SeqCst)), (4, 0));
    assert!(journal.sizes().iter().all(|size| *size <= 3));
    for (key, numbers) in by_key(&journal, 8) {
        assert!(numbers.iter().copied().eq((key..400).step_by(8)), "{key}: {numbers:?}");
    }
}

/// What happens to the batches that fail.
#[derive(Clone, Copy)]
enum Fault {
    Error,
    Panic,
    NeverEnds,
}

async fn check_a_failed_key_comes_again_alone(fault: Fault, options: &str, error_type: &str) {
    let kafka = Kafka::new(1);
    fill_keys(&kafka, 0..200, 10).await;
    let service = kafka.service(&format!("{BY_KEY}\n{options}")).await;
    let (journal, failures) = (Journal::default(), Arc::new(AtomicUsize::new(0)));
    let (noted, failed) = (journal.clone(), Arc::clone(&failures));
    let scope = service.scope();
    scope
        .start(move |batch: Batch| {
            let (noted, failed) = (noted.clone(), Arc::clone(&failed));
            async move {
                let is_bad = batch.iter().any(|message| message.key() == Some(b"key-3"));
                if is_bad && failed.fetch_add(1, Ordering::SeqCst) < 2 {
                    return match fault {
                        Fault::Error => Err("not today"),
                        Fault::Panic => panic!("not today"),
                        Fault::NeverEnds => std::future::pending().await,
                    };
                }
                noted.note(&batch);
                Ok(())
            }
        })
        .unwrap();
    journal.reached(200).await;
    for (key, numbers) in by_key(&journal, 10) {
        assert!(numbers.iter().copied().eq((key..200).step_by(10)), "{key}: {numbers:?}");
    }
    let of_bad_key = journal.numbers().iter().position(|number| number % 10 == 3);
    assert!(Some(180) <= of_bad_key, "the others did not wait: {of_bad_key:?}");
    commit_up_to(&scope, &service, 200.0).await;
    assert_eq!(service.metric("messaging_process_duration_seconds", &[("error_type", error_type)]), 2.0);
    assert_eq!(service.metric("kafka_consumer_restarts", &[("reason", "callback_error")]), 2.0);
    assert_eq!(service.metric("kafka_consumer_rebalances", &[]), 1.0, "the member stays in its group");
    until("health", || service.health(), |health| *health == Health::Ok).await;
}

#[tokio::test]
async fn a_key_whose_callback_returns_an_error_comes_again_and_the_others_go_on() {
    check_a_failed_key_comes_again_alone(Fault::Error, "restart_after_failure_delay: 1s", "error").await;
}

#[tokio::test]
async fn a_key_whose_callback_panics_comes_again_and_the_others_go_on() {
    check_a_failed_key_comes_again_alone(Fault::Panic, "restart_after_failure_delay: 1s", "panic").await;
}

#[tokio::test]
async fn a_key_whose_callback_does_not_end_comes_again_and_the_others_go_on() {
    check_a_failed_key_comes_again_alone(Fault::NeverEnds, "max_callback_duration: 2s", "timeout").await;
}

#[tokio::test]
async fn a_failing_key_is_shown_in_health_and_holds_back_the_commit() {
    let kafka = Kafka::new(1);
    fill_keys(&kafka, 0..20, 10).await;
    let service = kafka.service(&format!("{BY_KEY}\nrestart_after_failure_delay: 1h")).await;
    let journal = Journal::default();
    let noted = journal.clone();
    let scope = service.scope();
    scope
        .start(move |batch: Batch| {
            let noted = noted.clone();
            async move {
                if batch.iter().any(|message| message.key() == Some(b"key-3")) {
                    return Err("never");
                }
                noted.note(&batch);
                Ok(())
            }
        })
        .unwrap();
    journal.reached(18).await;
    commit_up_to(&scope, &service, 3.0).await;
    let degraded = Health::fallback("failed batches wait to come again");
    until("health", || service.health(), |health| *health == degraded).await;
    within("stop, without waiting for it", scope.stop()).await;
    assert_eq!(committed(&service), 0.0, "it has no partitions any more");
}

#[tokio::test]
async fn a_slow_partition_is_paused_at_its_limit_and_starves_no_other() {
    let kafka = Kafka::new(2);
    let of = |partition: i32, numbers: Range<i32>| {
        numbers.map(move |number| Record::new(Bytes::from(number.to_string())).with_partition(partition))
    };
    kafka.send(of(0, 0..5000)).await;
    kafka.send(of(1, 5000..10_000)).await;
    let options =
        "concurrency: {mode: unordered, max: 4, max_pending_per_partition: 100}\nmax_batch_size: 10";
    let service = kafka.service(options).await;
    let (journal, release) = (Journal::default(), Arc::new(tokio::sync::Semaphore::new(0)));
    let (noted, released) = (journal.clone(), Arc::clone(&release));
    let scope = service.scope();
    scope
        .start(move |batch: Batch| {
            let (noted, released) = (noted.clone(), Arc::clone(&released));
            async move {
                // The first message of partition 0 is slow, nothing else.
                if batch.iter().any(|message| (message.partition(), message.offset()) == (0, 0)) {
                    released.acquire().await.unwrap().forget();
                }
                noted.note(&batch);
                Ok::<(), Infallible>(())
            }
        })
        .unwrap();
    let of_other = || journal.offsets().get(&1).map_or(0, Vec::len);
    until("the other partition", of_other, |count| *count == 5000).await;
    let of_slow = journal.offsets().get(&0).map_or(0, Vec::len);
    // What one call takes from the client comes in any case.
    assert!(of_slow < 100 + 1024, "{of_slow} messages overtook the slow one");
    release.add_permits(1);
    journal.reached(10_000).await;
    let mut offsets = journal.offsets();
    offsets.values_mut().for_each(|offsets| offsets.sort_unstable());
    assert!(offsets.values().all(|offsets| offsets.iter().copied().eq(0..5000)), "exactly once");
    commit_up_to(&scope, &service, 10_000.0).await;
}

#[tokio::test]
async fn a_partition_keeps_its_order_and_partitions_go_on_side_by_side() {
    let kafka = Kafka::new(4);
    kafka.fill(0..4000).await;
    let service = kafka.service("concurrency: {mode: partition, max: 4}\nmax_batch_size: 50").await;
    let (_scope, journal) = service.consume();
    journal.reached(4000).await;
    let offsets = journal.offsets();
    assert!(offsets.values().all(|offsets| offsets.iter().copied().eq(0..1000)), "{offsets:?}");
    assert!(journal.batches().iter().all(|batch| batch.iter().all(|it| it.partition == batch[0].partition)));
    until("commits", || committed(&service), |sum| *sum == 4000.0).await;
}

#[tokio::test]
async fn a_batch_ends_before_it_has_too_many_bytes() {
    let kafka = Kafka::new(1);
    let payload = |number: i32| Bytes::from(format!("{number:0>1000}"));
    kafka.send((0..50).map(|number| Record::new(payload(number)).with_partition(0))).await;
    // Messages of 1000 bytes, and what each takes besides.
    let options = "concurrency: {mode: partition, max: 1}\nmax_batch_size: 100\nmax_batch_bytes: 3000B";
    let service = kafka.service(options).await;
    let (_scope, journal) = service.consume();
    journal.reached(50).await;
    assert!(journal.numbers().into_iter().eq(0..50));
    assert!(journal.sizes().iter().all(|size| *size <= 3), "{:?}", journal.sizes());
    assert!(journal.sizes().contains(&3), "{:?}", journal.sizes());
}

#[tokio::test]
async fn a_stop_waits_for_what_runs_drops_the_rest_and_commits_the_prefix() {
    let kafka = Kafka::new(1);
    fill_keys(&kafka, 0..100, 100).await;
    let options = "concurrency: {mode: key, max: 2}";
    let service = kafka.service(options).await;
    let (journal, entered, release) =
        (Journal::default(), Arc::new(AtomicUsize::new(0)), Arc::new(tokio::sync::Semaphore::new(0)));
    let (noted, enters, released) = (journal.clone(), Arc::clone(&entered), Arc::clone(&release));
    let scope = service.scope();
    scope
        .start(move |batch: Batch| {
            let (noted, enters, released) = (noted.clone(), Arc::clone(&enters), Arc::clone(&released));
            async move {
                enters.fetch_add(1, Ordering::SeqCst);
                released.acquire().await.unwrap().forget();
                noted.note(&batch);
                batch.commit().await
            }
        })
        .unwrap();
    until("two callbacks", || entered.load(Ordering::SeqCst), |count| *count == 2).await;
    let stopping = async { tokio::join!(scope.stop(), async { release.add_permits(2) }) };
    within("stop", stopping).await;
    let mut numbers = journal.numbers();
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1], "nothing was begun any more");
    let (rest, _all) = (Journal::default(), release.add_permits(1000));
    let noted = rest.clone();
    scope
        .start(move |batch: Batch| {
            noted.note(&batch);
            async { Ok::<(), Infallible>(()) }
        })
        .unwrap();
    rest.reached(98).await;
    let mut numbers = rest.numbers();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(2..100), "it goes on behind what was committed");
}

#[tokio::test]
async fn a_revoked_partition_is_handed_over_after_what_runs_and_the_other_member_goes_on_behind_the_prefix() {
    let kafka = Kafka::new(2);
    kafka.fill(0..2000).await;
    let options = "concurrency: {mode: unordered, max: 4}\nmax_batch_size: 5";
    let first = kafka.service(options).await;
    let journal = Journal::default();
    let noted = journal.clone();
    let scope = first.scope();
    scope
        .start(move |batch: Batch| {
            let noted = noted.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(10)).await;
                noted.note(&batch);
                batch.commit().await
            }
        })
        .unwrap();
    journal.reached(100).await;
    let second = kafka.service("max_batch_size: 100").await;
    let (_second_scope, second_journal) = second.consume();
    let both = || {
        let mut numbers = [journal.numbers(), second_journal.numbers()].concat();
        numbers.sort_unstable();
        numbers
    };
    until("all messages", || both().len(), |count| 2000 <= *count).await;
    assert!(both().into_iter().eq(0..2000), "nothing is lost, and nothing came twice");
    assert!(!second_journal.numbers().is_empty());
    let sum = || committed(&first) + committed(&second);
    until("commits", sum, |sum| *sum == 2000.0).await;
}

#[tokio::test]
async fn a_callback_that_cannot_be_cancelled_costs_the_membership_and_nothing_else() {
    let kafka = Kafka::new(1);
    fill_keys(&kafka, 0..20, 10).await;
    let service = kafka.service(&format!("{BY_KEY}\nmax_callback_duration: 200ms")).await;
    let (journal, calls) = (Journal::default(), Arc::new(AtomicUsize::new(0)));
    let (noted, counted) = (journal.clone(), Arc::clone(&calls));
    let scope = service.scope();
    scope
        .start(move |batch: Batch| {
            let (noted, counted) = (noted.clone(), Arc::clone(&counted));
            async move {
                if batch.iter().any(|message| message.key() == Some(b"key-3"))
                    && counted.fetch_add(1, Ordering::SeqCst) == 0
                {
                    // Deaf to cancellation, as code that computes or blocks is, and past what is waited for.
                    let until = std::time::Instant::now() + Duration::from_secs(12);
                    while std::time::Instant::now() < until {
                        std::hint::spin_loop();
                    }
                    return Err("not today".to_owned());
                }
                noted.note(&batch);
                batch.commit().await.map_err(|error| error.to_string())
            }
        })
        .unwrap();
    let restarts = || service.metric("kafka_consumer_restarts", &[("reason", "poll_exceeded")]);
    until("restart", restarts, |count| *count == 1.0).await;
    let done = || {
        let mut numbers = journal.numbers();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.len()
    };
    until("all messages", done, |count| *count == 20).await;
    until("commits", || committed(&service), |sum| *sum == 20.0).await;
    until("health", || service.health(), |health| *health == Health::Ok).await;
}

#[tokio::test]
async fn what_is_processed_is_committed_by_the_policy_without_asking() {
    let kafka = Kafka::new(1);
    fill_keys(&kafka, 0..200, 10).await;
    let service = kafka.service(&format!("{BY_KEY}\ncommit_policy: after_batch")).await;
    let journal = Journal::default();
    let noted = journal.clone();
    let scope = service.scope();
    scope
        .start(move |batch: Batch| {
            noted.note(&batch);
            async { Ok::<(), Infallible>(()) }
        })
        .unwrap();
    journal.reached(200).await;
    until("commit", || committed(&service), |offset| *offset == 200.0).await;
}

#[tokio::test]
async fn messages_processed_before_one_of_their_batch_fails_do_not_come_again() {
    let kafka = Kafka::new(1);
    kafka.fill(0..20).await;
    let options = "concurrency: {mode: partition, max: 2}\nmax_batch_size: 10";
    let service = kafka.service(options).await;
    let (seen, failures) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
    let (noted, failed) = (Arc::clone(&seen), Arc::clone(&failures));
    let scope = service.scope();
    scope
        .start_each(move |message| {
            let (noted, failed) = (Arc::clone(&noted), Arc::clone(&failed));
            async move {
                if message.offset() == 7 && failed.fetch_add(1, Ordering::SeqCst) < 2 {
                    return Err("not today");
                }
                noted.lock().unwrap().push(message.offset());
                Ok(())
            }
        })
        .unwrap();
    until("all messages", || seen.lock().unwrap().len(), |count| 20 <= *count).await;
    assert!(seen.lock().unwrap().iter().copied().eq(0..20), "{:?}", seen.lock().unwrap());
    commit_up_to(&scope, &service, 20.0).await;
    assert_eq!(service.metric("kafka_consumer_processed_messages", &[("result", "success")]), 20.0);
}

#[tokio::test]
async fn a_paused_partition_hands_out_nothing_of_what_waits_and_goes_on_where_it_was() {
    let kafka = Kafka::new(2);
    kafka.fill(0..2000).await;
    let options = "concurrency: {mode: unordered, max: 1}\nmax_batch_size: 1";
    let service = kafka.service(options).await;
    let (journal, step) = (Journal::default(), Arc::new(tokio::sync::Semaphore::new(10)));
    let (noted, steps) = (journal.clone(), Arc::clone(&step));
    let scope = service.scope();
    scope
        .start(move |batch: Batch| {
            let (noted, steps) = (noted.clone(), Arc::clone(&steps));
            async move {
                steps.acquire().await.unwrap().forget();
                noted.note(&batch);
                Ok::<(), Infallible>(())
            }
        })
        .unwrap();
    journal.reached(10).await;
    within("pause", scope.pause("t", 0)).await.unwrap();
    let before = journal.offsets().get(&0).map_or(0, Vec::len);
    step.add_permits(2000);
    let of_other = || journal.offsets().get(&1).map_or(0, Vec::len);
    until("the other partition", of_other, |count| *count == 1000).await;
    let paused = journal.offsets().get(&0).map_or(0, Vec::len);
    assert!(paused <= before + 1, "only what was with a callback: {before}, {paused}");
    within("resume", scope.resume("t", 0)).await.unwrap();
    journal.reached(2000).await;
    let offsets = journal.offsets();
    assert!(offsets.values().all(|offsets| offsets.iter().copied().eq(0..1000)), "exactly once");
}

#[tokio::test]
async fn a_seek_drops_what_waits_and_what_was_handed_out_before_it_counts_no_more() {
    let kafka = Kafka::new(1);
    kafka.fill(0..100).await;
    let service = kafka.service("concurrency: {mode: unordered, max: 1}\nmax_batch_size: 1").await;
    let (journal, step) = (Journal::default(), Arc::new(tokio::sync::Semaphore::new(10)));
    let (noted, steps) = (journal.clone(), Arc::clone(&step));
    let scope = service.scope();
    scope
        .start(move |batch: Batch| {
            let (noted, steps) = (noted.clone(), Arc::clone(&steps));
            async move {
                steps.acquire().await.unwrap().forget();
                noted.note(&batch);
                Ok::<(), Infallible>(())
            }
        })
        .unwrap();
    journal.reached(10).await;
    within("seek", scope.seek("t", 0, mainspring_kafka::Position::Offset(90))).await.unwrap();
    step.add_permits(1000);
    // One was with the callback.
    journal.reached(21).await;
    assert!(journal.numbers().into_iter().eq((0..11).chain(90..100)), "{:?}", journal.numbers());
    commit_up_to(&scope, &service, 100.0).await;
}
