//! The bounded queue of a logger and the thread that empties it.
//!
//! No timers: the writer sleeps on the queue, takes everything there is, writes it and sleeps again. A line
//! counts against the bound until it is written, so the bound holds for the memory too.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::config::OverflowBehavior;

/// Where lines end up.
pub(crate) type Sink = Box<dyn Write + Send>;

/// Most bytes gathered for one write.
const CHUNK_BYTES: usize = 64 * 1024;

pub(crate) struct Queue {
    state: Mutex<State>,
    /// Wakes the writer: a line, a new sink, or the end.
    work: Condvar,
    /// Wakes callers: lines were written, a sink was replaced, or the writer has ended.
    progress: Condvar,
    lines_max: usize,
    overflow: OverflowBehavior,
    write_errors: AtomicU64,
}

#[derive(Default)]
struct State {
    lines: VecDeque<Line>,
    /// Lines ever pushed and ever done with; their difference is what counts against the bound.
    pushed: u64,
    written: u64,
    new_sink: Option<Sink>,
    closing: bool,
    ended: bool,
}

pub(crate) struct Line {
    pub(crate) text: String,
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
    /// Starts the thread `log-<name>`; it ends after [`Queue::close`], when everything is written.
    pub(crate) fn start(
        name: &str,
        sink: Sink,
        lines_max: usize,
        overflow: OverflowBehavior,
    ) -> io::Result<Arc<Queue>> {
        let queue = Arc::new(Queue {
            state: Mutex::default(),
            work: Condvar::new(),
            progress: Condvar::new(),
            lines_max,
            overflow,
            write_errors: AtomicU64::new(0),
        });
        let mut writer = Writer {
            queue: Arc::clone(&queue),
            name: name.to_owned(),
            sink,
            chunk: Vec::new(),
            failing: false,
        };
        thread::Builder::new().name(format!("log-{name}")).spawn(move || writer.run())?;
        Ok(queue)
    }

    pub(crate) fn push(&self, line: Line) -> Pushed {
        let mut state = self.lock();
        while self.lines_max <= state.waiting() && !state.closing {
            match self.overflow {
                OverflowBehavior::Discard => return Pushed::Dropped,
                OverflowBehavior::Block => {
                    state = self.progress.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
        self.push_locked(state, line)
    }

    /// Ignores the bound: for records kept before the queue existed, which have a bound of their own.
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

    /// Waits until what was pushed before this call is written; false when the deadline comes first.
    pub(crate) fn flush(&self, deadline: Instant) -> bool {
        let state = self.lock();
        let pushed = state.pushed;
        self.wait(state, deadline, |state| pushed <= state.written || state.ended)
    }

    /// Lets the writer go on with `sink`, and waits until it does.
    pub(crate) fn replace_sink(&self, sink: Sink, deadline: Instant) -> bool {
        let mut state = self.lock();
        state.new_sink = Some(sink);
        self.work.notify_one();
        self.wait(state, deadline, |state| state.new_sink.is_none() || state.ended)
    }

    /// Takes no more lines; the writer ends when it has written the rest. Does not wait.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.work.notify_one();
        self.progress.notify_all();
    }

    /// Waits for the end of the writer after [`Queue::close`]; false when the deadline comes first.
    pub(crate) fn wait_ended(&self, deadline: Instant) -> bool {
        self.wait(self.lock(), deadline, |state| state.ended)
    }

    fn push_locked(&self, mut state: MutexGuard<'_, State>, line: Line) -> Pushed {
        if state.closing {
            return Pushed::Dropped;
        }
        state.lines.push_back(line);
        state.pushed += 1;
        drop(state);
        self.work.notify_one();
        Pushed::Queued
    }

    fn wait(
        &self,
        mut state: MutexGuard<'_, State>,
        deadline: Instant,
        reached: impl Fn(&State) -> bool,
    ) -> bool {
        while !reached(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                return false;
            }
            state = self.progress.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// `None` when there is nothing left and nothing will come.
    fn take(&self) -> Option<Work> {
        let mut state = self.lock();
        while state.lines.is_empty() && state.new_sink.is_none() && !state.closing {
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let work = Work { lines: std::mem::take(&mut state.lines), new_sink: state.new_sink.take() };
        if work.lines.is_empty() && work.new_sink.is_none() {
            state.ended = true;
            drop(state);
            self.progress.notify_all();
            return None;
        }
        Some(work)
    }

    fn written(&self, n_lines: u64) {
        self.lock().written += n_lines;
        self.progress.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    #[expect(clippy::cast_possible_truncation, reason = "bounded by the queue size, which is a u32")]
    fn waiting(&self) -> usize {
        (self.pushed - self.written) as usize
    }
}

struct Writer {
    queue: Arc<Queue>,
    name: String,
    sink: Sink,
    chunk: Vec<u8>,
    /// The last write failed, and standard error has been told.
    failing: bool,
}

impl Writer {
    fn run(&mut self) {
        while let Some(work) = self.queue.take() {
            if let Some(sink) = work.new_sink {
                self.sink = sink;
                self.queue.written(0);
            }
            let mut n_lines = 0;
            for line in work.lines {
                self.chunk.extend_from_slice(line.text.as_bytes());
                n_lines += 1;
                if line.flush || CHUNK_BYTES <= self.chunk.len() {
                    self.write_chunk(n_lines);
                    n_lines = 0;
                }
            }
            self.write_chunk(n_lines);
        }
    }

    fn write_chunk(&mut self, n_lines: u64) {
        if self.chunk.is_empty() {
            return;
        }
        match self.sink.write_all(&self.chunk).and_then(|()| self.sink.flush()) {
            Ok(()) => self.failing = false,
            Err(error) => self.failed(&error),
        }
        self.chunk.clear();
        self.queue.written(n_lines);
    }

    /// Counts each failed write and tells standard error once per row of failures.
    fn failed(&mut self, error: &io::Error) {
        self.queue.write_errors.fetch_add(1, Relaxed);
        if !self.failing {
            self.failing = true;
            // When standard error fails too, nobody is left to tell; the count remains.
            drop(writeln!(io::stderr(), "logger `{}` cannot write: {error}", self.name));
        }
    }
}
