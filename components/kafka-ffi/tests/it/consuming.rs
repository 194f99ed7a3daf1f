//! Messages in: batches, rebalances, commits, positions.

use std::time::Duration;

use bytes::Bytes;
use mainspring_kafka_ffi::{
    Consumer, ConsumerEvent, KafkaCode, OFFSET_BEGINNING, RebalanceProtocol, Record, Timestamp,
    TopicPartition,
};

use crate::support::{
    DEADLINE, Seen, close, cluster, config, consumer, deliver, fill, producer, read, read_until, serve_until,
};

const KIP_848: &[(&str, &str)] = &[("group.protocol", "consumer")];
// The mock cluster begins a rebalance one second before the session of a member that has not joined would end.
const EAGER: &[(&str, &str)] = &[
    ("partition.assignment.strategy", "range"),
    ("session.timeout.ms", "6000"),
    ("heartbeat.interval.ms", "100"),
];
const COOPERATIVE: &[(&str, &str)] = &[
    ("partition.assignment.strategy", "cooperative-sticky"),
    ("session.timeout.ms", "6000"),
    ("heartbeat.interval.ms", "100"),
];

async fn check_all_is_read(protocol: &[(&str, &str)], answered: RebalanceProtocol) {
    let cluster = cluster("t", 4);
    fill(&cluster, "t", 4, 0..4000).await;
    let consumer = consumer(&cluster, "g", protocol);
    consumer.subscribe(&["t"]).unwrap();
    let seen = read(&consumer, 4000).await;
    assert!(seen.sorted_numbers().into_iter().eq(0..4000));
    assert_eq!(consumer.rebalance_protocol(), answered);
    assert_eq!(consumer.assignment().unwrap().len(), 4);
    let closing = close(&consumer).await;
    assert!(closing.events.iter().any(|event| matches!(event, ConsumerEvent::Revoke { lost: false, .. })));
    assert!(consumer.is_closed());
}

#[tokio::test]
async fn everything_is_read_under_the_eager_protocol() {
    check_all_is_read(EAGER, RebalanceProtocol::Eager).await;
}

#[tokio::test]
async fn everything_is_read_under_the_cooperative_protocol() {
    check_all_is_read(COOPERATIVE, RebalanceProtocol::Cooperative).await;
}

#[tokio::test]
async fn everything_is_read_under_the_new_protocol() {
    check_all_is_read(KIP_848, RebalanceProtocol::Cooperative).await;
}

fn partitions_of(consumer: &Consumer) -> usize {
    consumer.assignment().unwrap().len()
}

async fn check_rebalance_amid_batches(protocol: &[(&str, &str)]) {
    let cluster = cluster("t", 4);
    cluster.set_heartbeat_interval(Duration::from_millis(50));
    fill(&cluster, "t", 4, 0..2000).await;
    let (first, second) = (consumer(&cluster, "g", protocol), consumer(&cluster, "g", protocol));
    let (mut first_seen, mut second_seen) = (Seen::default(), Seen::default());
    first.subscribe(&["t"]).unwrap();
    serve_until("the first member's messages", &mut [(&first, &mut first_seen)], |members| {
        members[0].1.messages.len() >= 2000
    })
    .await;

    second.subscribe(&["t"]).unwrap();
    let both = &mut [(&first, &mut first_seen), (&second, &mut second_seen)];
    serve_until("an even assignment", both, |members| {
        members.iter().all(|(consumer, _)| partitions_of(consumer) == 2)
    })
    .await;
    fill(&cluster, "t", 4, 2000..4000).await;
    let missing = |first: &Seen, second: &Seen| {
        let mut read = vec![false; 4000];
        for number in first.numbers().into_iter().chain(second.numbers()) {
            read[usize::try_from(number).unwrap()] = true;
        }
        read.into_iter().filter(|read| !read).count()
    };
    let both = &mut [(&first, &mut first_seen), (&second, &mut second_seen)];
    serve_until("the messages of both", both, |members| missing(members[0].1, members[1].1) == 0).await;

    second.start_close().unwrap();
    let both = &mut [(&first, &mut first_seen), (&second, &mut second_seen)];
    serve_until("the hand-over", both, |members| {
        members[1].1.events.contains(&ConsumerEvent::Closed) && partitions_of(members[0].0) == 4
    })
    .await;
}

