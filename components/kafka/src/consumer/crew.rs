//! Callbacks that work at the same time: workers that take batches from the [`lanes`](super::lanes), and what the consumer's
//! task and they say to each other.
//!
//! Workers are tasks on the callback task processor, started once per client; one that panics or is cancelled is replaced. A
//! worker says that it is done with a batch and takes the next one under one lock. The consumer's task adds a whole fetch
//! under one lock, and is woken only when something waits for it: a failure, room where there was none, a partition that is
//! free to leave, or progress of which it was not told for [`TELL_AFTER`] or until a worker runs out of work.

use std::collections::hash_map::RandomState;
use std::future::poll_fn;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use mainspring_kafka_ffi as ffi;
use mainspring_logging::Chain;
use tokio::time::Instant;

use crate::consumer::batch::{Batch, Committer, Handed};
use crate::consumer::concurrency::ConcurrencyMode;
use crate::consumer::config::Settings;
use crate::consumer::events::{self, Failure};
use crate::consumer::lanes::{Flow, Incoming, Lanes, Limits, Lot, Mark, Moved};
use crate::consumer::ledger::Key;
use crate::consumer::message::Message;
use crate::consumer::run::{Callback, call};
use crate::consumer::status::Status;

/// Longest time for which progress is not told while every worker has work.
const TELL_AFTER: Duration = Duration::from_millis(5);

/// Messages that wait for nothing but a callback, per worker and in all: with so many none is taken from the client, whose
/// queue waits more cheaply. A partition that is slow stands apart from that, for its messages wait for each other.
const READY_PER_WORKER: usize = 64;
const READY_MIN: usize = 2048;

/// What a message takes of the memory budget besides its key and payload: librdkafka's entry for it, and ours.
pub(crate) const MESSAGE_OVERHEAD: usize = 512;

#[derive(Debug)]
pub(crate) struct Crew {
    state: Mutex<State>,
    has_news: AtomicBool,
    session: AtomicWaker,
    mode: ConcurrencyMode,
    hashes: RandomState,
}

#[derive(Debug)]
struct State {
    lanes: Lanes<Message>,
    workers: Vec<Worker>,
    /// Workers that wait for work.
    idle: Vec<usize>,
    /// Nothing is handed out for now.
    is_paused: bool,
    /// Nothing is handed out any more.
    is_over: bool,
    restart_delay: Duration,
    /// Something was finished since the consumer's task looked last.
    has_untold: bool,
    looked: Instant,
    /// It found no room.
    is_full: bool,
}

#[derive(Debug, Default)]
struct Worker {
    running: Option<Running>,
    waker: Option<Waker>,
}

/// A batch that is with a callback.
#[derive(Debug)]
struct Running {
    lot: Arc<Lot>,
    skip: usize,
    began: Instant,
    is_warned: bool,
    is_overdue: bool,
}

/// What the consumer's task finds when it looks.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) flow: Flow,
    /// When a failed batch comes again.
    pub(crate) next_due: Option<Instant>,
    pub(crate) n_failed: usize,
    /// Bytes of messages that wait or are with callbacks, and what is left of their budget.
    pub(crate) held: usize,
    pub(crate) room: usize,
}

/// A callback that takes long.
#[derive(Debug)]
pub(crate) enum Late {
    /// Half of its time is gone.
    Slow(Arc<Lot>),
    /// All of it; its worker is to be cancelled.
    Overdue(usize, Arc<Lot>),
    /// It was cancelled, and does not end.
    Stuck(Arc<Lot>),
}

/// A batch whose callback came to no good end.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) lot: Arc<Lot>,
    /// How many of its messages were processed before, this time, and how many come again.
    pub(crate) n_done: usize,
    pub(crate) n_undone: usize,
    pub(crate) took: Duration,
    /// It was past its limit.
    pub(crate) is_overdue: bool,
}

/// A batch as its callback has it.
#[derive(Debug, Clone)]
pub(crate) struct Lent {
    crew: Arc<Crew>,
    lot: Arc<Lot>,
    /// How many of its first messages were processed before it failed.
    skip: usize,
    /// How many of its first messages it is about.
    n_meant: usize,
}

