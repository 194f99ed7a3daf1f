//! The bounded queue of a logger and the thread that empties it.
//!
//! No timers: the writer sleeps on the queue, takes everything there is, writes it and sleeps again. A line
//! counts against the bounds until it is written, so they hold for the memory too.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::config::OverflowBehavior;
use crate::counts::ByLevel;
use crate::level::Level;
use crate::sink::Sink;

/// Most bytes of lines that wait to be written to one sink, whatever `message_queue_size` is: lines can be long.
pub(crate) const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Most bytes gathered for one write.
const CHUNK_BYTES: usize = 64 * 1024;

pub(crate) struct Queue {
    state: Mutex<State>,
    /// Wakes the writer: a line, a new sink, or the end.
    work: Condvar,
    /// Wakes callers: lines were written, a sink was replaced, or the writer has ended.
    progress: Condvar,
    bounds: Bounds,
    write_errors: AtomicU64,
}

/// When a queue is full, and what happens then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) lines_max: usize,
    pub(crate) bytes_max: usize,
    pub(crate) overflow: OverflowBehavior,
}

#[derive(Default)]
struct State {
    lines: VecDeque<Line>,
    /// Lines ever pushed and ever done with; their difference is what counts against the bound.
    pushed: u64,
    done: u64,
    /// Bytes of the lines that are not done with.
    bytes: usize,
    new_sink: Option<Sink>,
    reopens: Reopens,
    closing: bool,
    ended: bool,
}

/// How replacing the sink has gone so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reopens {
    pub(crate) count: u64,
    /// The last attempt failed.
    pub(crate) failed: bool,
}

pub(crate) struct Line {
    pub(crate) text: String,
    pub(crate) level: Level,
    pub(crate) flush: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    Queued,
    Dropped,
}

struct Work {
    lines: VecDeque<Line>,
    new_sink: Option<Sink>,
}

impl Queue {
    /// Starts the thread `log-<name>`; it ends after [`Queue::close`], when everything is written. Lines that the
    /// sink does not take are counted in `dropped`.
    pub(crate) fn start(
        name: &str,
        sink: Sink,
        bounds: Bounds,
        dropped: Arc<ByLevel>,
    ) -> io::Result<Arc<Queue>> {
        let queue = Arc::new(Queue {
            state: Mutex::default(),
            work: Condvar::new(),
            progress: Condvar::new(),
            bounds,
            write_errors: AtomicU64::new(0),
        });
        let mut writer = Writer { queue: Arc::clone(&queue), sink, dropped, chunk: Chunk::default() };
        thread::Builder::new().name(format!("log-{name}")).spawn(move || writer.run())?;
        Ok(queue)
    }

