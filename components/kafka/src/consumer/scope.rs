//! What a component that consumes holds: the right to start and stop its consumer.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mainspring_core::ComponentContext;
use mainspring_engine::TaskProcessor;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::consumer::batch::{Batch, CommitFuture, Committer, What, refused};
use crate::consumer::callbacks;
use crate::consumer::config::Settings;
use crate::consumer::control::QUERIES_MAX;
use crate::consumer::decode::{self, Decoder, TypedBatch, TypedMessage};
use crate::consumer::error::{CommitError, ConsumerError};
use crate::consumer::listener::{ConsumerListener, Listener};
use crate::consumer::message::ConsumedMessage;
use crate::consumer::run::{Access, Callback, Run, Unfinished};
use crate::consumer::status::{State, Status};
use crate::consumer::tuning::Tuning;

/// The right to consume. One exists per component at a time; dropping it stops the consumer.
///
/// Messages flow as soon as it is started: start it in `on_all_components_loaded`, so that a service that cannot start has
/// taken none.
#[must_use = "dropping the scope stops the consumer"]
pub struct ConsumerScope {
    control: Arc<Control>,
}

/// What the component and its scope share.
pub(crate) struct Control {
    pub(crate) cx: ComponentContext,
    pub(crate) settings: Arc<Settings>,
    tuning: watch::Receiver<Tuning>,
    pub(crate) status: Arc<Status>,
    pub(crate) processor: TaskProcessor,
    pub(crate) callback_processor: TaskProcessor,
    pub(crate) access: watch::Sender<Access>,
    /// Bounds what is asked of brokers at the same time.
    pub(crate) queries: Semaphore,
    listener: Mutex<Option<Listener>>,
    in_use: AtomicBool,
    current: Mutex<Option<Started>>,
    stopped: AtomicBool,
    unfinished: Unfinished,
}

/// A run as seen from outside.
#[derive(Clone)]
struct Started {
    committer: Committer,
    stop: CancellationToken,
    ended: CancellationToken,
}

impl ConsumerScope {
    /// Starts consuming: `callback` is given one batch at a time, on the component's callback task processor.
    ///
    /// A batch that it returns `Ok` for is processed. With `commit_policy: manual` commit it with [`Batch::commit`] or
    /// [`ConsumerScope::async_commit`]; the other policies do so by themselves. After an error, a panic or
    /// `max_callback_duration` the batch has failed: `restart_after_failure_delay` later everything since the last commit
    /// comes again. Batches are never handed out while another one is being processed.
    ///
    /// # Errors
    /// [`ConsumerError::Running`] when it was started and not stopped since, [`ConsumerError::Stopped`] when its component
    /// is stopped.
    pub fn start<F, Fut, E>(&self, callback: F) -> Result<(), ConsumerError>
    where
        F: Fn(Batch) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    {
        self.control.start(callbacks::of_batches(callback))
    }

    /// As [`ConsumerScope::start`], with a callback that may block: its thread becomes one of the task processor's blocking
    /// ones meanwhile, and another takes its place, so nothing else waits for it.
    ///
    /// Nothing can interrupt it. When it outlasts `max_callback_duration` the batch has failed; when it does not return within 10 s
    /// more, the consumer leaves its group, so that others are given the partitions, and joins again once it has returned. At
    /// the stop of the service it is waited for as [`ConsumerScope::stop`] says, and left behind after that.
    ///
    /// # Errors
    /// As [`ConsumerScope::start`].
    pub fn start_blocking<F, E>(&self, callback: F) -> Result<(), ConsumerError>
    where
        F: Fn(Batch) -> Result<(), E> + Send + Sync + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    {
        self.control.start(callbacks::blocking(callback))
    }

    /// As [`ConsumerScope::start`], with a callback that is given one message after another, in the order of their partition.
    ///
    /// When it fails, the messages before count as processed: with `commit_policy` `after_batch` or `periodic` they do not come
    /// again, with `manual` those come again that were not committed, see [`ConsumedMessage::commit`].
    /// `max_callback_duration` holds for all messages that were taken together, `max_batch_size` at most.
    ///
    /// # Errors
    /// As [`ConsumerScope::start`].
    pub fn start_each<F, Fut, E>(&self, callback: F) -> Result<(), ConsumerError>
    where
        F: Fn(ConsumedMessage) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    {
        self.control.start(callbacks::of_messages(callback))
    }

