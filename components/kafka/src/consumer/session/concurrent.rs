//! Batches that are processed at the same time, as `concurrency` says: the side of the consumer's task.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::stream::{FuturesUnordered, StreamExt};
use mainspring_engine::TaskError;
use mainspring_kafka_ffi::{self as ffi, KafkaError};
use tokio::time::Instant;

use crate::consumer::concurrency::Concurrency;
use crate::consumer::config::CommitPolicy;
use crate::consumer::crew::{Crew, Desk, Late, Lent, MESSAGE_OVERHEAD, work};
use crate::consumer::events::{self, Failure};
use crate::consumer::lanes::{Flow, Limits, Moved};
use crate::consumer::ledger::{Admitted, Key};
use crate::consumer::run::{CallbackTask, ClientFailure, Run};
use crate::consumer::session::control::partition_of;
use crate::consumer::session::{CANCELLED_CALLBACK_MAX, Session};

/// What is taken at once before it is known how large messages are.
const FIRST_TAKE: usize = 128;

/// The workers of one client.
pub(super) struct Concurrent {
    pub(super) crew: Arc<Crew>,
    pub(super) workers: FuturesUnordered<Worker>,
    /// When callbacks are looked at again for how long they take.
    check_at: Instant,
    /// When a failed batch comes again.
    retry_at: Option<Instant>,
    /// How many messages may be taken now.
    pub(super) room: usize,
    /// Bytes that a message took lately.
    message_bytes: usize,
    moved: Vec<Moved>,
    wakers: Vec<Waker>,
}

/// A worker's task, with its number.
pub(super) struct Worker {
    worker: usize,
    pub(super) task: CallbackTask,
}

impl Future for Worker {
    type Output = (usize, Result<Result<(), String>, TaskError>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.task).poll(cx).map(|ended| (self.worker, ended))
    }
}

/// What the workers have to say.
pub(super) enum CrewEvent {
    News,
    WorkerEnded(usize, Result<Result<(), String>, TaskError>),
}

impl Concurrent {
    pub(super) fn new(
        run: &Run,
        Concurrency { mode, max, max_pending_per_partition, .. }: Concurrency,
    ) -> Concurrent {
        let (settings, tuning) = (&run.settings, run.tuning());
        let limits = Limits {
            batch_max: tuning.batch_max,
            batch_bytes_max: settings.batch_bytes_max,
            pending_max: max_pending_per_partition,
            bytes_max: settings.held_bytes_max,
            overhead: MESSAGE_OVERHEAD,
        };
        let crew = Arc::new(Crew::new(mode, max, limits, tuning.restart_delay));
        crew.tune(tuning.paused, tuning.batch_max, tuning.restart_delay);
        let workers = (0..max).map(|worker| spawn(run, &crew, worker)).collect();
        Concurrent {
            crew,
            workers,
            check_at: Instant::now(),
            retry_at: None,
            room: FIRST_TAKE,
            message_bytes: 0,
            moved: Vec::new(),
            wakers: Vec::new(),
        }
    }

    /// The next thing that workers say; never when there are none.
    pub(super) async fn next(concurrent: &mut Option<Concurrent>) -> CrewEvent {
        let Some(Concurrent { crew, workers, .. }) = concurrent else { return std::future::pending().await };
        std::future::poll_fn(|cx| {
            if let Poll::Ready(Some((worker, ended))) = workers.poll_next_unpin(cx) {
                return Poll::Ready(CrewEvent::WorkerEnded(worker, ended));
            }
            crew.poll_news(cx).map(|()| CrewEvent::News)
        })
        .await
    }

    pub(super) fn timer(&self) -> Instant {
        self.retry_at.map_or(self.check_at, |retry_at| retry_at.min(self.check_at))
    }

    /// Whether nothing is waited for any more: every callback at work has outlived its limit.
    pub(super) fn is_given_up(&self) -> bool {
        self.workers.is_empty() || self.crew.is_overdue()
    }

    pub(super) fn into_tasks(self) -> impl Iterator<Item = CallbackTask> {
        self.workers.into_iter().map(|worker| worker.task)
    }

    fn cancel(&self, worker: usize) {
        self.workers.iter().filter(|it| it.worker == worker).for_each(|it| it.task.cancel());
    }
}

