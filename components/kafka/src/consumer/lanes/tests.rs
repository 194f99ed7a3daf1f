//! Which batch may go next, what comes again, and how far a partition has come.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use crate::consumer::lanes::{Flow, Incoming, LaneBatch, Lanes, Limits, Mark, Reached, Tracker};
use crate::consumer::ledger::Key;

const LIMITS: Limits =
    Limits { batch_max: 3, batch_bytes_max: 1000, pending_max: 100, bytes_max: 1_000_000, overhead: 0 };

fn key(id: i32) -> Key {
    ("t".into(), id)
}

fn mark(offset: i64) -> Mark {
    Mark { offset, timestamp_ms: Some(offset * 1000), leader_epoch: None }
}

fn lanes(keeps_order: bool, ids: &[i32]) -> Lanes<i64> {
    let mut lanes = Lanes::new(keeps_order, LIMITS);
    for id in ids {
        lanes.open(key(*id), 1);
    }
    lanes
}

/// Messages are their own offsets.
fn push(lanes: &mut Lanes<i64>, partition: i32, offset: i64, key_hash: Option<u64>) {
    let idx = lanes.find_open("t", partition).unwrap();
    lanes.push(idx, mark(offset), Incoming { message: offset, key_hash, size: 10 });
}

fn take(lanes: &mut Lanes<i64>) -> Option<Arc<LaneBatch<i64>>> {
    lanes.take(&mut None).map(|(batch, _)| batch)
}

fn offsets(batch: Option<&Arc<LaneBatch<i64>>>) -> Vec<i64> {
    batch.map(|batch| batch.messages.clone()).unwrap_or_default()
}

fn reached(lanes: &mut Lanes<i64>) -> Vec<(i32, i64)> {
    let mut moved = Vec::new();
    lanes.drain_moved(|it| moved.push((it.key.1, it.reached.next)));
    moved
}

#[test]
fn only_the_prefix_without_a_gap_is_reached() {
    let mut tracker = Tracker::default();
    let numbers: Vec<_> = [5, 6, 9, 10].into_iter().map(|offset| tracker.came(mark(offset))).collect();
    assert_eq!(tracker.reached(), None);
    assert!(!tracker.done(numbers[2]));
    assert!(tracker.done(numbers[0]));
    assert_eq!(tracker.reached(), Some(Reached { next: 6, leader_epoch: None }));
    assert_eq!((tracker.n_open(), tracker.oldest()), (3, Some(Some(6000))));
    assert!(tracker.done(numbers[1]));
    assert_eq!(tracker.reached().unwrap().next, 10, "a gap in the offsets is none");
    assert!(!tracker.done(numbers[1]), "said twice");
    assert!(tracker.done(numbers[3]));
    assert_eq!((tracker.reached().unwrap().next, tracker.n_open(), tracker.oldest()), (11, 0, None));
}

#[test]
fn messages_of_one_key_wait_for_each_other_and_no_others() {
    let mut lanes = lanes(false, &[0]);
    for (offset, hash) in [(0, 7), (1, 8), (2, 7), (3, 9)] {
        push(&mut lanes, 0, offset, Some(hash));
    }
    let first = take(&mut lanes).unwrap();
    assert_eq!(first.messages, [0, 2], "one batch of what waits for its key");
    push(&mut lanes, 0, 4, Some(7));
    assert_eq!(offsets(take(&mut lanes).as_ref()), [1]);
    assert_eq!(offsets(take(&mut lanes).as_ref()), [3]);
    assert!(take(&mut lanes).is_none(), "4 waits for 0 and 2");
    lanes.finish(&first);
    assert_eq!(reached(&mut lanes), [(0, 1)], "1 is not done yet");
    assert_eq!(offsets(take(&mut lanes).as_ref()), [4]);
}

#[test]
fn messages_without_a_key_wait_for_nobody() {
    let mut lanes = lanes(false, &[0]);
    for offset in 0..5 {
        push(&mut lanes, 0, offset, None);
    }
    let (first, second) = (take(&mut lanes).unwrap(), take(&mut lanes).unwrap());
    assert_eq!((&*first.messages, &*second.messages), (&[0, 1, 2][..], &[3, 4][..]));
    lanes.finish(&second);
    assert_eq!(reached(&mut lanes), []);
    lanes.finish(&first);
    assert_eq!(reached(&mut lanes), [(0, 5)]);
}

