//! What only shows in a process with a single service. Keep it at one test: others would add dispatchers.

use mainspring_logging::{Colors, FilePath, Level, LoggerConfig, LoggersConfig, Logging, RecentFilter};
use tracing::dispatcher::with_default;
use tracing::level_filters::LevelFilter;

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

    // What is below every level costs one comparison: call sites never ask.
    assert_eq!(LevelFilter::current(), LevelFilter::DEBUG);
    logging.set_level("default", None).expect("the logger exists");
    assert_eq!(LevelFilter::current(), LevelFilter::INFO);
    logging.set_level("default", Some(Level::Error)).expect("the logger exists");
    assert_eq!(LevelFilter::current(), LevelFilter::INFO, "spans of this level count at any level");
    let verbose = logging.local_level(Level::Trace);
    assert_eq!(LevelFilter::current(), LevelFilter::TRACE);
    drop(verbose);
    assert_eq!(LevelFilter::current(), LevelFilter::INFO);

    // Of several services the most talkative counts.
    let other = Logging::new();
    assert_eq!(LevelFilter::current(), LevelFilter::DEBUG, "one that is not configured keeps debug records");
    other.configure(&config, Colors::Never).expect("nothing to open");
    assert_eq!(LevelFilter::current(), LevelFilter::INFO);
    let verbose = other.local_level(Level::Debug);
    assert_eq!(LevelFilter::current(), LevelFilter::DEBUG);
    with_default(&logging.dispatch(), || tracing::debug!("Not reached in the other service"));
    drop((verbose, other));
    assert_eq!(logging.recent(&RecentFilter::default()).len(), 4);
}