    /// As [`ConsumerScope::start_each`], with a callback that may block, as in [`ConsumerScope::start_blocking`].
    ///
    /// # Errors
    /// As [`ConsumerScope::start`].
    pub fn start_each_blocking<F, E>(&self, callback: F) -> Result<(), ConsumerError>
    where
        F: Fn(ConsumedMessage) -> Result<(), E> + Send + Sync + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    {
        self.control.start(callbacks::of_messages_blocking(callback))
    }

    /// As [`ConsumerScope::start`], with the values that a decoder makes of messages; `undecodable` says what becomes of those
    /// that it refuses. There is no call for a batch of which nothing is left.
    ///
    /// # Errors
    /// As [`ConsumerScope::start`].
    pub fn start_decoded<D, F, Fut, E>(&self, decoder: D, callback: F) -> Result<(), ConsumerError>
    where
        D: Decoder,
        F: Fn(TypedBatch<D::Value>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    {
        let (policy, status) = (self.control.settings.undecodable, Arc::clone(&self.control.status));
        self.control.start(decode::of_batches(decoder, policy, status, callback))
    }

    /// As [`ConsumerScope::start_each`], with the values that a decoder makes of messages. With `undecodable: fail` the
    /// messages before one that cannot be decoded count as processed.
    ///
    /// ```
    /// # use std::convert::Infallible;
    /// # use mainspring_kafka::{ConsumerError, ConsumerScope, JsonDecoder};
    /// #[derive(serde::Deserialize)]
    /// struct Order {
    ///     id: u64,
    /// }
    ///
    /// fn begin(consumer: &ConsumerScope) -> Result<(), ConsumerError> {
    ///     consumer.start_each_decoded(JsonDecoder::<Order>::new(), async |order| {
    ///         tracing::info!(id = order.value().id, offset = order.offset(), "An order");
    ///         Ok::<_, Infallible>(())
    ///     })
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`ConsumerScope::start`].
    pub fn start_each_decoded<D, F, Fut, E>(&self, decoder: D, callback: F) -> Result<(), ConsumerError>
    where
        D: Decoder,
        F: Fn(TypedMessage<D::Value>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    {
        let (policy, status) = (self.control.settings.undecodable, Arc::clone(&self.control.status));
        self.control.start(decode::of_messages(decoder, policy, status, callback))
    }

    /// Has `listener` told, from the next start on, what happens besides messages; it replaces the one before.
    ///
    /// # Errors
    /// [`ConsumerError::Running`] when it was started and not stopped since.
    pub fn set_listener(&self, listener: impl ConsumerListener) -> Result<(), ConsumerError> {
        self.control.set_listener(Arc::new(listener))
    }

    /// Stops consuming and waits until the client is gone; does nothing when it is stopped.
    ///
    /// The running callback gets `max_callback_duration` to end, but no more than 10 s, and is then cancelled. Commits under
    /// way are awaited for 3 s, and so are leaving the group and ending the client: 20 s in all when everything hangs.
    ///
    /// # Cancel safety
    /// Stopping goes on when this is dropped.
    pub async fn stop(&self) {
        self.control.stop().await;
    }

    /// Commits what was processed. Inside the callback that is the batch it was given, up to its end, and for callbacks that
    /// are given one message after another what they have been given of it so far; elsewhere it is all batches whose callbacks
    /// have returned `Ok`, never the one still at work. Inside tasks that a callback spawns, use [`Batch::commit`] or
    /// [`ConsumedMessage::commit`].
    ///
    /// The commit is under way when this returns; await the result or drop it.
    pub fn async_commit(&self) -> CommitFuture {
        let committer = self.control.committer();
        committer.map_or_else(|| refused(CommitError::Stopped), |committer| committer.commit_current())
    }

    /// Commits what was processed of one partition: all batches whose callbacks have returned `Ok`, never the one still at
    /// work. Where that is nothing, or committed already, it succeeds at once.
    ///
    /// The commit is under way when this returns; await the result or drop it.
    pub fn commit_partition(&self, topic: &str, partition: i32) -> CommitFuture {
        let what = What::ProcessedOf((topic.into(), partition));
        let committer = self.control.committer();
        committer.map_or_else(|| refused(CommitError::Stopped), |committer| committer.commit(what))
    }

    pub(crate) fn control(&self) -> &Arc<Control> {
        &self.control
    }
}

impl Drop for ConsumerScope {
    fn drop(&mut self) {
        self.control.stop_soon();
        self.control.in_use.store(false, Ordering::Release);
    }
}

impl fmt::Debug for ConsumerScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerScope")
            .field("component", &self.control.settings.component)
            .finish_non_exhaustive()
    }
}