fn spawn(run: &Run, crew: &Arc<Crew>, worker: usize) -> Worker {
    let desk = Desk {
        callback: Arc::clone(&run.callback),
        committer: run.committer.clone(),
        status: Arc::clone(&run.status),
        settings: Arc::clone(&run.settings),
    };
    let work = work(Arc::clone(crew), worker, desk);
    Worker { worker, task: run.cx.spawn_on(&run.callback_processor, "messages_processing", work) }
}

impl Session<'_> {
    /// Hands collected messages over to the workers.
    pub(super) fn hand_in(&mut self) {
        let Some(concurrent) = &mut self.concurrent else { return };
        let pace = self.run.tuning().pace;
        self.paced_until = Instant::now() + pace * u32::try_from(self.messages.len()).unwrap_or(u32::MAX);
        let Concurrent { crew, wakers, message_bytes, .. } = concurrent;
        if let Some(average) = crew.push(&mut self.messages, wakers) {
            *message_bytes = average;
        }
        self.look();
    }

    /// Sees how far the workers have come, and keeps to the limits.
    pub(super) fn look(&mut self) {
        let Some(concurrent) = &mut self.concurrent else { return };
        let look = concurrent.crew.look(Instant::now(), &mut concurrent.moved);
        concurrent.retry_at = look.next_due;
        concurrent.room = match concurrent.message_bytes {
            0 => FIRST_TAKE,
            bytes => look.room.div_ceil(bytes),
        };
        self.run.status.failed_batches(look.n_failed);
        self.run.status.held_bytes(look.held);
        if !concurrent.moved.is_empty() {
            let mut moved = std::mem::take(&mut concurrent.moved);
            self.on_moved(&moved);
            moved.clear();
            if let Some(concurrent) = &mut self.concurrent {
                concurrent.moved = moved;
            }
        }
        self.follow(&look.flow);
    }

    /// Partitions have come further, which the policy may commit now or a little later.
    fn on_moved(&mut self, moved: &[Moved]) {
        let mut ledger = self.run.status.ledger();
        moved.iter().for_each(|moved| ledger.reached(moved));
        let now = Instant::now();
        match self.run.settings.commit_policy {
            CommitPolicy::Manual => {}
            CommitPolicy::AfterBatch => {
                for moved in moved {
                    self.commits.add_unasked(ledger.admit_reached(&moved.key, moved.epoch), now);
                }
            }
            CommitPolicy::Periodic => {
                self.commit_at.get_or_insert(now + self.run.settings.commit_interval);
            }
        }
    }

    fn follow(&mut self, Flow { pause, resume }: &Flow) {
        let mut result = Ok(());
        if !pause.is_empty() {
            let partitions: Vec<_> = pause.iter().map(partition_of).collect();
            result = self.consumer.pause(&partitions);
        }
        for key in resume.iter().filter(|key| !self.run.paused.contains(*key)) {
            result = result.and_then(|()| self.read_on(key));
        }
        if let Err(error) = result {
            events::flow_failed(&self.run.status, &error);
            self.failure = Some(ClientFailure::Broken);
        }
    }

    /// A partition is read elsewhere: what workers do with what they have of it is of no interest.
    pub(super) fn reopen_lanes(&mut self, key: &Key) -> Result<(), KafkaError> {
        let Some(concurrent) = &self.concurrent else { return Ok(()) };
        let Some(epoch) = self.run.status.ledger().epoch(&key.0, key.1) else { return Ok(()) };
        let was_at_limit = concurrent.crew.is_at_limit(key);
        concurrent.crew.reopen(key, epoch);
        let is_held = self.run.paused.contains(key);
        if is_held {
            concurrent.crew.hold(key);
        }
        self.look();
        if was_at_limit && !is_held { self.consumer.resume(&[partition_of(key)]) } else { Ok(()) }
    }

    /// The user wants nothing of a partition for now, or wants it again.
    pub(super) fn hold_lanes(&mut self, key: &Key, is_held: bool) {
        match &self.concurrent {
            Some(concurrent) if is_held => concurrent.crew.hold(key),
            Some(concurrent) => concurrent.crew.release(key),
            None => {}
        }
        // What it had waiting may have been what kept others from being read.
        self.look();
    }

    /// Whether a partition is not read because it has come to a limit: it goes on by itself.
    pub(super) fn is_at_limit(&self, key: &Key) -> bool {
        self.concurrent.as_ref().is_some_and(|concurrent| concurrent.crew.is_at_limit(key))
    }

    /// All that are so.
    pub(super) fn at_limits(&self) -> Vec<Key> {
        self.concurrent.as_ref().map(|concurrent| concurrent.crew.at_limits()).unwrap_or_default()
    }

    pub(super) fn on_crew(&mut self, event: CrewEvent) {
        if let CrewEvent::WorkerEnded(worker, ended) = event {
            self.on_worker_ended(worker, ended);
        }
        self.look();
    }

    fn on_worker_ended(&mut self, worker: usize, ended: Result<Result<(), String>, TaskError>) {
        let Some(concurrent) = &mut self.concurrent else { return };
        let is_ending = self.stopping || self.failure.is_some();
        let mut is_wanted = ended.is_err() && !is_ending;
        if let Some(failed) = concurrent.crew.worker_ended(worker) {
            let failure = match ended {
                _ if failed.is_overdue => Failure::TimedOut,
                Err(TaskError::Panicked { message }) => Failure::Panicked(message),
                Ok(_) | Err(_) => Failure::Cancelled,
            };
            let delay = (!is_ending).then_some(self.run.tuning().restart_delay);
            events::lot_failed(&self.run.status, &self.run.settings, &failed, &failure, delay);
            if failed.is_overdue {
                self.run.status.callback_in_time();
            } else if failure == Failure::Cancelled && is_wanted {
                // Not by us: its task processor ends, and would cancel the next one as well.
                self.failure = Some(ClientFailure::Broken);
                is_wanted = false;
            }
        }
        if is_wanted {
            concurrent.workers.push(spawn(self.run, &concurrent.crew, worker));
        }
    }

    /// What is due by now.
    pub(super) fn on_crew_timer(&mut self, now: Instant) {
        let Some(concurrent) = &mut self.concurrent else { return };
        if concurrent.retry_at.is_some_and(|at| at <= now) {
            concurrent.crew.retry(now);
        }
        if concurrent.check_at <= now {
            let limit = self.run.settings.max_callback_duration;
            let (late, check_at) = concurrent.crew.late(now, limit, CANCELLED_CALLBACK_MAX);
            concurrent.check_at = check_at;
            for late in late {
                match late {
                    Late::Slow(lot) => events::callback_is_slow(&self.run.status, &[lot.end()], limit),
                    Late::Overdue(worker, lot) => {
                        concurrent.cancel(worker);
                        events::callback_timed_out(&self.run.status, &[lot.end()], limit);
                    }
                    Late::Stuck(lot) if self.failure.is_none() => {
                        events::callback_stuck(&self.run.status, &[lot.end()]);
                        self.failure = Some(ClientFailure::StuckCallback);
                    }
                    Late::Stuck(_) => {}
                }
            }
        }
        self.look();
    }

    /// Messages of these partitions go to the workers from now on.
    pub(super) fn open_lanes(&self, partitions: &[ffi::TopicPartition]) {
        let Some(concurrent) = &self.concurrent else { return };
        let ledger = self.run.status.ledger();
        let keys = partitions.iter().map(|assigned| (Arc::clone(&assigned.topic), assigned.partition));
        let opened: Vec<_> =
            keys.filter_map(|key| ledger.epoch(&key.0, key.1).map(|epoch| (key, epoch))).collect();
        drop(ledger);
        concurrent.crew.open(opened.into_iter());
        self.run.paused.iter().for_each(|key| concurrent.crew.hold(key));
    }

    /// Nothing more of these partitions goes to the workers; what they are at may be finished and committed.
    pub(super) fn close_lanes(&mut self, partitions: &[ffi::TopicPartition]) {
        let Some(concurrent) = &self.concurrent else { return };
        let keys: Vec<_> = partitions.iter().map(|it| (Arc::clone(&it.topic), it.partition)).collect();
        concurrent.crew.close(keys.iter());
        self.look();
    }

    /// What workers do with partitions that are not ours any more is of no interest.
    pub(super) fn forget_lanes(&mut self) {
        let Some(concurrent) = &self.concurrent else { return };
        let ledger = self.run.status.ledger();
        concurrent.crew.retain(|(topic, partition)| ledger.owns(topic, *partition));
        drop(ledger);
        self.look();
    }

    /// What may be committed after this part of a batch: all of its partition that has nothing undone before it.
    pub(super) fn admit_lot(&mut self, lent: &Lent) -> Admitted {
        let lot = lent.lot();
        if !lent.note() {
            return Admitted { refused: vec![lot.key.clone()], ..Admitted::default() };
        }
        self.look();
        self.run.status.ledger().admit_reached(&lot.key, lot.epoch)
    }
}
