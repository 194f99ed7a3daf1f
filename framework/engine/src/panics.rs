//! What each thread of a service carries: its log dispatch, and where it last panicked.
//!
//! A panic's location is known to the panic hook alone, its task to the supervisor alone. The hook therefore
//! leaves the location in a thread-local, and [`take`] hands it to the supervisor, which logs both once. Threads
//! that are not ours keep the hook that was installed before.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::PanicHookInfo;
use std::sync::Once;

use tracing::Dispatch;
use tracing::subscriber::DefaultGuard;

static HOOK: Once = Once::new();

thread_local! {
    static LOGGING: RefCell<Option<DefaultGuard>> = const { RefCell::new(None) };
    static LOCATION: Cell<Option<String>> = const { Cell::new(None) };
}

/// Makes panics on threads of task processors remember where they happened; safe to call often.
pub(crate) fn install_hook() {
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !remember(info) {
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

/// The message of a caught panic, and where it was raised when it was raised on this thread.
pub(crate) fn take(payload: &(dyn Any + Send)) -> (String, String) {
    let message = payload
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a value that is not text".to_owned());
    (message, LOCATION.take().unwrap_or_else(|| "unknown".to_owned()))
}

fn remember(info: &PanicHookInfo<'_>) -> bool {
    let ours = LOGGING.try_with(|guard| guard.try_borrow().is_ok_and(|guard| guard.is_some()));
    if ours != Ok(true) {
        return false;
    }
    LOCATION.set(info.location().map(ToString::to_string));
    true
}