#[test]
fn a_partition_that_keeps_its_order_has_one_batch_out_at_a_time() {
    let mut lanes = lanes(true, &[0, 1]);
    for offset in 0..4 {
        push(&mut lanes, 0, offset, None);
        push(&mut lanes, 1, offset, None);
    }
    let first = take(&mut lanes).unwrap();
    assert_eq!((first.key.1, &*first.messages), (0, &[0, 1, 2][..]));
    assert_eq!(take(&mut lanes).unwrap().key.1, 1);
    assert!(take(&mut lanes).is_none());
    lanes.finish(&first);
    assert_eq!(offsets(take(&mut lanes).as_ref()), [3]);
}

#[test]
fn partitions_take_turns_whatever_waits_in_each() {
    let mut lanes = lanes(false, &[0, 1]);
    for offset in 0..9 {
        push(&mut lanes, 0, offset, Some(u64::try_from(offset).unwrap()));
    }
    push(&mut lanes, 1, 0, Some(1));
    push(&mut lanes, 1, 1, Some(2));
    let turns: Vec<_> = (0..5).map(|_| take(&mut lanes).unwrap().key.1).collect();
    assert_eq!(turns, [0, 1, 0, 1, 0]);
}

#[test]
fn a_batch_ends_before_it_has_too_many_bytes_but_has_one_message_at_least() {
    let mut lanes = lanes(true, &[0]);
    lanes.limits = Limits { batch_max: 100, batch_bytes_max: 25, ..LIMITS };
    for offset in 0..3 {
        push(&mut lanes, 0, offset, None);
    }
    let first = take(&mut lanes).unwrap();
    assert_eq!(first.messages, [0, 1]);
    lanes.finish(&first);
    lanes.limits.batch_bytes_max = 5;
    assert_eq!(offsets(take(&mut lanes).as_ref()), [2]);
}

#[test]
fn a_failed_batch_keeps_only_its_own_lane_and_comes_again_as_it_was() {
    let mut lanes = lanes(false, &[0]);
    let now = Instant::now();
    push(&mut lanes, 0, 0, Some(7));
    push(&mut lanes, 0, 1, Some(8));
    let first = take(&mut lanes).unwrap();
    lanes.fail(first, now + Duration::from_secs(1));
    push(&mut lanes, 0, 2, Some(7));
    let other = take(&mut lanes).unwrap();
    assert_eq!(other.messages, [1]);
    lanes.finish(&other);
    lanes.retry(now);
    assert!(take(&mut lanes).is_none(), "not before its time");
    assert_eq!(lanes.next_due(), Some(now + Duration::from_secs(1)));
    lanes.retry(now + Duration::from_secs(1));
    let again = take(&mut lanes).unwrap();
    assert_eq!(again.messages, [0], "2 waits behind it");
    lanes.finish(&again);
    assert_eq!(reached(&mut lanes), [(0, 2)]);
    assert_eq!(offsets(take(&mut lanes).as_ref()), [2]);
}

#[test]
fn batches_that_fail_at_once_again_and_again_leave_every_other_turn_to_the_rest() {
    let mut lanes = lanes(false, &[0]);
    let now = Instant::now();
    for offset in 0..4 {
        push(&mut lanes, 0, offset, Some(u64::try_from(offset).unwrap()));
    }
    let (first, second) = (take(&mut lanes).unwrap(), take(&mut lanes).unwrap());
    lanes.fail(first, now);
    lanes.fail(second, now);
    lanes.retry(now);
    let turns: Vec<_> = (0..4).map(|_| take(&mut lanes).unwrap().messages[0]).collect();
    assert_eq!(turns, [0, 2, 1, 3]);
}

#[test]
fn what_was_done_before_its_callback_failed_does_not_come_again() {
    let mut lanes = lanes(false, &[0]);
    push(&mut lanes, 0, 0, Some(7));
    push(&mut lanes, 0, 1, Some(7));
    lanes.limits.batch_max = 1;
    let first = take(&mut lanes).unwrap();
    assert!(lanes.done(&first, 1));
    assert_eq!(reached(&mut lanes), [(0, 1)]);
    lanes.fail(first, Instant::now());
    assert_eq!(lanes.next_due(), None);
    assert_eq!(offsets(take(&mut lanes).as_ref()), [1]);
}

