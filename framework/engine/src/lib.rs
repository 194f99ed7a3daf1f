//! Task processors: named runtimes with supervised, counted and joined tasks.
//!
//! A *task processor* is one tokio multi-thread runtime with threads of its own, so that the isolation a
//! configuration promises is real: a busy consumer cannot starve the monitor. Everything that runs is spawned
//! through [`TaskProcessor`]: it gets a name, is counted, is joined at shutdown, and its panic is logged and
//! counted instead of vanishing with a dropped handle.
//!
//! [`Engine`] owns the runtimes and lives on the thread that drives the service; [`TaskProcessor`] is the cheap
//! handle that everybody else holds. The crate knows nothing of components.

mod processor;
mod scope;
mod task;

mod engine;
mod panics;
mod stats;
mod supervised;

#[cfg(test)]
mod tests;

pub use engine::{Engine, EngineError, TaskProcessorSpec, TaskProcessors, Unfinished};
pub use panics::{Panic, catch_panic};
pub use processor::TaskProcessor;
pub use scope::TaskScope;
pub use stats::{TaskCounts, TaskProcessorsCollector};
pub use task::{CancelOnDrop, Task, TaskError};
