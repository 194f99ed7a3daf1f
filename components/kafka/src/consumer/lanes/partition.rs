//! The lanes of one partition: a queue per key, or one for all, in slabs that are used again and again.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use crate::consumer::lanes::tracker::{Mark, Tracker};
use crate::consumer::lanes::{Incoming, LaneBatch, Limits};
use crate::consumer::ledger::Key;

/// No entry, or no lane.
const NONE: u32 = u32::MAX;

/// The lane of messages without a key, or of all where keys do not count. It exists for ever.
const COMMON: u32 = 0;

#[derive(Debug)]
pub(super) struct Partition<M> {
    pub(super) key: Key,
    pub(super) epoch: u64,
    pub(super) tracker: Tracker,
    /// Bytes of messages that wait here or are with callbacks.
    pub(super) bytes: usize,
    /// Messages of lanes that are ready.
    pub(super) n_ready_messages: usize,
    /// Batches with callbacks, and failed ones that wait to come again.
    pub(super) n_out: usize,
    /// Nothing more is handed out: it is being revoked.
    pub(super) is_closed: bool,
    /// The user wants nothing of it for now.
    pub(super) is_held: bool,
    /// The client is told to fetch nothing of it.
    pub(super) is_paused: bool,
    /// It waits for its turn.
    pub(super) has_turn: bool,
    /// Its prefix has grown since somebody looked.
    pub(super) has_moved: bool,
    entries: Vec<Entry<M>>,
    free_entry: u32,
    lanes: Vec<Lane>,
    free_lane: u32,
    by_key: HashMap<u64, u32, BuildHasherDefault<AsIs>>,
    ready: VecDeque<u32>,
}

#[derive(Debug)]
struct Entry<M> {
    /// `None` when it is free.
    held: Option<Held<M>>,
    /// The one behind it in its lane, or the next free one.
    next: u32,
}

#[derive(Debug)]
struct Held<M> {
    message: M,
    number: u64,
    size: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Lane {
    first: u32,
    last: u32,
    len: usize,
    key: Option<u64>,
    order: Order,
    is_ready: bool,
    /// It is in `ready`, or, if its order counts, a batch of it is out.
    is_taken: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// One batch at a time.
    Kept,
    Free,
}

impl<M> Partition<M> {
    /// With `keeps_order`, messages without a key keep their order as well.
    pub(super) fn new(key: Key, epoch: u64, keeps_order: bool) -> Partition<M> {
        let order = if keeps_order { Order::Kept } else { Order::Free };
        let common = Lane::new(None, order);
        Partition {
            key,
            epoch,
            tracker: Tracker::default(),
            bytes: 0,
            n_ready_messages: 0,
            n_out: 0,
            is_closed: false,
            is_held: false,
            is_paused: false,
            has_turn: false,
            has_moved: false,
            entries: Vec::new(),
            free_entry: NONE,
            lanes: vec![common],
            free_lane: NONE,
            by_key: HashMap::default(),
            ready: VecDeque::new(),
        }
    }

    /// Adds a message; `true` when a lane became ready by it.
    pub(super) fn push(
        &mut self,
        mark: Mark,
        Incoming { message, key_hash, size }: Incoming<M>,
        bytes: usize,
    ) -> bool {
        let number = self.tracker.came(mark);
        self.bytes += bytes;
        let entry_id = self.new_entry(Held { message, number, size, bytes });
        let lane_id = key_hash.map_or(COMMON, |hash| self.lane_of(hash));
        let last = std::mem::replace(&mut self.lanes[lane_id as usize].last, entry_id);
        if last == NONE {
            self.lanes[lane_id as usize].first = entry_id;
        } else {
            self.entries[last as usize].next = entry_id;
        }
        let lane = &mut self.lanes[lane_id as usize];
        lane.len += 1;
        self.n_ready_messages += usize::from(lane.is_ready);
        self.make_ready(lane_id)
    }

    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(super) fn n_ready(&self) -> usize {
        self.ready.len()
    }

    /// Fills a batch from the lane whose turn it is; there must be one.
    pub(super) fn take(&mut self, batch: &mut LaneBatch<M>, limits: Limits) -> bool {
        let Some(lane_id) = self.ready.pop_front() else { return false };
        let lane = &mut self.lanes[lane_id as usize];
        self.n_ready_messages -= lane.len;
        lane.is_ready = false;
        while lane.first != NONE && batch.messages.len() < limits.batch_max {
            let entry = &mut self.entries[lane.first as usize];
            let size = entry.held.as_ref().map_or(0, |held| held.size);
            if !batch.messages.is_empty() && limits.batch_bytes_max < batch.size + size {
                break;
            }
            if let Some(Held { message, number, bytes, .. }) = entry.held.take() {
                batch.messages.push(message);
                batch.numbers.push(number);
                batch.size += size;
                batch.bytes += bytes;
            }
            lane.len -= 1;
            let taken = std::mem::replace(&mut lane.first, entry.next);
            entry.next = std::mem::replace(&mut self.free_entry, taken);
        }
        if lane.first == NONE {
            lane.last = NONE;
        }
        lane.is_taken = lane.order == Order::Kept;
        batch.lane = lane_id;
        self.n_out += 1;
        // Where order does not count, the next batch need not wait for this one.
        self.make_ready(lane_id);
        true
    }