impl Lent {
    pub(crate) fn lot(&self) -> &Lot {
        &self.lot
    }

    pub(crate) fn messages(&self) -> &[Message] {
        &self.lot.messages[self.skip..]
    }

    pub(crate) fn into_messages(self) -> Vec<Message> {
        (self.skip..self.lot.messages.len()).map(|idx| Message::lent(Arc::clone(&self.lot), idx)).collect()
    }

    /// The part of it up to and including this message; `None` when that is of another partition.
    pub(crate) fn up_to(&self, message: &Message) -> Option<Lent> {
        let (topic, partition) = &self.lot.key;
        let is_its = *partition == message.partition() && **topic == *message.topic();
        let n_meant = self.lot.messages.partition_point(|it| it.offset() <= message.offset());
        is_its.then(|| Lent { n_meant, ..self.clone() })
    }

    /// The part of it below this offset.
    pub(crate) fn below(&self, next: i64) -> Lent {
        let n_meant = self.lot.messages.partition_point(|message| message.offset() < next);
        Lent { n_meant, ..self.clone() }
    }

    /// It counts as processed; `false` when its partition was taken back.
    pub(crate) fn note(&self) -> bool {
        self.crew.state().lanes.done(&self.lot, self.n_meant)
    }

    /// Its messages below this offset count as processed.
    pub(crate) fn done_below(&self, next: i64) {
        let n_done = self.lot.messages.partition_point(|message| message.offset() < next);
        self.crew.state().lanes.done(&self.lot, n_done);
    }
}

/// What a worker needs.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) callback: Callback,
    pub(crate) committer: Committer,
    pub(crate) status: Arc<Status>,
    pub(crate) settings: Arc<Settings>,
}