impl Control {
    pub(crate) fn new(
        cx: ComponentContext,
        settings: Settings,
        tuning: watch::Receiver<Tuning>,
        status: Arc<Status>,
        (processor, callback_processor): (TaskProcessor, TaskProcessor),
    ) -> Control {
        let access = Access { client: settings.client.clone(), credentials: None, generation: 0 };
        Control {
            cx,
            settings: Arc::new(settings),
            tuning,
            status,
            processor,
            callback_processor,
            access: watch::Sender::new(access),
            queries: Semaphore::new(QUERIES_MAX),
            listener: Mutex::default(),
            in_use: AtomicBool::new(false),
            current: Mutex::new(None),
            stopped: AtomicBool::new(false),
            unfinished: Unfinished::default(),
        }
    }

    pub(crate) fn scope(self: &Arc<Self>) -> Result<ConsumerScope, ConsumerError> {
        if self.in_use.swap(true, Ordering::AcqRel) {
            return Err(ConsumerError::InUse { component: self.settings.component.clone() });
        }
        Ok(ConsumerScope { control: Arc::clone(self) })
    }

    fn start(&self, callback: Callback) -> Result<(), ConsumerError> {
        let component = || self.settings.component.clone();
        let mut current = self.current();
        if self.stopped.load(Ordering::Acquire) {
            return Err(ConsumerError::Stopped { component: component() });
        }
        let previous = match &*current {
            Some(started) if !started.stop.is_cancelled() => {
                return Err(ConsumerError::Running { component: component() });
            }
            Some(started) => Some(started.ended.clone()),
            None => None,
        };
        let (committer, requests) = Committer::new();
        let started = Started {
            committer: committer.clone(),
            stop: CancellationToken::new(),
            ended: CancellationToken::new(),
        };
        let mut tuning = self.tuning.clone();
        tuning.mark_unchanged();
        let access = self.access.subscribe();
        let generation = access.borrow().generation;
        let run = Run {
            cx: self.cx.clone(),
            settings: Arc::clone(&self.settings),
            tuning,
            status: Arc::clone(&self.status),
            callback,
            listener: self.lock_listener().clone(),
            callback_processor: self.callback_processor.clone(),
            committer,
            requests,
            n_transactions: 0,
            generation,
            access,
            stop: started.stop.clone(),
            unfinished: Arc::clone(&self.unfinished),
            paused: BTreeSet::new(),
        };
        let end =
            End { status: Arc::clone(&self.status), ended: started.ended.clone(), state: State::Failed };
        let polling = async move {
            // A scope that was dropped stops on its own; there is never more than one client.
            if let Some(previous) = previous {
                previous.cancelled().await;
            }
            run_to(end, run).await;
        };
        // Whoever stops it waits for `ended`, so the handle is not kept.
        drop(self.cx.spawn_on(&self.processor, "consumer_polling", polling));
        *current = Some(started);
        Ok(())
    }

    fn set_listener(&self, listener: Listener) -> Result<(), ConsumerError> {
        if self.current().as_ref().is_some_and(|started| !started.stop.is_cancelled()) {
            return Err(ConsumerError::Running { component: self.settings.component.clone() });
        }
        *self.lock_listener() = Some(listener);
        Ok(())
    }

    fn lock_listener(&self) -> MutexGuard<'_, Option<Listener>> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The way to the run there is.
    pub(crate) fn committer(&self) -> Option<Committer> {
        self.current().as_ref().map(|started| started.committer.clone())
    }

    /// Stops consuming without waiting for it.
    pub(crate) fn stop_soon(&self) {
        if let Some(started) = &*self.current() {
            started.stop.cancel();
        }
    }

    async fn stop(&self) {
        let Some(started) = self.current().clone() else { return };
        started.stop.cancel();
        started.ended.cancelled().await;
    }

    /// Stops for good.
    pub(crate) async fn shut_down(&self) {
        if self.in_use.load(Ordering::Acquire) {
            crate::consumer::events::stopped_in_use(&self.settings.component);
        }
        self.stopped.store(true, Ordering::Release);
        self.stop().await;
    }

    fn current(&self) -> MutexGuard<'_, Option<Started>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("component", &self.settings.component).finish_non_exhaustive()
    }
}

/// Says that a run has ended, whichever way.
struct End {
    status: Arc<Status>,
    ended: CancellationToken,
    state: State,
}

impl Drop for End {
    fn drop(&mut self) {
        self.status.enter(self.state);
        self.ended.cancel();
    }
}

async fn run_to(mut end: End, run: Run) {
    run.run().await;
    end.state = State::Stopped;
}