#[tokio::test]
async fn batches_go_on_through_rebalances_of_the_eager_protocol() {
    check_rebalance_amid_batches(EAGER).await;
}

#[tokio::test]
async fn batches_go_on_through_rebalances_of_the_new_protocol() {
    check_rebalance_amid_batches(KIP_848).await;
}

#[tokio::test]
async fn a_batch_is_no_larger_than_asked_for() {
    let cluster = cluster("t", 1);
    fill(&cluster, "t", 1, 0..1000).await;
    let consumer = consumer(&cluster, "g", KIP_848);
    consumer.assign(&[TopicPartition::new("t", 0).with_offset(OFFSET_BEGINNING)]).unwrap();
    let (mut messages, mut errors, mut sizes) = (Vec::new(), Vec::new(), Vec::new());
    while messages.len() < 1000 {
        let poll = std::future::poll_fn(|cx| consumer.poll_batch(cx, 300, &mut messages, &mut errors));
        sizes.push(crate::support::within("a batch", poll).await);
    }
    assert!(sizes.iter().all(|size| 1 <= *size && *size <= 300), "{sizes:?}");
    assert_eq!(errors, []);
    let offsets: Vec<_> = messages.iter().map(mainspring_kafka_ffi::Message::offset).collect();
    assert!(offsets.into_iter().eq(0..1000));
}

#[tokio::test]
async fn what_was_sent_is_what_arrives() {
    let cluster = cluster("t", 1);
    let producer = producer(&cluster, &[]);
    let full = Record {
        partition: Some(0),
        key: Some(Bytes::from_static(b"key")),
        payload: Some(Bytes::from_static(b"payload")),
        headers: vec![
            ("a".to_owned(), Some(Bytes::from_static(b"1"))),
            ("a".to_owned(), Some(Bytes::new())),
            ("b".to_owned(), None),
        ],
        timestamp_ms: Some(1_700_000_000_123),
    };
    let empty = Record { key: Some(Bytes::new()), payload: Some(Bytes::new()), ..Record::default() };
    for record in [full, empty, Record::default()] {
        deliver(&producer, "t", record).await.unwrap();
    }
    let consumer = consumer(&cluster, "g", KIP_848);
    consumer.subscribe(&["t"]).unwrap();
    let seen = read(&consumer, 3).await;
    let [full, empty, tombstone] = &seen.messages[..] else { panic!("three messages were sent") };

    assert_eq!((full.topic(), full.partition(), full.offset()), ("t", 0, 0));
    assert_eq!((full.key(), full.payload()), (Some(&b"key"[..]), Some(&b"payload"[..])));
    assert_eq!(full.timestamp(), Some(Timestamp::Created(1_700_000_000_123)));
    let headers: Vec<_> = full.headers().collect();
    assert_eq!(headers, [("a", Some(&b"1"[..])), ("a", Some(&b""[..])), ("b", None)]);
    assert_eq!(full.headers().count(), 3, "headers can be read again");

    assert_eq!((empty.key(), empty.payload()), (Some(&b""[..]), Some(&b""[..])));
    assert_eq!(empty.headers().count(), 0);
    assert_eq!((tombstone.key(), tombstone.payload()), (None, None));
    assert!(tombstone.payload_bytes().is_none());
}

#[tokio::test]
async fn shared_payloads_are_not_copied() {
    let cluster = cluster("t", 1);
    fill(&cluster, "t", 1, 0..10).await;
    let consumer = consumer(&cluster, "g", KIP_848);
    consumer.subscribe(&["t"]).unwrap();
    for message in read(&consumer, 10).await.messages {
        let lent = message.payload().unwrap().as_ptr();
        let (shared, again) = (message.payload_bytes().unwrap(), message.payload_bytes().unwrap());
        let expected = message.payload().unwrap().to_vec();
        drop(message);
        drop(again);
        assert_eq!(shared.as_ptr(), lent);
        assert_eq!(shared, expected);
    }
}

