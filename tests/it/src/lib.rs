//! Runs service binaries for end-to-end tests.
//!
//! [`ServiceConfig`] is mostly a file of `configs/` with a few texts replaced; [`ServiceProcess`] is the binary that runs with
//! it, asked over HTTP and by signals. The tests of a sample lie beside it, in `samples/<name>/tests/it`, because only
//! there cargo says where its binary is: `ServiceProcess::start(env!("CARGO_BIN_EXE_hello_service"), ..)`.
//!
//! Everything here blocks and panics with what it saw instead, as tests want it. No process outlives its test.

mod config;
mod http;
mod metrics;
mod process;

#[cfg(test)]
mod tests;

pub use config::{ConfigFile, ServiceConfig};
pub use http::Answer;
pub use metrics::Metrics;
pub use process::{Ended, ServiceProcess};
pub use rustix::process::Signal;
