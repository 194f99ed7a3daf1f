//! What may be committed, and where reading goes back to.

use mainspring_kafka_ffi::TopicPartition;

use crate::consumer::ledger::{BatchEnd, Commit, Ledger, Taken};

fn partition(id: i32) -> TopicPartition {
    TopicPartition::new("t", id)
}

/// A ledger that was assigned these partitions.
fn assigned(ids: &[i32]) -> Ledger {
    let mut ledger = Ledger::default();
    ledger.assign(&ids.iter().copied().map(partition).collect::<Vec<_>>());
    ledger
}

/// Messages from this offset on, a second later for each offset.
fn from(offset: i64) -> Taken {
    Taken { offset, timestamp_ms: Some(offset * 1000), next: offset + 1 }
}

/// A batch of messages `range` of partition 0.
fn hand_out(ledger: &mut Ledger, range: std::ops::Range<i64>) -> Vec<BatchEnd> {
    assert!(ledger.taken("t", 0, from(range.start)));
    vec![ledger.end("t", 0, range.end, Some(7)).unwrap()]
}

/// What the ledger lets somebody commit, as the offset, and how much it refuses.
fn admitted(ledger: &Ledger, ends: &[BatchEnd]) -> (Option<i64>, usize) {
    let admitted = ledger.admit(ends);
    (admitted.commits.values().next().map(|commit| commit.next), admitted.refused.len())
}

fn commit(ledger: &mut Ledger, ends: &[BatchEnd]) {
    for (key, commit) in ledger.admit(ends).commits {
        ledger.committed(&key, &commit);
    }
}

fn rolled_back_to(ledger: &mut Ledger, ends: &[BatchEnd]) -> Option<i64> {
    let failed = ledger.failed(ends);
    ledger.rollback(&failed, false).first().and_then(|position| position.offset)
}

#[test]
fn messages_of_partitions_that_are_not_ours_are_told_apart() {
    let mut ledger = assigned(&[0]);
    assert!(ledger.taken("t", 0, from(5)));
    assert!(!ledger.taken("t", 1, from(5)));
    assert!(!ledger.taken("u", 0, from(5)));
    assert_eq!(ledger.end("t", 1, 6, None), None);
}

#[test]
fn a_batch_may_be_committed_up_to_its_end() {
    let mut ledger = assigned(&[0]);
    let ends = hand_out(&mut ledger, 5..10);
    let commits = ledger.admit(&ends).commits;
    let expected = Commit { next: 10, leader_epoch: Some(7), assignment: 1 };
    assert_eq!(commits.into_iter().collect::<Vec<_>>(), [(("t".into(), 0), expected)]);
}

#[test]
fn what_is_committed_already_needs_no_commit_and_never_goes_back() {
    let mut ledger = assigned(&[0]);
    let first = hand_out(&mut ledger, 5..10);
    let second = hand_out(&mut ledger, 10..15);
    commit(&mut ledger, &second);
    assert_eq!(admitted(&ledger, &first), (None, 0));
    assert_eq!(ledger.progress()[0].committed, Some(15));
}

#[test]
fn a_revoked_partition_is_not_committed_even_when_it_is_ours_again() {
    let mut ledger = assigned(&[0, 1]);
    let ends = hand_out(&mut ledger, 5..10);
    ledger.revoke(&[partition(0)]);
    assert_eq!(admitted(&ledger, &ends), (None, 1));
    assert!(ledger.owns("t", 1));
    ledger.assign(&[partition(0)]);
    assert_eq!(admitted(&ledger, &ends), (None, 1));
    ledger.processed(&ends);
    assert_eq!(ledger.admit_processed(|_, _| true).commits.len(), 0);
}

#[test]
fn an_answer_from_before_a_reassignment_does_not_count() {
    let mut ledger = assigned(&[0]);
    let ends = hand_out(&mut ledger, 5..10);
    let commits = ledger.admit(&ends).commits;
    ledger.revoke(&[partition(0)]);
    ledger.assign(&[partition(0)]);
    for (key, commit) in &commits {
        ledger.committed(key, commit);
    }
    assert_eq!(ledger.progress()[0].committed, None);
}

