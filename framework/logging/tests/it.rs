//! What only shows in a process with a single service. Keep it at one test: others would add dispatchers.

use mainspring_logging::{Colors, FilePath, Level, LoggerConfig, LoggersConfig, Logging, RecentFilter};
use tracing::dispatcher::with_default;

fn shared_call_site(n: u32) {
    tracing::info!(n, "Reached");
}

#[test]
fn a_thread_outside_the_service_does_not_silence_it() {
    let logging = Logging::new();
    // Met first where no subscriber is, as by a foreign library's thread.
    shared_call_site(1);
    with_default(&logging.dispatch(), || shared_call_site(2));

    // Configured and changed from outside too.
    let config = LoggersConfig::of_default(LoggerConfig::new(FilePath::Null));
    logging.configure(&config, Colors::Never).expect("nothing to open");
    with_default(&logging.dispatch(), || shared_call_site(3));
    logging.set_level("default", Some(Level::Debug)).expect("the logger exists");
    with_default(&logging.dispatch(), || {
        shared_call_site(4);
        tracing::debug!("Reached");
        tracing::trace!("Not reached");
    });

    assert_eq!(logging.recent(&RecentFilter::default()).len(), 4);
}