    pub(crate) fn push(&self, line: Line) -> Pushed {
        let mut state = self.lock();
        while state.is_full_for(&line, &self.bounds) && !state.closing {
            match self.bounds.overflow {
                OverflowBehavior::Discard => return Pushed::Dropped,
                OverflowBehavior::Block => {
                    state = self.progress.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
        self.push_locked(state, line)
    }

    /// Ignores the bounds: for records kept before the queue existed, which have bounds of their own.
    pub(crate) fn push_kept(&self, line: Line) -> Pushed {
        self.push_locked(self.lock(), line)
    }

    /// Lines not yet written.
    pub(crate) fn len(&self) -> usize {
        self.lock().waiting()
    }

    pub(crate) fn write_errors(&self) -> u64 {
        self.write_errors.load(Relaxed)
    }

    pub(crate) fn reopens(&self) -> Reopens {
        self.lock().reopens
    }

    /// Waits until what was pushed before this call is written; false when the deadline comes first.
    pub(crate) fn flush(&self, deadline: Instant) -> bool {
        let state = self.lock();
        let pushed = state.pushed;
        self.wait(state, deadline, |state| pushed <= state.done || state.ended).is_ok()
    }

    /// Lets the writer go on with `sink`, and waits until it does. A writer that does not come by the deadline
    /// finds the sink whenever it comes.
    pub(crate) fn replace_sink(&self, sink: Sink, deadline: Instant) -> bool {
        let mut state = self.lock();
        state.new_sink = Some(sink);
        self.work.notify_one();
        match self.wait(state, deadline, |state| state.new_sink.is_none() || state.ended) {
            Ok(()) => true,
            Err(mut state) => {
                state.reopens.failed = true;
                false
            }
        }
    }

    /// There is no sink to go on with.
    pub(crate) fn reopen_failed(&self) {
        self.lock().reopens.failed = true;
    }

    /// Takes no more lines; the writer ends when it has written the rest. Does not wait.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.work.notify_one();
        self.progress.notify_all();
    }

    /// Waits for the end of the writer after [`Queue::close`]; false when the deadline comes first.
    pub(crate) fn wait_ended(&self, deadline: Instant) -> bool {
        self.wait(self.lock(), deadline, |state| state.ended).is_ok()
    }

    fn push_locked(&self, mut state: MutexGuard<'_, State>, line: Line) -> Pushed {
        if state.closing {
            return Pushed::Dropped;
        }
        state.bytes += line.text.len();
        state.lines.push_back(line);
        state.pushed += 1;
        drop(state);
        self.work.notify_one();
        Pushed::Queued
    }

    /// The state, still locked, when the deadline comes before what is waited for.
    fn wait<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        deadline: Instant,
        reached: impl Fn(&State) -> bool,
    ) -> Result<(), MutexGuard<'a, State>> {
        while !reached(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                return Err(state);
            }
            state = self.progress.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    /// `None` when there is nothing left and nothing will come.
    fn take(&self) -> Option<Work> {
        let mut state = self.lock();
        while state.lines.is_empty() && state.new_sink.is_none() && !state.closing {
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let work = Work { lines: std::mem::take(&mut state.lines), new_sink: state.new_sink.take() };
        if work.new_sink.is_some() {
            // Also when whoever asked for it has given up waiting.
            state.reopens.count += 1;
            state.reopens.failed = false;
        } else if work.lines.is_empty() {
            state.ended = true;
            drop(state);
            self.progress.notify_all();
            return None;
        }
        Some(work)
    }

    fn done_with(&self, n_lines: u64, n_bytes: usize) {
        let mut state = self.lock();
        state.done += n_lines;
        state.bytes -= n_bytes;
        drop(state);
        self.progress.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    #[expect(clippy::cast_possible_truncation, reason = "bounded by the queue size, which is a u32")]
    fn waiting(&self) -> usize {
        (self.pushed - self.done) as usize
    }

    /// A line that is longer than all that may wait still gets through an empty queue.
    fn is_full_for(&self, line: &Line, bounds: &Bounds) -> bool {
        let too_many_bytes = self.bytes != 0 && bounds.bytes_max < self.bytes + line.text.len();
        bounds.lines_max <= self.waiting() || too_many_bytes
    }
}

struct Writer {
    queue: Arc<Queue>,
    sink: Sink,
    dropped: Arc<ByLevel>,
    chunk: Chunk,
}

/// Lines gathered for one write.
#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    /// Where each line ends in `bytes`.
    ends: Vec<(usize, Level)>,
}

impl Writer {
    fn run(&mut self) {
        while let Some(work) = self.queue.take() {
            if let Some(sink) = work.new_sink {
                self.sink = sink;
                self.queue.done_with(0, 0);
            }
            for line in work.lines {
                self.chunk.push(&line);
                if line.flush || CHUNK_BYTES <= self.chunk.bytes.len() {
                    self.write_chunk();
                }
            }
            self.write_chunk();
        }
    }

    /// What the sink does not take is gone, and counted. Nobody is told in another way: standard error may be what
    /// fails, or stall, and the writer with it.
    fn write_chunk(&mut self) {
        let Chunk { bytes, ends } = &self.chunk;
        if ends.is_empty() {
            return;
        }
        let (written, outcome) = self.sink.write_lines(bytes);
        if outcome.is_err() {
            self.queue.write_errors.fetch_add(1, Relaxed);
            for (_, level) in ends.iter().filter(|(end, _)| written < *end) {
                self.dropped.add(*level, 1);
            }
        }
        self.queue.done_with(ends.len() as u64, bytes.len());
        self.chunk.clear();
    }
}

impl Chunk {
    fn push(&mut self, line: &Line) {
        self.bytes.extend_from_slice(line.text.as_bytes());
        self.ends.push((self.bytes.len(), line.level));
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}
