//! What a component that consumes holds: the right to start and stop its consumer.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mainspring_core::ComponentContext;
use mainspring_engine::TaskProcessor;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::client::Credentials;
use crate::consumer::batch::{Batch, CommitFuture, Committer, refused};
use crate::consumer::config::Settings;
use crate::consumer::error::{CommitError, ConsumerError};
use crate::consumer::run::{Callback, CallbackError, Run, Unfinished};
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
    /// Those that replace the ones in `settings`.
    pub(crate) credentials: watch::Sender<Option<Credentials>>,
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
    /// A batch that it returns `Ok` for is processed; commit it with [`Batch::commit`] or
    /// [`ConsumerScope::async_commit`]. After an error, a panic or `max_callback_duration` the batch has failed:
    /// `restart_after_failure_delay` later everything since the last commit comes again. Batches are never handed out while
    /// another one is being processed.
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
        self.control.start(Arc::new(move |batch| {
            let processing = callback(batch);
            Box::pin(async move { processing.await.map_err(Into::<CallbackError>::into) })
        }))
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

    /// Commits what was processed. Inside the callback that is the batch it was given, up to its end; elsewhere it is all
    /// batches whose callbacks have returned `Ok`, never the one still at work. Inside tasks that a callback spawns, use
    /// [`Batch::commit`].
    ///
    /// The commit is under way when this returns; await the result or drop it.
    pub fn async_commit(&self) -> CommitFuture {
        let committer = self.control.current().as_ref().map(|started| started.committer.clone());
        committer.map_or_else(|| refused(CommitError::Stopped), |committer| committer.commit_current())
    }
}

impl Drop for ConsumerScope {
    fn drop(&mut self) {
        if let Some(started) = &*self.control.current() {
            started.stop.cancel();
        }
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
        Control {
            cx,
            settings: Arc::new(settings),
            tuning,
            status,
            processor,
            callback_processor,
            credentials: watch::Sender::new(None),
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
        let run = Run {
            cx: self.cx.clone(),
            settings: Arc::clone(&self.settings),
            tuning,
            status: Arc::clone(&self.status),
            callback,
            callback_processor: self.callback_processor.clone(),
            committer,
            requests,
            credentials: self.credentials.subscribe(),
            stop: started.stop.clone(),
            unfinished: Arc::clone(&self.unfinished),
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