#[tokio::test]
async fn headers_can_be_read_from_several_threads_at_once() {
    let cluster = cluster("t", 1);
    let producer = producer(&cluster, &[]);
    let headers = vec![("a".to_owned(), Some(Bytes::from_static(b"1")))];
    deliver(&producer, "t", Record { headers, ..Record::new("x") }).await.unwrap();
    let consumer = consumer(&cluster, "g", KIP_848);
    consumer.subscribe(&["t"]).unwrap();
    let seen = read(&consumer, 1).await;
    let message = &seen.messages[0];
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(message.headers().next(), Some(("a", Some(&b"1"[..])))));
        }
    });
}

#[tokio::test]
async fn a_commit_is_answered_with_its_tag_and_survives_a_restart() {
    let cluster = cluster("t", 1);
    fill(&cluster, "t", 1, 0..10).await;
    let first = consumer(&cluster, "g", EAGER);
    first.subscribe(&["t"]).unwrap();
    let seen = read(&first, 10).await;
    let next = TopicPartition {
        leader_epoch: seen.messages[6].leader_epoch(),
        ..TopicPartition::new("t", 0).with_offset(7)
    };
    first.commit_async(std::slice::from_ref(&next), 42).unwrap();
    let is_answer = |event: &ConsumerEvent| matches!(event, ConsumerEvent::Committed { .. });
    let seen = read_until(&first, "the answer", |seen| seen.events.iter().any(is_answer)).await;
    let answer = seen.events.iter().find(|event| is_answer(event)).unwrap();
    let ConsumerEvent::Committed { tag, result, offsets } = answer else { unreachable!() };
    assert_eq!((*tag, result), (42, &Ok(())));
    assert_eq!((offsets[0].partition, offsets[0].offset, offsets[0].error), (0, Some(7), None));
    let committed = first.queries().committed(&[TopicPartition::new("t", 0)], DEADLINE).unwrap();
    assert_eq!(committed[0].offset, Some(7));
    close(&first).await;

    let second = consumer(&cluster, "g", EAGER);
    second.subscribe(&["t"]).unwrap();
    assert_eq!(read(&second, 3).await.numbers(), [7, 8, 9]);
}

#[tokio::test]
async fn a_refused_commit_is_answered_with_its_code() {
    let cluster = cluster("t", 1);
    fill(&cluster, "t", 1, 0..1).await;
    let consumer = consumer(&cluster, "g", EAGER);
    consumer.subscribe(&["t"]).unwrap();
    read(&consumer, 1).await;
    // Offset commit. The code is one that librdkafka has no name for.
    cluster.push_request_errors(8, &[KafkaCode::from_raw(104)]);
    consumer.commit_async(&[TopicPartition::new("t", 0).with_offset(1)], 1).unwrap();
    let seen = read_until(&consumer, "the answer", |seen| {
        seen.events.iter().any(|event| matches!(event, ConsumerEvent::Committed { .. }))
    })
    .await;
    let Some(ConsumerEvent::Committed { result, offsets, .. }) = seen.events.last() else {
        panic!("{:?}", seen.events)
    };
    let code = result.as_ref().map_err(|error| error.code).err().or(offsets[0].error);
    assert_eq!(code.map(KafkaCode::as_raw), Some(104));
}

#[tokio::test]
async fn a_seek_reads_again_from_its_offset() {
    let cluster = cluster("t", 1);
    fill(&cluster, "t", 1, 0..10).await;
    let consumer = consumer(&cluster, "g", KIP_848);
    consumer.subscribe(&["t"]).unwrap();
    read(&consumer, 10).await;
    assert_eq!(consumer.position(&[TopicPartition::new("t", 0)]).unwrap()[0].offset, Some(10));
    consumer.seek(&[TopicPartition::new("t", 0).with_offset(4)]).unwrap();
    assert_eq!(read(&consumer, 6).await.numbers(), [4, 5, 6, 7, 8, 9]);
}

