//! One request at a time; everybody who asked is told what became of theirs.

use std::time::Duration;

use mainspring_kafka_ffi::{KafkaCode, KafkaError, TopicPartition};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::time::Instant;

use crate::consumer::batch::COMMITS_WAITING_MAX;
use crate::consumer::commits::Commits;
use crate::consumer::error::CommitError;
use crate::consumer::ledger::{Admitted, Commit, Key};

const OURS: fn(&Key, &Commit) -> bool = |_, _| true;

const REBALANCING: KafkaCode = KafkaCode::REBALANCE_IN_PROGRESS;

type Answer = oneshot::Receiver<Result<(), CommitError>>;

fn key(partition: i32) -> Key {
    ("t".into(), partition)
}

fn ask_with(commits: &mut Commits, offsets: &[(i32, i64)], refused: &[i32]) -> Answer {
    let commit = |next| Commit { next, leader_epoch: None, assignment: 1 };
    let admitted = Admitted {
        commits: offsets.iter().map(|(partition, next)| (key(*partition), commit(*next))).collect(),
        refused: refused.iter().copied().map(key).collect(),
    };
    let (reply, answer) = oneshot::channel();
    commits.add(admitted, reply, Instant::now());
    answer
}

fn ask(commits: &mut Commits, offsets: &[(i32, i64)]) -> Answer {
    ask_with(commits, offsets, &[])
}

/// The next request as partitions with offsets, and its tag.
fn next(commits: &mut Commits) -> Option<(Vec<(i32, i64)>, usize)> {
    let (offsets, tag) = commits.next(Instant::now())?;
    Some((offsets.into_iter().map(|offset| (offset.partition, offset.offset.unwrap())).collect(), tag))
}

fn answered(commits: &mut Commits, tag: usize, errors: &[(i32, KafkaCode)]) {
    let partitions: Vec<_> = errors
        .iter()
        .map(|(partition, code)| TopicPartition {
            error: Some(*code),
            ..TopicPartition::new("t", *partition)
        })
        .collect();
    commits.answered(tag, &Ok(()), &partitions, Instant::now(), OURS).unwrap().tell();
}

#[test]
fn requests_made_while_one_is_in_flight_are_joined_and_the_highest_offset_wins() {
    let mut commits = Commits::default();
    let mut first = ask(&mut commits, &[(0, 10)]);
    let (offsets, tag) = next(&mut commits).unwrap();
    assert_eq!(offsets, [(0, 10)]);
    let mut second = ask(&mut commits, &[(0, 30), (1, 5)]);
    let mut third = ask(&mut commits, &[(0, 20)]);
    assert_eq!(next(&mut commits), None, "one at a time");

    answered(&mut commits, tag, &[]);
    assert_eq!(first.try_recv(), Ok(Ok(())));
    assert_eq!(second.try_recv(), Err(TryRecvError::Empty));
    let (offsets, tag) = next(&mut commits).unwrap();
    assert_eq!(offsets, [(0, 30), (1, 5)]);
    answered(&mut commits, tag, &[]);
    assert_eq!((second.try_recv(), third.try_recv()), (Ok(Ok(())), Ok(Ok(()))));
    assert!(commits.is_idle());
}

#[test]
fn an_offset_below_the_one_in_flight_does_not_put_the_group_back() {
    let mut commits = Commits::default();
    let mut newer = ask(&mut commits, &[(0, 20)]);
    let (_, tag) = next(&mut commits).unwrap();
    let mut older = ask(&mut commits, &[(0, 10), (1, 5)]);
    answered(&mut commits, tag, &[]);
    assert_eq!(newer.try_recv(), Ok(Ok(())));
    let (offsets, tag) = next(&mut commits).unwrap();
    assert_eq!(offsets, [(0, 20), (1, 5)]);
    answered(&mut commits, tag, &[]);
    assert_eq!(older.try_recv(), Ok(Ok(())));
}

