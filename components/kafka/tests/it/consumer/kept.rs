//! What a consumer keeps whatever happens around it: messages that nobody is done with, and those of partitions that stay.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use mainspring_kafka::{Batch, ConsumedMessage, ConsumerListener, StartOffsets, TopicPartition};
use mainspring_kafka_ffi::Record;
use tokio::sync::Notify;

use crate::consumer::support::{Journal, Kafka, QUICK, until, within};

#[tokio::test]
async fn a_commit_from_within_start_each_covers_no_message_that_was_not_given_yet() {
    let kafka = Kafka::new(1);
    kafka.fill(0..5).await;
    let service =
        kafka.service("max_batch_size: 5\npoll_timeout: 500ms\nrestart_after_failure_delay: 10ms").await;
    let scope = Arc::new(service.scope());
    let (seen, failed) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
    let (committer, notes) = (Arc::downgrade(&scope), Arc::clone(&seen));
    let callback = move |message: ConsumedMessage| {
        let (committer, notes, failed) = (Weak::clone(&committer), Arc::clone(&notes), Arc::clone(&failed));
        async move {
            if message.offset() == 1 && !failed.swap(true, Ordering::SeqCst) {
                return Err("once".to_owned());
            }
            notes.lock().unwrap_or_else(PoisonError::into_inner).push(message.offset());
            let scope = committer.upgrade().ok_or("the test is over")?;
            scope.async_commit().await.map_err(|error| error.to_string())
        }
    };
    scope.start_each(callback).unwrap();
    kafka.fill(5..6).await;
    let seen = || seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    until("the last", seen, |seen| seen.contains(&5)).await;
    assert_eq!(seen(), [0, 1, 2, 3, 4, 5]);
    until("the commit of all", || service.metric("kafka_consumer_committed_offset", &[]), |it| *it == 6.0)
        .await;
}

/// Takes its time over an assignment once it is told to.
struct Slow(Arc<Notify>, Arc<AtomicBool>);

impl ConsumerListener for Slow {
    async fn on_assigned(
        &self,
        _: &[TopicPartition],
    ) -> Result<StartOffsets, Box<dyn std::error::Error + Send + Sync>> {
        if self.1.swap(false, Ordering::SeqCst) {
            self.0.notified().await;
        }
        Ok(StartOffsets::default())
    }
}

#[tokio::test]
async fn a_partition_is_paused_also_while_another_one_is_being_assigned_and_loses_nothing() {
    let kafka = Kafka::new(2);
    let service = kafka.service("max_batch_size: 10\npoll_timeout: 5s").await;
    let other = kafka.service("").await;
    let (scope, other_scope) = (service.scope(), other.scope());
    let (release, slow) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    scope.set_listener(Slow(Arc::clone(&release), Arc::clone(&slow))).unwrap();
    let journal = Journal::default();
    let written = journal.clone();
    scope
        .start(move |batch: Batch| {
            written.note(&batch);
            std::future::ready(Ok::<_, Infallible>(()))
        })
        .unwrap();
    other_scope.start(|_| std::future::ready(Ok::<_, Infallible>(()))).unwrap();
    let shared = || (scope.assignment().len(), other_scope.assignment().len());
    until("sharing", shared, |it| *it == (1, 1)).await;
    let kept = scope.assignment()[0].partition;
    let records = |range: Range<i32>| {
        range.map(move |number| Record::new(Bytes::from(number.to_string())).with_partition(kept))
    };
    kafka.send(records(0..5)).await;
    let taken = || service.metric("messaging_client_consumed_messages", &[]);
    until("five collected", taken, |count| *count == 5.0).await;
    slow.store(true, Ordering::SeqCst);
    // The other one's partition comes to us, and the listener takes its time.
    within("stop", other_scope.stop()).await;
    until("the listener to be asked", || slow.load(Ordering::SeqCst), |waits| !waits).await;
    within("pause", scope.pause("t", kept)).await.unwrap();
    let before = journal.numbers();
    kafka.send(records(5..15)).await;
    release.notify_one();
    until("the other one", || scope.assignment().len(), |count| *count == 2).await;
    // What comes on the partition that is not paused shows that reading has gone on.
    kafka.send(std::iter::once(Record::new(Bytes::from_static(b"99")).with_partition(1 - kept))).await;
    until("the other one's", || journal.numbers(), |numbers| numbers.contains(&99)).await;
    let while_paused: Vec<_> = journal.numbers().into_iter().filter(|it| *it != 99).collect();
    assert_eq!(while_paused, before, "nothing more of it while it is paused");
    within("resume", scope.resume("t", kept)).await.unwrap();
    until("the rest", || journal.numbers().len(), |count| 16 <= *count).await;
    let numbers: Vec<_> = journal.numbers().into_iter().filter(|it| *it != 99).collect();
    assert_eq!(numbers, (0..15).collect::<Vec<_>>());
}

/// Asks for the ends of partitions.
struct Ends;

impl ConsumerListener for Ends {
    fn wants_partition_end(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_rebalance_behind_the_end_of_a_partition_leaves_no_message_out() {
    let kafka = Kafka::new(4);
    let options =
        format!("rd_kafka_custom_options: {{{QUICK}}}\ncommit_policy: after_batch\nmax_batch_size: 100");
    let (first, second) = (kafka.service(&options).await, kafka.service(&options).await);
    let scope = first.scope();
    scope.set_listener(Ends).unwrap();
    let (journal, hold, release) =
        (Journal::default(), Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
    let (written, holds, released) = (journal.clone(), Arc::clone(&hold), Arc::clone(&release));
    scope
        .start(move |batch: Batch| {
            written.note(&batch);
            let (holds, released) = (Arc::clone(&holds), Arc::clone(&released));
            async move {
                if holds.swap(false, Ordering::SeqCst) {
                    released.notified().await;
                }
                Ok::<_, Infallible>(())
            }
        })
        .unwrap();
    kafka.fill(0..12).await;
    journal.reached(12).await;
    // Behind the end of each partition, while a callback waits.
    hold.store(true, Ordering::SeqCst);
    kafka.send(std::iter::once(Record::new(Bytes::from_static(b"12")).with_partition(3))).await;
    journal.reached(13).await;
    kafka.fill(16..28).await;
    let (second_scope, second_journal) = second.consume();
    until("a rebalance", || first.metric("kafka_consumer_rebalances", &[]), |it| 2.0 <= *it).await;
    release.notify_one();
    let shared = || (scope.assignment().len(), second_scope.assignment().len());
    until("sharing", shared, |it| *it == (2, 2)).await;
    let read = || {
        let both = journal.offsets().into_iter().chain(second_journal.offsets());
        both.flat_map(|(partition, offsets)| offsets.into_iter().map(move |offset| (partition, offset)))
            .collect::<BTreeSet<_>>()
    };
    let ends = (0..4)
        .flat_map(|partition| (0..if partition == 3 { 7 } else { 6 }).map(move |offset| (partition, offset)));
    let expected: BTreeSet<_> = ends.collect();
    until("everything", read, |read| *read == expected).await;
}