#[test]
fn what_was_done_of_a_batch_before_it_failed_is_left_out_when_it_comes_again() {
    let mut lanes = lanes(true, &[0]);
    for offset in 0..3 {
        push(&mut lanes, 0, offset, None);
    }
    let first = take(&mut lanes).unwrap();
    assert!(lanes.done(&first, 2));
    assert_eq!((lanes.n_undone(&first), reached(&mut lanes)), (1, vec![(0, 2)]));
    let now = Instant::now();
    lanes.fail(first, now);
    lanes.retry(now);
    let (again, skip) = lanes.take(&mut None).unwrap();
    assert_eq!(again.messages[skip..], [2]);
}

#[test]
fn a_held_partition_hands_out_nothing_until_it_is_released() {
    let mut lanes = lanes(false, &[0, 1]);
    let now = Instant::now();
    for offset in 0..2 {
        push(&mut lanes, 0, offset, Some(u64::try_from(offset).unwrap()));
    }
    let first = take(&mut lanes).unwrap();
    lanes.fail(first, now);
    lanes.hold(&key(0));
    lanes.retry(now);
    push(&mut lanes, 0, 2, Some(2));
    push(&mut lanes, 1, 0, Some(0));
    assert_eq!(take(&mut lanes).unwrap().key.1, 1);
    assert_eq!((take(&mut lanes).is_none(), lanes.next_due()), (true, None));
    lanes.release(&key(0));
    let released: Vec<_> = std::iter::from_fn(|| take(&mut lanes)).map(|batch| batch.messages[0]).collect();
    assert_eq!(released, [0, 1, 2]);
}

#[test]
fn a_closed_partition_hands_out_nothing_more_and_what_is_out_may_finish() {
    let mut lanes = lanes(false, &[0, 1]);
    for offset in 0..3 {
        push(&mut lanes, 0, offset, Some(u64::try_from(offset).unwrap()));
    }
    let (first, second) = (take(&mut lanes).unwrap(), take(&mut lanes).unwrap());
    assert_eq!(lanes.close(&key(0)), [2]);
    assert_eq!((take(&mut lanes).is_none(), lanes.find_open("t", 0)), (true, None));
    assert!(lanes.is_out(|it| *it == key(0)));
    assert!(!lanes.finish(&first));
    assert_eq!(reached(&mut lanes), [(0, 1)]);
    lanes.fail(second, Instant::now());
    assert!(!lanes.is_out(|it| *it == key(0)), "it comes again elsewhere");
    assert_eq!((lanes.next_due(), lanes.bytes()), (None, 0));
}

#[test]
fn what_is_out_of_a_partition_that_was_taken_back_does_not_count_when_it_is_ours_again() {
    let mut lanes = lanes(false, &[0]);
    push(&mut lanes, 0, 0, None);
    let old = take(&mut lanes).unwrap();
    assert_eq!(lanes.remove(&key(0)), [0; 0]);
    lanes.open(key(0), 2);
    push(&mut lanes, 0, 0, None);
    assert!(!lanes.done(&old, 1));
    lanes.finish(&old);
    lanes.fail(old, Instant::now());
    assert_eq!((reached(&mut lanes), lanes.next_due(), lanes.bytes()), (vec![], None, 10));
    let again = take(&mut lanes).unwrap();
    lanes.finish(&again);
    assert_eq!((reached(&mut lanes), lanes.bytes()), (vec![(0, 1)], 0));
}

#[test]
fn a_partition_at_its_limit_is_paused_and_resumed_at_half_of_it() {
    let mut lanes = lanes(true, &[0, 1]);
    lanes.limits = Limits { pending_max: 4, batch_max: 1, ..LIMITS };
    for offset in 0..3 {
        push(&mut lanes, 0, offset, None);
    }
    assert_eq!(lanes.flow(), Flow::default());
    push(&mut lanes, 0, 3, None);
    assert_eq!(lanes.flow(), Flow { pause: vec![key(0)], resume: vec![] });
    assert_eq!(lanes.flow(), Flow::default(), "said once");
    let first = take(&mut lanes).unwrap();
    assert!(!lanes.finish(&first));
    let second = take(&mut lanes).unwrap();
    assert!(lanes.finish(&second), "news");
    assert_eq!(lanes.flow(), Flow { pause: vec![], resume: vec![key(0)] });
}