#[test]
fn so_many_wait_for_the_answer_and_no_more() {
    let mut commits = Commits::default();
    drop(ask(&mut commits, &[(0, 1)]));
    let (_, tag) = next(&mut commits).unwrap();
    let limit = COMMITS_WAITING_MAX as i64;
    // Those who went away do not count.
    (0..limit).for_each(|next| drop(ask(&mut commits, &[(0, next)])));
    let mut waiting: Vec<_> = (0..limit).map(|next| ask(&mut commits, &[(0, next)])).collect();
    let refused = ask(&mut commits, &[(0, limit)]).try_recv();
    assert_eq!(refused, Ok(Err(CommitError::QueueFull { limit: COMMITS_WAITING_MAX })));

    answered(&mut commits, tag, &[]);
    let (offsets, tag) = next(&mut commits).unwrap();
    assert_eq!(offsets, [(0, limit - 1)], "what was refused is not committed");
    answered(&mut commits, tag, &[]);
    assert!(waiting.iter_mut().all(|answer| answer.try_recv() == Ok(Ok(()))));
}

/// librdkafka says of all partitions what was said of one.
#[test]
fn a_refused_request_is_repeated_one_by_one_and_only_those_whose_partitions_failed_are_told_so() {
    let not_allowed = KafkaCode::from_raw(29);
    let mut commits = Commits::default();
    let mut first = ask(&mut commits, &[(0, 10)]);
    let mut second = ask(&mut commits, &[(1, 10)]);
    let (_, tag) = next(&mut commits).unwrap();
    // Partition 0 is stored in truth; an older batch must not put it back.
    let mut older = ask(&mut commits, &[(0, 5)]);
    answered(&mut commits, tag, &[(0, not_allowed), (1, not_allowed)]);
    let (offsets, tag) = next(&mut commits).unwrap();
    assert_eq!(offsets, [(0, 10)], "alone, and at once");
    answered(&mut commits, tag, &[]);
    assert_eq!((first.try_recv(), older.try_recv()), (Ok(Ok(())), Ok(Ok(()))));
    let (offsets, tag) = next(&mut commits).unwrap();
    assert_eq!(offsets, [(1, 10)]);
    answered(&mut commits, tag, &[(1, not_allowed)]);
    let error = second.try_recv().unwrap().unwrap_err();
    assert_eq!(error.kafka_code(), Some(29));
    assert_eq!(error.to_string(), "commit of `t`[1] failed: Broker: Topic authorization failed");
    assert!(commits.is_idle());
}

#[test]
fn an_answer_to_an_older_offset_is_none_to_a_newer_one() {
    let mut commits = Commits::default();
    let mut older = ask(&mut commits, &[(0, 10)]);
    let (_, tag) = next(&mut commits).unwrap();
    let mut newer = ask(&mut commits, &[(0, 20)]);
    answered(&mut commits, tag, &[(0, KafkaCode::from_raw(29))]);
    assert!(older.try_recv().unwrap().is_err());
    assert_eq!(newer.try_recv(), Err(TryRecvError::Empty));
    let (offsets, tag) = next(&mut commits).unwrap();
    assert_eq!(offsets, [(0, 20)]);
    answered(&mut commits, tag, &[]);
    assert_eq!(newer.try_recv(), Ok(Ok(())));
}

#[test]
fn what_needs_no_request_is_answered_at_once() {
    let mut commits = Commits::default();
    assert_eq!(ask(&mut commits, &[]).try_recv(), Ok(Ok(())));
    let refused = ask_with(&mut commits, &[], &[3]).try_recv();
    assert_eq!(refused, Ok(Err(CommitError::revoked("t", 3))));
    assert!(commits.is_idle());
}

#[test]
fn a_partly_refused_commit_is_sent_for_the_rest_and_ends_as_refused() {
    let mut commits = Commits::default();
    let mut answer = ask_with(&mut commits, &[(0, 10)], &[1]);
    let (offsets, tag) = next(&mut commits).unwrap();
    assert_eq!(offsets, [(0, 10)]);
    answered(&mut commits, tag, &[]);
    assert_eq!(answer.try_recv(), Ok(Err(CommitError::revoked("t", 1))));
}

#[test]
fn what_was_not_sent_for_a_partition_that_is_gone_is_refused() {
    let mut commits = Commits::default();
    drop(ask(&mut commits, &[(0, 10)]));
    let (_, tag) = next(&mut commits).unwrap();
    let mut gone = ask(&mut commits, &[(0, 20)]);
    let mut partly = ask(&mut commits, &[(0, 20), (1, 20)]);
    assert!(commits.concern(|key| key.1 == 0));
    commits.forget(|key| key.1 == 0);
    assert_eq!(gone.try_recv(), Ok(Err(CommitError::revoked("t", 0))));
    answered(&mut commits, tag, &[]);
    let (offsets, tag) = next(&mut commits).unwrap();
    assert_eq!(offsets, [(1, 20)]);
    answered(&mut commits, tag, &[]);
    assert_eq!(partly.try_recv(), Ok(Err(CommitError::revoked("t", 0))));
}