    /// Callbacks are done with a batch; `true` when a lane became ready by it.
    pub(super) fn finish(&mut self, batch: &LaneBatch<M>) -> bool {
        self.done(&batch.numbers);
        self.bytes -= batch.bytes;
        self.n_out -= 1;
        let lane = &mut self.lanes[batch.lane as usize];
        if lane.order == Order::Free {
            return false;
        }
        lane.is_taken = false;
        if self.is_closed || lane.first == NONE {
            self.drop_lane(batch.lane);
            return false;
        }
        self.make_ready(batch.lane)
    }

    /// These messages need no callback any more.
    pub(super) fn done(&mut self, numbers: &[u64]) {
        for number in numbers {
            self.has_moved |= self.tracker.done(*number);
        }
    }

    /// How many first messages of a batch are done already.
    pub(super) fn n_done(&self, batch: &LaneBatch<M>) -> usize {
        batch.numbers.iter().take_while(|number| self.tracker.is_done(**number)).count()
    }

    /// Whether no more should be fetched for now.
    pub(super) fn is_at_limit(&self, pending_max: usize, bytes_max: usize) -> bool {
        let is_full = pending_max <= self.tracker.n_open() || bytes_max <= self.bytes;
        is_full && !self.is_paused && !self.is_closed
    }

    /// Whether fetching may go on: far enough below the limit that it need not stop at once.
    pub(super) fn is_relieved(&self, pending_max: usize, bytes_max: usize) -> bool {
        let has_room = self.tracker.n_open() <= pending_max / 2 && self.bytes <= bytes_max / 2;
        has_room && self.is_paused && !self.is_closed
    }

    /// Whether it is being taken back and nothing of it is with callbacks any more.
    pub(super) fn is_empty_at_last(&self) -> bool {
        self.is_closed && self.n_out == 0
    }

    /// Hands out nothing more. What waits is given back, to be dropped where nobody is kept waiting.
    pub(super) fn close(&mut self) -> Vec<M> {
        self.is_closed = true;
        self.n_ready_messages = 0;
        self.ready.clear();
        self.free_entry = NONE;
        let mut dropped = Vec::new();
        for entry in std::mem::take(&mut self.entries) {
            if let Some(Held { message, bytes, .. }) = entry.held {
                self.bytes -= bytes;
                dropped.push(message);
            }
        }
        for lane in &mut self.lanes {
            (lane.first, lane.last, lane.len, lane.is_ready) = (NONE, NONE, 0, false);
        }
        dropped
    }

    fn make_ready(&mut self, lane_id: u32) -> bool {
        let lane = &mut self.lanes[lane_id as usize];
        let becomes_ready = !lane.is_taken && lane.first != NONE;
        if becomes_ready {
            (lane.is_taken, lane.is_ready) = (true, true);
            self.n_ready_messages += lane.len;
            self.ready.push_back(lane_id);
        }
        becomes_ready
    }

    fn new_entry(&mut self, held: Held<M>) -> u32 {
        let free = self.free_entry;
        if let Some(entry) = self.entries.get_mut(free as usize) {
            self.free_entry = std::mem::replace(&mut entry.next, NONE);
            entry.held = Some(held);
            return free;
        }
        self.entries.push(Entry { held: Some(held), next: NONE });
        index(self.entries.len() - 1)
    }

    fn lane_of(&mut self, hash: u64) -> u32 {
        if let Some(known) = self.by_key.get(&hash) {
            return *known;
        }
        let lane = Lane::new(Some(hash), Order::Kept);
        let free = self.free_lane;
        let lane_id = if let Some(place) = self.lanes.get_mut(free as usize) {
            self.free_lane = std::mem::replace(place, lane).first;
            free
        } else {
            self.lanes.push(lane);
            index(self.lanes.len() - 1)
        };
        self.by_key.insert(hash, lane_id);
        lane_id
    }

    /// Lets an empty lane be another key's.
    fn drop_lane(&mut self, lane_id: u32) {
        let lane = &mut self.lanes[lane_id as usize];
        let Some(hash) = lane.key.take() else { return };
        lane.first = std::mem::replace(&mut self.free_lane, lane_id);
        self.by_key.remove(&hash);
    }
}

impl Lane {
    fn new(key: Option<u64>, order: Order) -> Lane {
        Lane { first: NONE, last: NONE, len: 0, key, order, is_ready: false, is_taken: false }
    }
}

/// The pending messages of a partition are bounded far below this.
fn index(idx: usize) -> u32 {
    u32::try_from(idx).expect("a partition has fewer than 2^32 pending messages: `max_pending_per_partition`")
}

/// For keys that are hashes already.
#[derive(Debug, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Only whole hashes are keys; anything else is still mixed in.
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