#[test]
fn a_partition_is_paused_at_its_share_of_the_bytes() {
    let mut lanes = lanes(true, &[0, 1]);
    lanes.limits.bytes_max = 40;
    push(&mut lanes, 0, 0, None);
    assert_eq!(lanes.flow(), Flow::default());
    push(&mut lanes, 0, 1, None);
    assert_eq!(lanes.flow(), Flow { pause: vec![key(0)], resume: vec![] });
    assert_eq!(lanes.bytes(), 20);
}

#[test]
fn a_batch_that_is_done_with_is_filled_again_unless_somebody_holds_it() {
    let mut lanes = lanes(false, &[0]);
    for offset in 0..3 {
        push(&mut lanes, 0, offset, Some(u64::try_from(offset).unwrap()));
    }
    let mut spare = None;
    let (first, _) = lanes.take(&mut spare).unwrap();
    let address = Arc::as_ptr(&first);
    lanes.finish(&first);
    spare = Some(first);
    let (second, _) = lanes.take(&mut spare).unwrap();
    assert_eq!((Arc::as_ptr(&second), &*second.messages), (address, &[1][..]));
    lanes.finish(&second);
    let held = Arc::clone(&second);
    spare = Some(second);
    assert_eq!(offsets(lanes.take(&mut spare).map(|(batch, _)| batch).as_ref()), [2]);
    assert_eq!(held.messages, [1]);
}

/// What may happen, in any order.
#[derive(Debug, Clone, Copy)]
enum Step {
    Push { partition: i32, key: Option<u64> },
    Take,
    Finish(usize),
    Done(usize),
    Fail(usize),
    Retry,
    Close(i32),
    Reopen(i32),
}

fn step() -> impl Strategy<Value = Step> {
    let partition = 0..3_i32;
    prop_oneof![
        8 => (partition.clone(), prop::option::weighted(0.8, 0..4_u64))
            .prop_map(|(partition, key)| Step::Push { partition, key }),
        6 => Just(Step::Take),
        5 => any::<usize>().prop_map(Step::Finish),
        1 => any::<usize>().prop_map(Step::Done),
        2 => any::<usize>().prop_map(Step::Fail),
        2 => Just(Step::Retry),
        1 => partition.clone().prop_map(Step::Close),
        1 => partition.prop_map(Step::Reopen),
    ]
}

/// What one partition should be like: everything that came to it under one epoch.
#[derive(Debug, Default)]
struct Oracle {
    epoch: u64,
    next: i64,
    is_closed: bool,
    keys: BTreeMap<i64, Option<u64>>,
    done: BTreeSet<i64>,
    out: BTreeSet<i64>,
}

impl Oracle {
    fn prefix(&self) -> i64 {
        self.keys.keys().copied().find(|offset| !self.done.contains(offset)).unwrap_or(self.next)
    }
}