#[test]
fn an_answer_to_nothing_is_ignored() {
    let mut commits = Commits::default();
    assert!(commits.answered(1, &Ok(()), &[], Instant::now(), OURS).is_none());
    drop(ask(&mut commits, &[(0, 10)]));
    let (_, tag) = next(&mut commits).unwrap();
    assert!(commits.answered(tag + 1, &Ok(()), &[], Instant::now(), OURS).is_none());
    assert!(!commits.is_idle());
}

/// The next request after the pause that a failed one makes.
fn next_after_pause(commits: &mut Commits) -> (Vec<(i32, i64)>, usize) {
    assert!(commits.next(Instant::now()).is_none(), "not at once");
    let due = commits.due().expect("something waits");
    let (offsets, tag) = commits.next(due).expect("it is due");
    (offsets.into_iter().map(|offset| (offset.partition, offset.offset.unwrap())).collect(), tag)
}

#[test]
fn what_fails_during_a_rebalance_is_asked_for_again() {
    let mut commits = Commits::default();
    let mut both = ask(&mut commits, &[(0, 10), (1, 5)]);
    let (_, tag) = next(&mut commits).unwrap();
    answered(&mut commits, tag, &[(0, REBALANCING), (1, REBALANCING)]);
    assert_eq!(both.try_recv(), Err(TryRecvError::Empty));
    assert!(commits.concern(|key| key.1 == 0));
    let mut newer = ask(&mut commits, &[(0, 20)]);
    let (offsets, tag) = next_after_pause(&mut commits);
    assert_eq!(offsets, [(0, 20)], "the higher of both");
    answered(&mut commits, tag, &[]);
    assert_eq!(both.try_recv(), Err(TryRecvError::Empty), "one of its partitions is not answered yet");
    let (offsets, tag) = next(&mut commits).unwrap();
    assert_eq!(offsets, [(1, 5)]);
    answered(&mut commits, tag, &[]);
    assert_eq!((both.try_recv(), newer.try_recv()), (Ok(Ok(())), Ok(Ok(()))));
    assert!(commits.is_idle());
}

#[test]
fn a_request_that_fails_as_a_whole_is_tried_again_too() {
    let mut commits = Commits::default();
    let mut answer = ask(&mut commits, &[(0, 10)]);
    let (_, tag) = next(&mut commits).unwrap();
    let lost = KafkaError {
        code: KafkaCode::TRANSPORT,
        text: "lost".to_owned(),
        fatal: false,
        retriable: true,
        txn_requires_abort: false,
    };
    commits.answered(tag, &Err(lost), &[], Instant::now(), OURS).unwrap().tell();
    assert_eq!(answer.try_recv(), Err(TryRecvError::Empty));
    let (_, tag) = next_after_pause(&mut commits);
    answered(&mut commits, tag, &[]);
    assert_eq!(answer.try_recv(), Ok(Ok(())));
}

#[test]
fn trying_again_ends_with_the_assignment_and_after_a_minute() {
    for (is_ours, passed) in [(false, Duration::ZERO), (true, Duration::from_secs(60))] {
        let mut commits = Commits::default();
        let mut answer = ask(&mut commits, &[(0, 10)]);
        let (_, tag) = next(&mut commits).unwrap();
        let failed = [TopicPartition { error: Some(REBALANCING), ..TopicPartition::new("t", 0) }];
        let now = Instant::now() + passed;
        commits.answered(tag, &Ok(()), &failed, now, |_, _| is_ours).unwrap().tell();
        let error = answer.try_recv().expect("it is answered").unwrap_err();
        assert_eq!(error.kafka_code(), Some(27));
        assert!(commits.is_idle());
    }
}

#[test]
fn a_commit_that_waits_for_another_try_is_refused_when_its_partition_goes() {
    let mut commits = Commits::default();
    let mut answer = ask(&mut commits, &[(0, 10)]);
    let (_, tag) = next(&mut commits).unwrap();
    answered(&mut commits, tag, &[(0, REBALANCING)]);
    commits.forget(|key| key.1 == 0);
    assert_eq!(answer.try_recv(), Ok(Err(CommitError::revoked("t", 0))));
    assert!(commits.is_idle());
}