#[test]
fn an_answer_from_before_a_failure_counts() {
    let mut ledger = assigned(&[0]);
    let ends = hand_out(&mut ledger, 5..10);
    let commits = ledger.admit(&ends).commits;
    let failed = ledger.failed(&ends);
    for (key, commit) in &commits {
        ledger.committed(key, commit);
    }
    assert_eq!(ledger.rollback(&failed, false), [partition(0).with_offset(10)]);
}

#[test]
fn a_failed_batch_goes_back_to_the_last_commit() {
    let mut ledger = assigned(&[0]);
    let first = hand_out(&mut ledger, 5..10);
    commit(&mut ledger, &first);
    let second = hand_out(&mut ledger, 10..15);
    ledger.processed(&second);
    let third = hand_out(&mut ledger, 15..20);
    assert_eq!(rolled_back_to(&mut ledger, &third), Some(10));
    assert_eq!(admitted(&ledger, &third), (None, 1), "it cannot be committed any more");
    assert_eq!(ledger.admit_processed(|_, _| true).commits.len(), 0, "nor what comes again with it");
}

#[test]
fn a_failed_batch_goes_back_to_where_reading_began_when_nothing_is_committed() {
    let mut ledger = assigned(&[0]);
    let first = hand_out(&mut ledger, 5..10);
    ledger.processed(&first);
    let second = hand_out(&mut ledger, 10..15);
    assert_eq!(rolled_back_to(&mut ledger, &second), Some(5));
}

#[test]
fn a_partition_revoked_after_its_batch_failed_is_not_set_back() {
    let mut ledger = assigned(&[0]);
    let ends = hand_out(&mut ledger, 5..10);
    let failed = ledger.failed(&ends);
    ledger.revoke(&[partition(0)]);
    ledger.assign(&[partition(0)]);
    assert_eq!(ledger.rollback(&failed, false), []);
}

#[test]
fn only_what_callbacks_are_done_with_is_processed() {
    let mut ledger = assigned(&[0]);
    let first = hand_out(&mut ledger, 5..10);
    assert_eq!(ledger.admit_processed(|_, _| true).commits.len(), 0);
    ledger.processed(&first);
    hand_out(&mut ledger, 10..15);
    let commits: Vec<_> =
        ledger.admit_processed(|_, _| true).commits.into_values().map(|commit| commit.next).collect();
    assert_eq!(commits, [10]);
}

#[test]
fn a_partition_that_nothing_was_read_from_has_no_position() {
    let ledger = assigned(&[0]);
    assert_eq!((ledger.progress()[0].position, ledger.progress()[0].committed), (None, None));
}

#[test]
fn assigned_partitions_are_counted_by_topic() {
    let mut ledger = assigned(&[0, 1]);
    ledger.assign(&[TopicPartition::new("u", 0)]);
    assert_eq!(ledger.counts().collect::<Vec<_>>(), [("t", 2), ("u", 1)]);
    ledger.revoke(&[partition(0), partition(1)]);
    assert_eq!(ledger.counts().collect::<Vec<_>>(), [("u", 1)]);
    ledger.clear();
    assert_eq!(ledger.counts().count(), 0);
}

#[test]
fn the_oldest_message_that_is_not_processed_is_known_by_its_time() {
    let mut ledger = assigned(&[0]);
    let reached = |ledger: &Ledger| {
        let progress = ledger.progress().remove(0);
        (progress.is_pending, progress.oldest_ms)
    };
    assert_eq!(reached(&ledger), (false, None));
    assert!(ledger.taken("t", 0, from(5)));
    let ends = hand_out(&mut ledger, 7..10);
    assert_eq!(reached(&ledger), (true, Some(5000)));
    let failed = ledger.failed(&ends);
    assert_eq!(reached(&ledger), (true, Some(5000)), "it comes again");
    ledger.rollback(&failed, false);
    let ends = hand_out(&mut ledger, 5..10);
    ledger.processed(&ends);
    assert_eq!(reached(&ledger), (false, None));
}

#[test]
fn a_batch_that_was_committed_before_it_failed_is_done_with() {
    let mut ledger = assigned(&[0]);
    let ends = hand_out(&mut ledger, 5..10);
    commit(&mut ledger, &ends);
    assert_eq!(rolled_back_to(&mut ledger, &ends), Some(10));
    let progress = ledger.progress().remove(0);
    assert_eq!((progress.position, progress.is_pending), (Some(10), false));
}
