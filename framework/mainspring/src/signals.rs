//! What signals do to a service. They have a thread of their own, so that they work when every task processor is
//! stuck; it sleeps until a signal comes.

use std::io::{self, Write};
use std::time::Duration;

use mainspring_core::{Phase, ServiceHandle};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::Exit;

/// Time for log writers before a forced exit.
const LAST_FLUSH: Duration = Duration::from_millis(200);

/// Follows signals until the service has stopped.
///
/// # Errors
/// When the system refuses a thread or a signal handler.
pub(crate) fn follow(service: ServiceHandle) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let signals = runtime.block_on(async { Signals::new() })?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || runtime.block_on(signals.serve(&service)))
        .map(drop)
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    reopen: Signal,
}

impl Signals {
    /// Must run inside a runtime.
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            reopen: signal(SignalKind::user_defined1())?,
        })
    }

    async fn serve(mut self, service: &ServiceHandle) {
        let mut stopping = false;
        loop {
            let name = tokio::select! {
                _ = self.terminate.recv() => "SIGTERM",
                _ = self.interrupt.recv() => "SIGINT",
                _ = self.quit.recv() => "SIGQUIT",
                _ = self.reopen.recv() => {
                    reopen_logs(service);
                    continue;
                }
                _ = service.reached(Phase::Stopped) => return,
            };
            if stopping {
                exit_at_once(service, name);
            }
            stopping = true;
            service.stop(name);
        }
    }
}

fn reopen_logs(service: &ServiceHandle) {
    let errors = service.logging().reopen().err().unwrap_or_default();
    tracing::dispatcher::with_default(&service.logging().dispatch(), || {
        for error in errors {
            tracing::error!(error = %error, "Cannot reopen a log file; writing goes on to the old one");
        }
    });
}

#[expect(clippy::exit, reason = "a second signal means now, whatever still runs")]
fn exit_at_once(service: &ServiceHandle, signal: &str) -> ! {
    service.logging().flush(LAST_FLUSH);
    let _nobody_listens =
        writeln!(io::stderr(), "error: ended at once by a second signal ({signal})").is_err();
    std::process::exit(Exit::Forced as i32);
}
