//! Ledger, lanes and commits together, driven in random orders and held to what they promise: nothing is committed that was
//! not processed, nothing of a partition that was handed back, and nothing is left out.
//!
//! Each run is one seed, which a failure names; `check_lanes(seed)` and `check_batches(seed)` repeat it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mainspring_kafka_ffi::{KafkaCode, KafkaError, TopicPartition};
use tokio::time::Instant;

use crate::consumer::commits::{Commits, Outcome};
use crate::consumer::lanes::{Incoming, LaneBatch, Lanes, Limits, Mark};
use crate::consumer::ledger::{BatchEnd, Key, Ledger, Taken};

const SEEDS: std::ops::Range<u64> = 0..2000;
const STEPS: usize = 300;
const PARTITIONS: i32 = 4;

/// The generator `SplitMix64`: the same numbers for the same seed on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let limit = u64::try_from(most).unwrap();
        usize::try_from((mixed ^ (mixed >> 31)) % limit).unwrap()
    }

    fn partition(&mut self) -> i32 {
        i32::try_from(self.below(PARTITIONS.unsigned_abs() as usize)).unwrap()
    }
}

/// One partition as the broker and the callbacks have it.
#[derive(Debug, Default)]
struct Truth {
    is_ours: bool,
    /// Revoked, and not handed back yet.
    is_leaving: bool,
    /// The offset of the next message that is fetched.
    next: i64,
    /// What callbacks have done, in whichever assignment.
    processed: BTreeSet<i64>,
    committed: i64,
}

impl Truth {
    /// The first message that was never processed.
    fn prefix(&self) -> i64 {
        (0..).find(|offset| !self.processed.contains(offset)).unwrap()
    }
}

/// What both forms of a consumer share.
struct World {
    seed: u64,
    random: Random,
    now: Instant,
    ledger: Ledger,
    commits: Commits,
    truth: BTreeMap<i32, Truth>,
    /// A request whose answer is on its way.
    sent: Option<(usize, Vec<TopicPartition>, Result<(), KafkaError>)>,
}

fn refusal(code: KafkaCode) -> KafkaError {
    KafkaError { code, text: code.description(), fatal: false, retriable: false, txn_requires_abort: false }
}

fn key(id: i32) -> Key {
    ("t".into(), id)
}

impl World {
    fn new(seed: u64) -> World {
        let truth = (0..PARTITIONS).map(|id| (id, Truth::default())).collect();
        let (random, now) = (Random(seed), Instant::now());
        World { seed, random, now, ledger: Ledger::default(), commits: Commits::default(), truth, sent: None }
    }

    fn of(&mut self, id: i32) -> &mut Truth {
        self.truth.get_mut(&id).unwrap()
    }

    /// `true` when the partition is new.
    fn assign(&mut self, id: i32) -> bool {
        let seed = self.seed;
        let of = self.of(id);
        if of.is_ours {
            return false;
        }
        assert!(
            of.committed <= of.prefix(),
            "seed {seed}: {id} begins behind what was never processed: {of:?}"
        );
        (of.is_ours, of.next) = (true, of.committed);
        self.ledger.assign(&[TopicPartition::new("t", id)]);
        true
    }

    fn hand_back(&mut self, id: i32) {
        (self.of(id).is_ours, self.of(id).is_leaving) = (false, false);
        self.ledger.revoke(&[TopicPartition::new("t", id)]);
        let ledger = &self.ledger;
        self.commits.forget(|(topic, partition)| !ledger.owns(topic, *partition));
    }

    /// Sends what may be sent, and checks it.
    fn send(&mut self) {
        self.now += Duration::from_secs(1);
        let Some((request, tag)) = self.commits.next(self.now) else { return };
        for TopicPartition { partition, offset, .. } in &request {
            let (seed, offset, of) = (self.seed, offset.unwrap(), &self.truth[partition]);
            assert!(of.is_ours, "seed {seed}: {partition} was handed back, and {offset} is committed");
            assert!(offset <= of.prefix(), "seed {seed}: {offset} of {partition} is committed: {of:?}");
        }
        // The coordinator takes, refuses or loses it at once; the answer comes later.
        let result = match self.random.below(4) {
            0 => Err(refusal(KafkaCode::REBALANCE_IN_PROGRESS)),
            1 => Err(refusal(KafkaCode::TOPIC_AUTHORIZATION_FAILED)),
            _ => Ok(()),
        };
        if result.is_ok() {
            for TopicPartition { partition, offset, .. } in &request {
                let (seed, offset) = (self.seed, offset.unwrap());
                let of = self.of(*partition);
                assert!(of.committed <= offset, "seed {seed}: {partition} goes back to {offset}: {of:?}");
                of.committed = offset;
            }
        }
        self.sent = Some((tag, request, result));
    }

