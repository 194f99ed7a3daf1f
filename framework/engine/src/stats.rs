//! The figures of task processors.

use mainspring_metrics::{
    Collector, Counter, DURATION_BOUNDS, Family, Gauge, Histogram, Snapshot, UserverView,
};

use crate::{TaskProcessor, TaskProcessors};

static WORKER_THREADS: Family =
    Family::gauge("engine_task_processor_worker_threads", "Worker threads of the task processor.");
static TASKS: Family = Family::gauge("engine_task_processor_tasks", "Tasks of the task processor, by state.");
static TASKS_TOTAL: Family = Family::counter(
    "engine_task_processor_task_events",
    "Tasks of the task processor, by what became of them.",
);
static QUEUE_WAIT: Family = Family::histogram(
    "engine_task_processor_queue_wait_seconds",
    DURATION_BOUNDS,
    "Time from spawning a task to its first run.",
);
static POLL_DURATION: Family = Family::histogram(
    "engine_task_processor_poll_duration_seconds",
    POLL_BOUNDS,
    "Time a task ran until it next gave its thread back; long ones hold up the others.",
);
static BUSY: Family = Family::counter(
    "engine_task_processor_busy_seconds",
    "Time that the worker threads spent running tasks.",
);

/// Polls take microseconds; from a millisecond on they are worth a look.
const POLL_BOUNDS: &[f64] = &[0.000_01, 0.000_1, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

/// What became of the tasks of one task processor so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskCounts {
    /// Spawned.
    pub created: u64,
    /// Ended by themselves.
    pub finished: u64,
    /// Ended from outside.
    pub cancelled: u64,
    /// Ended by a panic.
    pub panicked: u64,
}

impl TaskCounts {
    /// Neither finished, cancelled nor panicked.
    #[must_use]
    pub fn alive(&self) -> u64 {
        self.created.saturating_sub(self.finished + self.cancelled + self.panicked)
    }
}

#[derive(Debug)]
pub(crate) struct TaskStats {
    pub(crate) created: Counter,
    pub(crate) finished: Counter,
    pub(crate) cancelled: Counter,
    pub(crate) panicked: Counter,
    /// Running right now, on a worker or on a thread for blocking calls.
    pub(crate) running: Gauge,
    pub(crate) queue_wait: Histogram,
    pub(crate) poll_duration: Histogram,
}

impl Default for TaskStats {
    fn default() -> Self {
        Self {
            created: Counter::default(),
            finished: Counter::default(),
            cancelled: Counter::default(),
            panicked: Counter::default(),
            running: Gauge::default(),
            queue_wait: Histogram::new(&QUEUE_WAIT),
            poll_duration: Histogram::new(&POLL_DURATION),
        }
    }
}

impl TaskStats {
    pub(crate) fn counts(&self) -> TaskCounts {
        // Ends are read before beginnings, so that a task which ends meanwhile cannot make `alive` negative.
        let (finished, cancelled, panicked) =
            (self.finished.get(), self.cancelled.get(), self.panicked.get());
        TaskCounts { created: self.created.get(), finished, cancelled, panicked }
    }
}

/// Writes the `engine_task_processor_*` families.
#[derive(Debug)]
pub struct TaskProcessorsCollector {
    processors: TaskProcessors,
}

impl TaskProcessorsCollector {
    /// A collector for all of `processors`.
    #[must_use]
    pub fn new(processors: TaskProcessors) -> Self {
        Self { processors }
    }
}

impl Collector for TaskProcessorsCollector {
    fn collect(&self, snapshot: &mut Snapshot) {
        for processor in self.processors.iter() {
            let name = processor.name();
            let counts = processor.counts();
            let of = |key: &'static str, value: &'static str| [("task_processor", name), (key, value)];
            let own = [("task_processor", name)];
            snapshot.gauge(&WORKER_THREADS, &own, float(processor.worker_threads() as u64));
            snapshot.gauge(&TASKS, &of("state", "alive"), float(counts.alive()));
            snapshot.gauge(&TASKS, &of("state", "running"), float(running(processor)));
            snapshot.gauge(&TASKS, &of("state", "queued"), float(queued(processor)));
            for (event, count) in [
                ("created", counts.created),
                ("finished", counts.finished),
                ("cancelled", counts.cancelled),
                ("panicked", counts.panicked),
            ] {
                snapshot.counter(&TASKS_TOTAL, &of("event", event), count);
            }
            snapshot.histogram(&QUEUE_WAIT, &own, &processor.stats().queue_wait);
            snapshot.histogram(&POLL_DURATION, &own, &processor.stats().poll_duration);
            snapshot.counter_f64(&BUSY, &own, busy_seconds(processor));
        }
    }

    fn collect_userver(&self, view: &mut UserverView) {
        for processor in self.processors.iter() {
            let labels = [("task_processor", processor.name())];
            let counts = processor.counts();
            let prefix = "engine.task-processors";
            view.rate(&format!("{prefix}.tasks.created"), &labels, counts.created);
            view.rate(&format!("{prefix}.tasks.finished"), &labels, counts.finished);
            view.rate(&format!("{prefix}.tasks.cancelled"), &labels, counts.cancelled);
            view.gauge(&format!("{prefix}.tasks.alive"), &labels, float(counts.alive()));
            view.gauge(&format!("{prefix}.tasks.running"), &labels, float(running(processor)));
            view.gauge(&format!("{prefix}.tasks.queued"), &labels, float(queued(processor)));
            view.gauge(
                &format!("{prefix}.worker-threads"),
                &labels,
                float(processor.worker_threads() as u64),
            );
        }
    }
}

fn running(processor: &TaskProcessor) -> u64 {
    u64::try_from(processor.stats().running.get()).unwrap_or_default()
}

fn queued(processor: &TaskProcessor) -> u64 {
    processor.runtime_metrics().global_queue_depth() as u64
}

fn busy_seconds(processor: &TaskProcessor) -> f64 {
    let metrics = processor.runtime_metrics();
    (0..metrics.num_workers()).map(|worker| metrics.worker_total_busy_duration(worker).as_secs_f64()).sum()
}

/// Exact up to 2^53, which no count of tasks reaches.
fn float(count: u64) -> f64 {
    count as f64
}
