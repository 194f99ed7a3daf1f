//! Following one task from spawning to its end, whichever way it ends.

use std::borrow::Cow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tracing::{error, warn};

use crate::TaskError;
use crate::panics::{self, Panic};
use crate::processor::{Ending, TaskProcessor};

/// What a task processor knows of one of its tasks. Dropped before [`TaskRecord::ended`], it counts a cancellation.
#[derive(Debug)]
pub(crate) struct TaskRecord {
    processor: TaskProcessor,
    key: (Ending, Cow<'static, str>),
    spawned: Instant,
    ended: bool,
}

impl TaskRecord {
    pub(crate) fn begin(processor: &TaskProcessor, ending: Ending, task_name: Cow<'static, str>) -> Self {
        processor.stats().created.inc();
        let key = (ending, task_name);
        *processor.live_tasks().entry(key.clone()).or_default() += 1;
        Self { processor: processor.clone(), key, spawned: Instant::now(), ended: false }
    }

    /// Marks the end of the wait for a thread.
    pub(crate) fn started(&self) {
        self.processor.stats().queue_wait.observe(self.spawned.elapsed().as_secs_f64());
    }

    fn observe_poll(&self, began: Instant) {
        self.processor.stats().poll_duration.observe(began.elapsed().as_secs_f64());
    }

    /// Runs a part of the task, counted as running. A panic that other code inside has caught is logged here, because
    /// nobody else knows where it was.
    pub(crate) fn run<T>(&self, code: impl FnOnce() -> T) -> Result<T, Panic> {
        let stats = self.processor.stats();
        stats.running.inc();
        let outcome = panics::catch_panic(code);
        stats.running.dec();
        let output = outcome?;
        if let Some(panic) = panics::claim_swallowed() {
            warn!(
                task = %self.key.1,
                task_processor = self.processor.name(),
                location = panic.location,
                panic = panic.message,
                "Panic was caught inside a task"
            );
        }
        Ok(output)
    }

    /// Counts and logs the end of the task.
    pub(crate) fn ended<T>(mut self, outcome: Result<Result<T, TaskError>, Panic>) -> Result<T, TaskError> {
        let value = outcome.map_err(|panic| self.panicked(panic))??;
        self.ended = true;
        self.processor.stats().finished.inc();
        Ok(value)
    }

    fn panicked(&mut self, panic: Panic) -> TaskError {
        self.ended = true;
        self.processor.stats().panicked.inc();
        self.report(&panic);
        TaskError::Panicked { message: panic.message }
    }

    fn report(&self, panic: &Panic) {
        error!(
            task = %self.key.1,
            task_processor = self.processor.name(),
            location = panic.location,
            panic = panic.message,
            "Task panicked"
        );
    }
}

impl Drop for TaskRecord {
    fn drop(&mut self) {
        if !self.ended {
            self.processor.stats().cancelled.inc();
        }
        let mut live = self.processor.live_tasks();
        if let Some(count) = live.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                live.remove(&self.key);
            }
        }
    }
}

/// A future whose polls are timed, and whose panics are caught, also those of its `Drop`.
///
/// Boxed, so that it can be dropped where its panic is caught.
pub(crate) struct Supervised<F> {
    /// `None` once it has ended.
    task: Option<(Pin<Box<F>>, TaskRecord)>,
    started: bool,
}

impl<F> Supervised<F> {
    pub(crate) fn new(record: TaskRecord, future: F) -> Self {
        Self { task: Some((Box::pin(future), record)), started: false }
    }
}

impl<F: Future<Output = Result<T, TaskError>>, T> Future for Supervised<F> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let first = !std::mem::replace(&mut self.started, true);
        let (future, record) = self.task.as_mut().expect("an ended task is not polled");
        if first {
            record.started();
        }
        let began = Instant::now();
        let polled = record.run(|| future.as_mut().poll(cx));
        record.observe_poll(began);
        let outcome = match polled {
            Ok(poll) => Ok(ready!(poll)),
            Err(panic) => Err(panic),
        };
        let (future, record) = self.task.take().expect("it was there for this poll");
        let dropped = record.run(move || drop(future));
        Poll::Ready(match (outcome, dropped) {
            (Ok(output), dropped) => record.ended(dropped.map(|()| output)),
            (Err(panic), Ok(())) => record.ended(Err(panic)),
            (Err(panic), Err(in_drop)) => {
                record.report(&in_drop);
                record.ended(Err(panic))
            }
        })
    }
}

impl<F> Drop for Supervised<F> {
    fn drop(&mut self) {
        let Some((future, mut record)) = self.task.take() else { return };
        let Err(panic) = record.run(move || drop(future)) else { return };
        let message = panic.message.clone();
        let _reported = record.panicked(panic);
        drop(record);
        if !std::thread::panicking() {
            // The runtime hands it to whoever awaits the task. Does not run the panic hook again.
            std::panic::resume_unwind(Box::new(message));
        }
    }
}