    fn answer(&mut self) {
        let Some((tag, request, result)) = self.sent.take() else { return };
        let ledger = &self.ledger;
        let is_ours = |key: &Key, commit: &_| ledger.holds(key, commit);
        let answer = self.commits.answered(tag, &result, &request, self.now, is_ours).unwrap();
        for (key, commit, outcome) in &answer.offsets {
            if *outcome == Outcome::Committed {
                self.ledger.committed(key, commit);
            }
        }
    }

    /// Everything that was processed is committed in the end.
    fn settle(&mut self) {
        for _ in 0..200 {
            self.commits.add_unasked(self.ledger.admit_processed(|_, _| true), self.now);
            self.send();
            self.answer();
        }
        for (id, of) in self.truth.iter().filter(|(_, of)| of.is_ours) {
            let seed = self.seed;
            assert!(of.next <= of.prefix(), "seed {seed}: something of {id} is left out: {of:?}");
            assert_eq!(of.committed, of.next, "seed {seed}: {id} is not committed: {of:?}");
        }
    }
}

fn check_lanes(seed: u64) {
    let mut world = World::new(seed);
    let limits =
        Limits { batch_max: 3, batch_bytes_max: 1000, pending_max: 50, bytes_max: 100_000, overhead: 1 };
    let mut lanes: Lanes<i64> = Lanes::new(world.random.below(2) == 0, limits);
    let mut out: Vec<Arc<LaneBatch<i64>>> = Vec::new();
    let finish = |world: &mut World, lanes: &mut Lanes<i64>, batch: &LaneBatch<i64>| {
        // Its callback did it, whoever may commit it.
        world.of(batch.key.1).processed.extend(&batch.messages);
        lanes.finish(batch);
    };
    let look =
        |world: &mut World, lanes: &mut Lanes<i64>| lanes.drain_moved(|moved| world.ledger.reached(&moved));
    for _ in 0..STEPS {
        let id = world.random.partition();
        match world.random.below(16) {
            0 | 1 if world.assign(id) => lanes.open(key(id), world.ledger.epoch("t", id).unwrap()),
            2..=5 => {
                let Some(idx) = lanes.find_open("t", id) else { continue };
                for _ in 0..world.random.below(5) {
                    let offset = world.of(id).next;
                    let mark = Mark { offset, timestamp_ms: None, leader_epoch: None };
                    assert!(world.ledger.taken(
                        "t",
                        id,
                        Taken { offset, timestamp_ms: None, next: offset + 1 }
                    ));
                    let key_hash = (world.random.below(3) != 0).then(|| u64::try_from(offset % 3).unwrap());
                    lanes.push(idx, mark, Incoming { message: offset, key_hash, size: 1 });
                    world.of(id).next += 1;
                }
            }
            6 | 7 => out.extend(lanes.take(&mut None).map(|(batch, _)| batch)),
            8 | 9 if !out.is_empty() => {
                let batch = out.swap_remove(world.random.below(out.len()));
                finish(&mut world, &mut lanes, &batch);
            }
            10 if !out.is_empty() => {
                let batch = out.swap_remove(world.random.below(out.len()));
                lanes.fail(batch, world.now);
            }
            11 => lanes.retry(world.now),
            12 => {
                look(&mut world, &mut lanes);
                let admitted = world.ledger.admit_processed(|_, _| true);
                world.commits.add_unasked(admitted, world.now);
            }
            13 => world.send(),
            14 => world.answer(),
            15 if world.of(id).is_ours => {
                // Revoked, and handed back later; or lost, or too late.
                if world.random.below(2) == 0 && !world.of(id).is_leaving {
                    world.of(id).is_leaving = true;
                    lanes.close(&key(id));
                } else {
                    look(&mut world, &mut lanes);
                    world.hand_back(id);
                    lanes.remove(&key(id));
                }
            }
            _ => {}
        }
    }
    let leaving: Vec<_> = world.truth.iter().filter(|(_, of)| of.is_leaving).map(|(id, _)| *id).collect();
    for id in leaving {
        world.hand_back(id);
        lanes.remove(&key(id));
    }
    out.iter().for_each(|batch| finish(&mut world, &mut lanes, batch));
    lanes.retry(world.now);
    while let Some((batch, _)) = lanes.take(&mut None) {
        finish(&mut world, &mut lanes, &batch);
    }
    look(&mut world, &mut lanes);
    world.settle();
}

