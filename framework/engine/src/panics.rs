//! What each thread of a service carries: its log dispatch, and the panic that its supervisor has yet to report.
//!
//! A panic's location is known to the panic hook alone, its task to the supervisor alone. Inside [`catch_panic`] the
//! hook therefore leaves both message and location in a thread-local for the supervisor, which logs all of it once, and
//! the hook that was installed before stays silent. That one speaks whenever no supervisor would: outside
//! [`catch_panic`], for a second panic while the first unwinds (which ends the process), and with `panic = "abort"`.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::io::Write;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

use tracing::Dispatch;
use tracing::subscriber::DefaultGuard;

static HOOK: Once = Once::new();

/// The message of a panic whose payload is no string.
const NOT_TEXT: &str = "a value that is not text";

thread_local! {
    static LOGGING: RefCell<Option<DefaultGuard>> = const { RefCell::new(None) };
    /// How many calls of [`catch_panic`] this thread is in.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    static UNCLAIMED: Cell<Option<Panic>> = const { Cell::new(None) };
}

/// A panic that was caught.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Panic {
    /// What it said.
    pub message: String,
    /// Where it was raised, as `file:line:column`; `unknown` before an [`Engine`](crate::Engine) has started.
    pub location: String,
}

/// Runs code that must not take its caller down. Nobody but the caller reports the panic.
///
/// # Errors
/// Its panic.
pub fn catch_panic<T>(code: impl FnOnce() -> T) -> Result<T, Panic> {
    caught(code).map_err(|payload| claim(payload.as_ref()))
}

/// Makes the hook leave panics to the supervisors that catch them; safe to call often.
pub(crate) fn install_hook() {
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !leave_to_supervisor(info) {
                previous(info);
            }
        }));
    });
}

/// Routes this thread's log records to `dispatch` for as long as the thread lives.
pub(crate) fn enter_thread(dispatch: &Dispatch) {
    LOGGING.set(Some(tracing::dispatcher::set_default(dispatch)));
}

/// Lets go of the dispatch before the thread-locals of `tracing` itself are torn down.
pub(crate) fn leave_thread() {
    LOGGING.set(None);
}

/// Runs `code` and catches its panic, which the caller has to [`claim`].
fn caught<T>(code: impl FnOnce() -> T) -> std::thread::Result<T> {
    struct Inside;
    impl Drop for Inside {
        fn drop(&mut self) {
            DEPTH.set(DEPTH.get() - 1);
        }
    }
    DEPTH.set(DEPTH.get() + 1);
    let _inside = Inside;
    catch_unwind(AssertUnwindSafe(code))
}

/// The panic that came with `payload`.
fn claim(payload: &(dyn Any + Send)) -> Panic {
    let message = message(payload);
    match claim_swallowed() {
        Some(panic) if panic.message == message => panic,
        swallowed => {
            // Another panic, which other code has caught: whoever asks for those next reports it.
            UNCLAIMED.set(swallowed);
            Panic { message, location: "unknown".to_owned() }
        }
    }
}

/// The last panic inside [`catch_panic`] on this thread that other code has caught, if nobody has asked for it yet.
pub(crate) fn claim_swallowed() -> Option<Panic> {
    UNCLAIMED.take()
}

/// What a panic says.
pub(crate) fn message(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| NOT_TEXT.to_owned())
}

fn leave_to_supervisor(info: &PanicHookInfo<'_>) -> bool {
    let is_supervised = DEPTH.try_with(Cell::get).is_ok_and(|depth| 0 < depth);
    if cfg!(not(panic = "unwind")) || !is_supervised {
        return false;
    }
    let location = info.location().map_or_else(|| "unknown".to_owned(), ToString::to_string);
    let message = info.payload_as_str().unwrap_or(NOT_TEXT).to_owned();
    let Some(first) = UNCLAIMED.replace(Some(Panic { message, location })) else { return true };
    // The first is unwinding still, or other code has caught it: this may be the last thing the process says.
    let _nobody_listens = writeln!(
        std::io::stderr(),
        "panicked at {}: {}; what follows came before its supervisor could report it",
        first.location,
        first.message
    )
    .is_err();
    false
}