proptest! {
    /// Order within a key, one batch of a key at a time, nothing lost, nothing twice but what failed, and no prefix beyond
    /// the first undone message: whatever happens in whatever order.
    #[test]
    fn whatever_happens_in_whatever_order(steps in prop::collection::vec(step(), 1..200)) {
        let mut lanes = lanes(false, &[]);
        let now = Instant::now();
        let mut oracle: BTreeMap<i32, Oracle> = BTreeMap::new();
        let mut epochs = 0;
        let mut out: Vec<Arc<LaneBatch<i64>>> = Vec::new();
        for id in 0..3 {
            epochs += 1;
            lanes.open(key(id), epochs);
            oracle.insert(id, Oracle { epoch: epochs, ..Oracle::default() });
        }
        for step in steps {
            match step {
                Step::Push { partition, key } => {
                    let expected = oracle.get_mut(&partition).unwrap();
                    let found = lanes.find_open("t", partition);
                    prop_assert_eq!(found.is_none(), expected.is_closed);
                    if let Some(idx) = found {
                        let offset = expected.next;
                        lanes.push(idx, mark(offset), Incoming { message: offset, key_hash: key, size: 1 });
                        expected.keys.insert(offset, key);
                        expected.next += 1;
                    }
                }
                Step::Take => {
                    let Some(batch) = take(&mut lanes) else { continue };
                    let expected = oracle.get_mut(&batch.key.1).unwrap();
                    prop_assert_eq!(batch.epoch, expected.epoch);
                    prop_assert!(!expected.is_closed && !batch.messages.is_empty() && batch.messages.len() <= 3);
                    let hash = expected.keys[&batch.messages[0]];
                    for offset in &batch.messages {
                        prop_assert_eq!(expected.keys[offset], hash, "one lane");
                        prop_assert!(expected.out.insert(*offset), "out twice at the same time");
                    }
                    if let Some(hash) = hash {
                        let earlier: Vec<_> = expected.keys.range(..batch.messages[0])
                            .filter(|(offset, key)| **key == Some(hash) && !expected.done.contains(offset)).collect();
                        prop_assert!(earlier.is_empty(), "{:?} overtaken", earlier);
                        prop_assert!(batch.messages.is_sorted());
                    }
                    out.push(batch);
                }
                Step::Finish(idx) if !out.is_empty() => {
                    let batch = out.swap_remove(idx % out.len());
                    let expected = oracle.get_mut(&batch.key.1).unwrap();
                    if batch.epoch == expected.epoch {
                        for offset in &batch.messages {
                            expected.out.remove(offset);
                            expected.done.insert(*offset);
                        }
                    }
                    lanes.finish(&batch);
                }
                Step::Done(idx) if !out.is_empty() => {
                    let batch = &out[idx % out.len()];
                    let expected = oracle.get_mut(&batch.key.1).unwrap();
                    let n_done = idx / 7 % (batch.messages.len() + 1);
                    prop_assert_eq!(lanes.done(batch, n_done), batch.epoch == expected.epoch);
                    if batch.epoch == expected.epoch {
                        expected.done.extend(&batch.messages[..n_done]);
                    }
                }
                Step::Fail(idx) if !out.is_empty() => {
                    let batch = out.swap_remove(idx % out.len());
                    let expected = oracle.get_mut(&batch.key.1).unwrap();
                    if batch.epoch == expected.epoch {
                        batch.messages.iter().for_each(|offset| { expected.out.remove(offset); });
                    }
                    lanes.fail(batch, now);
                }
                Step::Retry => lanes.retry(now),
                Step::Close(id) => {
                    lanes.close(&key(id));
                    oracle.get_mut(&id).unwrap().is_closed = true;
                }
                Step::Reopen(id) => {
                    epochs += 1;
                    lanes.open(key(id), epochs);
                    oracle.insert(id, Oracle { epoch: epochs, ..Oracle::default() });
                }
                Step::Finish(_) | Step::Done(_) | Step::Fail(_) => {}
            }
            lanes.drain_moved(|moved| {
                let expected = &oracle[&moved.key.1];
                assert_eq!((moved.epoch, moved.reached.next), (expected.epoch, expected.prefix()));
            });
            for (id, expected) in &oracle {
                if expected.is_closed {
                    assert_eq!(lanes.is_out(|it| *it == key(*id)), !expected.out.is_empty());
                }
            }
        }
        // Whatever is out finishes; then everything of the open partitions comes, and nothing is left.
        for batch in out {
            let expected = oracle.get_mut(&batch.key.1).unwrap();
            if batch.epoch == expected.epoch {
                expected.done.extend(&batch.messages);
            }
            lanes.finish(&batch);
        }
        lanes.retry(now);
        while let Some(batch) = take(&mut lanes) {
            oracle.get_mut(&batch.key.1).unwrap().done.extend(&batch.messages);
            lanes.finish(&batch);
        }
        for expected in oracle.values().filter(|expected| !expected.is_closed) {
            prop_assert_eq!(expected.done.len(), expected.keys.len());
            prop_assert_eq!(expected.prefix(), expected.next);
        }
        prop_assert_eq!((lanes.bytes(), lanes.n_ready(), lanes.n_failed()), (0, 0, 0));
    }
}