#[test]
fn lanes_commit_what_is_done_and_leave_nothing_out_in_whatever_order_things_happen() {
    SEEDS.for_each(check_lanes);
}

/// One batch at a time, over several partitions, as without `concurrency`.
fn check_batches(seed: u64) {
    let mut world = World::new(seed);
    let mut running: Option<Vec<BatchEnd>> = None;
    let mut failed: Option<Vec<BatchEnd>> = None;
    let mut began: BTreeMap<i32, i64> = BTreeMap::new();
    let process = |world: &mut World, ends: &[BatchEnd], began: &BTreeMap<i32, i64>| {
        for end in ends {
            let done = began[&end.partition]..end.next;
            world.of(end.partition).processed.extend(done);
        }
        world.ledger.processed(ends);
    };
    let roll_back = |world: &mut World, failed: Vec<BatchEnd>| {
        for position in world.ledger.rollback(&failed, false) {
            let of = world.of(position.partition);
            of.next = position.offset.unwrap();
            assert!(of.next <= of.prefix(), "seed {seed}: goes on behind what was never processed: {of:?}");
        }
    };
    for _ in 0..STEPS {
        let id = world.random.partition();
        match world.random.below(12) {
            0 | 1 => drop(world.assign(id)),
            2..=4 if running.is_none() && failed.is_none() => {
                let mut ends = Vec::new();
                began.clear();
                for id in 0..PARTITIONS {
                    let n_messages = i64::try_from(world.random.below(4)).unwrap();
                    if n_messages == 0 || !world.ledger.owns("t", id) || world.of(id).is_leaving {
                        continue;
                    }
                    let offset = world.of(id).next;
                    let next = offset + n_messages;
                    assert!(world.ledger.taken("t", id, Taken { offset, timestamp_ms: None, next }));
                    ends.push(world.ledger.end("t", id, next, None).unwrap());
                    began.insert(id, offset);
                    world.of(id).next = next;
                }
                running = Some(ends);
            }
            5 | 6 => {
                if let Some(ends) = running.take() {
                    process(&mut world, &ends, &began);
                }
            }
            7 => {
                if let Some(ends) = running.take() {
                    failed = Some(world.ledger.failed(&ends));
                }
            }
            8 => {
                if let Some(failed) = failed.take() {
                    roll_back(&mut world, failed);
                }
            }
            9 => {
                let admitted = world.ledger.admit_processed(|_, _| true);
                world.commits.add_unasked(admitted, world.now);
                world.send();
            }
            10 => world.answer(),
            11 if world.of(id).is_ours => world.hand_back(id),
            _ => {}
        }
    }
    if let Some(ends) = running.take() {
        process(&mut world, &ends, &began);
    }
    if let Some(failed) = failed.take() {
        roll_back(&mut world, failed);
    }
    // What was set back is read again.
    for id in 0..PARTITIONS {
        let Truth { is_ours: true, next, processed, .. } = world.of(id) else { continue };
        let (from, to) = (*next, processed.last().map_or(*next, |last| (last + 1).max(*next)));
        processed.extend(from..to);
        *next = to;
        if from < to {
            assert!(world.ledger.taken("t", id, Taken { offset: from, timestamp_ms: None, next: to }));
            let end = world.ledger.end("t", id, to, None).unwrap();
            world.ledger.processed(&[end]);
        }
    }
    world.settle();
}

#[test]
fn batches_commit_what_is_done_and_leave_nothing_out_in_whatever_order_things_happen() {
    SEEDS.for_each(check_batches);
}