impl Crew {
    pub(crate) fn new(
        mode: ConcurrencyMode,
        n_workers: usize,
        limits: Limits,
        restart_delay: Duration,
    ) -> Crew {
        let mut workers = Vec::new();
        workers.resize_with(n_workers, Worker::default);
        let state = State {
            lanes: Lanes::new(mode == ConcurrencyMode::Partition, limits),
            workers,
            idle: Vec::with_capacity(n_workers),
            is_paused: false,
            is_over: false,
            restart_delay,
            has_untold: false,
            looked: Instant::now(),
            is_full: false,
        };
        Crew {
            state: Mutex::new(state),
            has_news: AtomicBool::new(false),
            session: AtomicWaker::new(),
            mode,
            hashes: RandomState::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // What the consumer's task says.

    /// Partitions are ours, each under its epoch.
    pub(crate) fn open(&self, partitions: impl Iterator<Item = (Key, u64)>) {
        let mut state = self.state();
        partitions.for_each(|(key, epoch)| state.lanes.open(key, epoch));
    }

    /// A partition is read elsewhere: what was handed out of it counts no more.
    pub(crate) fn reopen(&self, key: &Key, epoch: u64) {
        let dropped = {
            let mut state = self.state();
            let dropped = state.lanes.remove(key);
            state.lanes.open(key.clone(), epoch);
            dropped
        };
        drop(dropped);
    }

    /// Hands out nothing more of these partitions.
    pub(crate) fn close<'k>(&self, keys: impl Iterator<Item = &'k Key>) {
        let dropped: Vec<_> = {
            let mut state = self.state();
            keys.map(|key| state.lanes.close(key)).collect()
        };
        drop(dropped);
    }

    /// Forgets partitions that are not ours any more.
    pub(crate) fn retain(&self, is_ours: impl Fn(&Key) -> bool) {
        let dropped: Vec<_> = {
            let mut state = self.state();
            let gone: Vec<_> = state.lanes.keys().filter(|key| !is_ours(key)).collect();
            gone.iter().map(|key| state.lanes.remove(key)).collect()
        };
        drop(dropped);
    }

    /// Whether a callback is at work on one of these partitions, which are closed.
    pub(crate) fn is_out(&self, is_meant: impl Fn(&Key) -> bool) -> bool {
        self.state().lanes.is_out(is_meant)
    }

    /// Whether every callback at work has outlived its limit.
    pub(crate) fn is_overdue(&self) -> bool {
        self.state().workers.iter().filter_map(|worker| worker.running.as_ref()).all(|it| it.is_overdue)
    }

    /// A callback returned an error.
    fn on_error(&self, worker: usize, error: String, status: &Status, settings: &Settings) {
        let (failed, delay) = {
            let mut state = self.state();
            let delay = (!state.is_over).then_some(state.restart_delay);
            (state.fail(worker), delay)
        };
        if let Some(failed) = failed {
            events::lot_failed(status, settings, &failed, &Failure::Error(error), delay);
        }
        self.tell();
    }

    /// Adds messages, in order within each partition, and empties `messages`. Those of partitions that hand out nothing are
    /// dropped. Returns how many bytes one takes on average.
    pub(crate) fn push(&self, messages: &mut Vec<ffi::Message>, wakers: &mut Vec<Waker>) -> Option<usize> {
        let by_key = self.mode == ConcurrencyMode::Key;
        let (n_messages, mut n_bytes) = (messages.len(), 0);
        {
            let mut state = self.state();
            let mut place = None;
            let mut last: Option<(i32, usize)> = None;
            for message in messages.drain(..) {
                let here = (message.partition(), message.topic_id());
                if last != Some(here) {
                    place = state.lanes.find_open(message.topic(), message.partition());
                    last = Some(here);
                }
                let Some(place) = place else { continue };
                let size = message.size();
                let key = if by_key { message.key() } else { None };
                let key_hash = key.map(|key| self.hashes.hash_one(key));
                let mark = Mark {
                    offset: message.offset(),
                    timestamp_ms: message.timestamp().map(ffi::Timestamp::millis),
                    leader_epoch: message.leader_epoch(),
                };
                n_bytes += size + MESSAGE_OVERHEAD;
                state.lanes.push(place, mark, Incoming { message: Message::new(message), key_hash, size });
            }
            state.wake_workers(wakers);
        }
        wakers.drain(..).for_each(Waker::wake);
        n_bytes.checked_div(n_messages).filter(|average| 0 < *average)
    }

    /// What counts from now on.
    pub(crate) fn tune(&self, is_paused: bool, batch_max: usize, restart_delay: Duration) {
        let mut wakers = Vec::new();
        {
            let mut state = self.state();
            state.is_paused = is_paused;
            state.lanes.limits.batch_max = batch_max;
            state.restart_delay = restart_delay;
            state.wake_workers(&mut wakers);
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Failed batches that are due go to the workers.
    pub(crate) fn retry(&self, now: Instant) {
        let mut wakers = Vec::new();
        {
            let mut state = self.state();
            state.lanes.retry(now);
            state.wake_workers(&mut wakers);
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Hands out nothing any more; workers end with what they are at.
    pub(crate) fn end(&self) {
        let mut wakers = Vec::new();
        let dropped: Vec<_> = {
            let mut state = self.state();
            state.is_over = true;
            state.idle.clear();
            wakers.extend(state.workers.iter_mut().filter_map(|worker| worker.waker.take()));
            let keys: Vec<_> = state.lanes.keys().collect();
            keys.iter().map(|key| state.lanes.close(key)).collect()
        };
        drop(dropped);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Hands out nothing of a partition until it is released; what is with callbacks may be finished.
    pub(crate) fn hold(&self, key: &Key) {
        self.state().lanes.hold(key);
    }

    pub(crate) fn release(&self, key: &Key) {
        let mut wakers = Vec::new();
        {
            let mut state = self.state();
            state.lanes.release(key);
            state.wake_workers(&mut wakers);
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Whether a partition is not read because it has come to a limit.
    pub(crate) fn is_at_limit(&self, key: &Key) -> bool {
        self.state().lanes.is_paused(key)
    }

    /// All that are so.
    pub(crate) fn at_limits(&self) -> Vec<Key> {
        let state = self.state();
        state.lanes.keys().filter(|key| state.lanes.is_paused(key)).collect()
    }

    /// How far partitions have come since the last look, and what follows from it.
    pub(crate) fn look(&self, now: Instant, moved: &mut Vec<Moved>) -> Look {
        let mut state = self.state();
        state.has_untold = false;
        state.looked = now;
        state.lanes.drain_moved(|it| moved.push(it));
        let held = state.lanes.bytes();
        let has_enough = state.ready_max() <= state.lanes.n_ready_messages();
        let left = state.lanes.limits.bytes_max.saturating_sub(held);
        let room = if has_enough { 0 } else { left };
        state.is_full = room == 0;
        let flow = state.lanes.flow();
        Look { flow, next_due: state.lanes.next_due(), n_failed: state.lanes.n_failed(), held, room }
    }

    /// Ready when there is something to look at. One task may wait here.
    pub(crate) fn poll_news(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.session.register(cx.waker());
        if self.has_news.swap(false, Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }

    fn tell(&self) {
        if !self.has_news.swap(true, Ordering::AcqRel) {
            self.session.wake();
        }
    }

    /// Callbacks that have come to half of `limit`, to it, or past it by `grace`, each once, and when to ask again at the
    /// latest.
    pub(crate) fn late(&self, now: Instant, limit: Duration, grace: Duration) -> (Vec<Late>, Instant) {
        let mut late = Vec::new();
        // One that begins a moment later is not due before that.
        let mut next = now + limit / 2;
        let mut state = self.state();
        for (worker, running) in state.workers.iter_mut().enumerate() {
            let Some(it) = &mut running.running else { continue };
            if it.is_overdue {
                if it.began + limit + grace <= now {
                    late.push(Late::Stuck(Arc::clone(&it.lot)));
                } else {
                    next = next.min(it.began + limit + grace);
                }
            } else if it.began + limit <= now {
                it.is_overdue = true;
                late.push(Late::Overdue(worker, Arc::clone(&it.lot)));
                next = next.min(it.began + limit + grace);
            } else if !it.is_warned && it.began + limit / 2 <= now {
                it.is_warned = true;
                late.push(Late::Slow(Arc::clone(&it.lot)));
                next = next.min(it.began + limit);
            } else {
                next = next.min(it.began + if it.is_warned { limit } else { limit / 2 });
            }
        }
        (late, next)
    }

    /// A worker ended, by a panic or because it was cancelled: its batch has failed.
    pub(crate) fn worker_ended(&self, worker: usize) -> Option<Failed> {
        let mut state = self.state();
        state.idle.retain(|idle| *idle != worker);
        state.workers[worker].waker = None;
        state.fail(worker)
    }

    // What workers say.

    /// Says what became of the last batch and takes the next one; `None` when it is all over.
    fn poll_next(
        &self,
        worker: usize,
        turn: &mut Turn,
        cx: &mut Context<'_>,
    ) -> Poll<Option<(Arc<Lot>, usize, Instant)>> {
        let now = Instant::now();
        let mut state = self.state();
        let mut has_news = false;
        if std::mem::take(&mut turn.has_succeeded)
            && let Some(running) = state.workers[worker].running.take()
        {
            has_news = state.lanes.finish(&running.lot) | state.has_room_again();
            state.has_untold = true;
        }
        let next = if state.is_paused || state.is_over { None } else { state.lanes.take(&mut turn.spare) };
        let is_over = state.is_over;
        let is_late =
            state.has_untold && (next.is_none() || TELL_AFTER <= now.saturating_duration_since(state.looked));
        if let Some((lot, skip)) = &next {
            let (lot, skip) = (Arc::clone(lot), *skip);
            state.workers[worker].running =
                Some(Running { lot, skip, began: now, is_warned: false, is_overdue: false });
        } else if !is_over {
            let place = &mut state.workers[worker].waker;
            match place {
                Some(known) => known.clone_from(cx.waker()),
                None => {
                    *place = Some(cx.waker().clone());
                    state.idle.push(worker);
                }
            }
        }
        if is_late {
            state.has_untold = false;
        }
        drop(state);
        turn.recycle();
        if has_news || is_late {
            self.tell();
        }
        match next {
            Some((lot, skip)) => Poll::Ready(Some((lot, skip, now))),
            None if is_over => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

impl State {
    /// The batch of this worker failed, and comes again after the delay.
    fn fail(&mut self, worker: usize) -> Option<Failed> {
        let Running { lot, skip, began, is_overdue, .. } = self.workers[worker].running.take()?;
        let now = Instant::now();
        let n_undone = self.lanes.n_undone(&lot);
        let n_done = lot.messages.len() - skip - n_undone;
        self.lanes.fail(Arc::clone(&lot), now + self.restart_delay);
        Some(Failed { lot, n_done, n_undone, took: now.saturating_duration_since(began), is_overdue })
    }

    fn ready_max(&self) -> usize {
        let batches = self.lanes.limits.batch_max.saturating_mul(2);
        READY_MIN.max(batches).max(self.workers.len() * READY_PER_WORKER)
    }

    /// Whether there is room where the consumer's task found none, and enough to be worth its while.
    fn has_room_again(&mut self) -> bool {
        let has_room = self.is_full
            && self.lanes.bytes() <= self.lanes.limits.bytes_max / 4 * 3
            && self.lanes.n_ready_messages() <= self.ready_max() / 2;
        self.is_full &= !has_room;
        has_room
    }

    /// Takes out the wakers of as many workers as there is work for.
    fn wake_workers(&mut self, wakers: &mut Vec<Waker>) {
        if self.idle.is_empty() || self.is_paused || self.is_over {
            return;
        }
        for _ in 0..self.lanes.n_ready().min(self.idle.len()) {
            let worker = self.idle.pop().map(|worker| &mut self.workers[worker]);
            wakers.extend(worker.and_then(|worker| worker.waker.take()));
        }
    }
}

/// What one worker does until the crew ends.
pub(crate) async fn work(crew: Arc<Crew>, worker: usize, desk: Desk) -> Result<(), String> {
    let Desk { callback, committer, status, settings } = desk;
    let (mut turn, mut call) = (Turn::default(), call());
    while let Some((lot, skip, began)) = poll_fn(|cx| crew.poll_next(worker, &mut turn, cx)).await {
        // Batches may be many and callbacks short: others on this thread must get in.
        tokio::task::coop::consume_budget().await;
        let n_meant = lot.messages.len();
        let lent = Lent { crew: Arc::clone(&crew), lot: Arc::clone(&lot), skip, n_meant };
        events::batch_begins(&status, &settings, lent.messages());
        let batch = Batch::of_lot(lent.clone(), committer.clone());
        let processing = async {
            callback(batch, &mut call);
            (&mut call).await.map_err(|error| Chain(&*error).to_string())
        };
        match committer.clone().inside(Handed::Lot(lent), processing).await {
            Ok(()) => {
                events::lot_succeeded(&status, &lot, n_meant - skip, began.elapsed());
                turn.has_succeeded = true;
            }
            Err(error) => crew.on_error(worker, error, &status, &settings),
        }
        turn.last = Some(lot);
    }
    Ok(())
}

/// What a worker keeps from one batch to the next.
#[derive(Default)]
struct Turn {
    /// The batch it was last at is done with.
    has_succeeded: bool,
    last: Option<Arc<Lot>>,
    /// An empty one, to be filled.
    spare: Option<Arc<Lot>>,
}

impl Turn {
    /// Frees the messages of the last batch, outside of any lock, unless somebody still needs it.
    fn recycle(&mut self) {
        if let Some(mut lot) = self.last.take()
            && let Some(unshared) = Arc::get_mut(&mut lot)
        {
            unshared.clear();
            self.spare = Some(lot);
        }
    }
}