#[tokio::test]
async fn a_seek_of_a_partition_not_assigned_is_refused() {
    let cluster = cluster("t", 1);
    let consumer = consumer(&cluster, "g", KIP_848);
    let error = consumer.seek(&[TopicPartition::new("t", 9).with_offset(0)]).unwrap_err();
    assert!(error.text.contains("`t`[9]"), "{error}");
}

#[tokio::test]
async fn a_paused_partition_is_silent_until_resumed() {
    let cluster = cluster("t", 2);
    fill(&cluster, "t", 2, 0..10).await;
    let consumer = consumer(&cluster, "g", KIP_848);
    consumer.subscribe(&["t"]).unwrap();
    read(&consumer, 10).await;
    let paused = [TopicPartition::new("t", 0)];
    consumer.pause(&paused).unwrap();
    fill(&cluster, "t", 2, 10..20).await;
    let odd = read(&consumer, 5).await;
    assert_eq!(odd.numbers(), [11, 13, 15, 17, 19]);
    consumer.resume(&paused).unwrap();
    assert_eq!(read(&consumer, 5).await.numbers(), [10, 12, 14, 16, 18]);
}

#[tokio::test]
async fn the_end_of_a_partition_is_an_error_entry_not_a_message() {
    let cluster = cluster("t", 1);
    fill(&cluster, "t", 1, 0..10).await;
    let consumer =
        consumer(&cluster, "g", &[("group.protocol", "consumer"), ("enable.partition.eof", "true")]);
    consumer.subscribe(&["t"]).unwrap();
    let seen = read_until(&consumer, "the end", |seen| !seen.errors.is_empty()).await;
    assert_eq!(seen.messages.len(), 10);
    let end = &seen.errors[0];
    assert_eq!((end.code, &*end.topic, end.partition, end.offset), (KafkaCode::PARTITION_EOF, "t", 0, 10));
}

#[tokio::test]
async fn statistics_and_a_slow_reader_do_not_stop_the_messages() {
    let cluster = cluster("t", 1);
    let properties =
        [("group.protocol", "consumer"), ("statistics.interval.ms", "1"), ("debug", "cgrp,fetch")];
    let consumer = consumer(&cluster, "g", &properties);
    consumer.subscribe(&["t"]).unwrap();
    for round in 0..5 {
        fill(&cluster, "t", 1, round * 10..(round + 1) * 10).await;
        let seen = read(&consumer, 10).await;
        assert!(seen.numbers().into_iter().eq(round * 10..(round + 1) * 10));
        // Nobody reads while the statistics and log lines of a tenth of a second pile up.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let statistics =
        |seen: &Seen| seen.events.iter().filter(|e| matches!(e, ConsumerEvent::Stats(_))).count();
    read_until(&consumer, "statistics", |seen| statistics(seen) > 50).await;
}

#[tokio::test]
async fn watermarks_and_partitions_are_told() {
    let cluster = cluster("t", 2);
    fill(&cluster, "t", 1, 0..10).await;
    let consumer = consumer(&cluster, "g", KIP_848);
    assert_eq!(consumer.queries().watermarks("t", 0, DEADLINE).unwrap(), (0, 10));
    assert_eq!(consumer.queries().watermarks("t", 1, DEADLINE).unwrap(), (0, 0));
    assert_eq!(consumer.partition_ids_blocking("t", DEADLINE).unwrap().len(), 2);
}

#[test]
fn a_consumer_without_a_group_is_refused() {
    let cluster = cluster("t", 1);
    let refused = Consumer::new(config(&cluster, &[])).unwrap_err();
    assert!(refused.text.contains("group.id"), "{refused}");
}
