//! The real binary with its real configuration: what it answers, how it ends, and what it says when it cannot begin.

mod command_line;
mod requests;
mod signals;
mod stalled;

use mainspring_it::{ServiceConfig, ServiceProcess};

const BINARY: &str = env!("CARGO_BIN_EXE_hello_service");
const CONFIG: &str = "hello_service.yaml";

#[track_caller]
fn hello_service() -> ServiceProcess {
    ServiceProcess::start(BINARY, &ServiceConfig::of(CONFIG), &[])
}
