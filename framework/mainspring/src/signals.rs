//! What signals do to a service. They have a thread of their own, so that they work when every task processor is
//! stuck; it sleeps until a signal comes.

use std::io;
use std::sync::mpsc::{self, SyncSender};

use mainspring_core::ServiceHandle;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{Exit, last_words};

/// Follows signals until the process ends.
///
/// # Errors
/// When the system refuses a thread or a signal handler.
pub(crate) fn follow(service: ServiceHandle) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let signals = runtime.block_on(async { Signals::new() })?;
    let reopen = reopening(service.clone())?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || runtime.block_on(signals.serve(&service, &reopen)))
        .map(drop)
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    reopen: Signal,
    reload: Signal,
}

impl Signals {
    /// Must run inside a runtime.
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            reopen: signal(SignalKind::user_defined1())?,
            reload: signal(SignalKind::hangup())?,
        })
    }

    async fn serve(mut self, service: &ServiceHandle, reopen: &SyncSender<()>) {
        let mut stopping = false;
        loop {
            let name = tokio::select! {
                _ = self.terminate.recv() => "SIGTERM",
                _ = self.interrupt.recv() => "SIGINT",
                _ = self.quit.recv() => "SIGQUIT",
                _ = self.reload.recv() => {
                    service.reload();
                    continue;
                }
                _ = self.reopen.recv() => {
                    // Refused when one waits already: it will do for this signal too.
                    let _coalesced = reopen.try_send(()).is_err();
                    continue;
                }
            };
            if stopping {
                exit_at_once(service, name);
            }
            stopping = true;
            service.stop(name);
        }
    }
}

/// Reopens log files when told to, on a thread of its own: to open a FIFO, or a file of a mount that is gone, blocks.
/// One is under way at a time, and one may wait.
fn reopening(service: ServiceHandle) -> io::Result<SyncSender<()>> {
    let (reopen, told) = mpsc::sync_channel(1);
    let serve = move || told.iter().for_each(|()| reopen_logs(&service));
    std::thread::Builder::new().name("reopen-logs".to_owned()).spawn(serve)?;
    Ok(reopen)
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
    let logging = service.logging().clone();
    last_words::say_hurriedly(format!("error: ended at once by a second signal ({signal})"), move || {
        logging.flush(last_words::BEFORE_LIMIT);
    });
    std::process::exit(Exit::Forced as i32);
}
