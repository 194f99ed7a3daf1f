//! What every client reports of itself: librdkafka's log lines and errors, each logged once with its fields.

use std::fmt;

use mainspring_kafka_ffi::{KafkaError, LogLine};
use mainspring_logging::Level;

/// Logs at a level that is known at run time only. Takes the level, then what `tracing`'s macros take.
macro_rules! log_at {
    ($level:expr, $($record:tt)+) => {
        match $level {
            ::mainspring_logging::Level::Trace => ::tracing::trace!($($record)+),
            ::mainspring_logging::Level::Debug => ::tracing::debug!($($record)+),
            ::mainspring_logging::Level::Info => ::tracing::info!($($record)+),
            ::mainspring_logging::Level::Warning => ::tracing::warn!($($record)+),
            ::mainspring_logging::Level::Error | ::mainspring_logging::Level::Critical => {
                ::tracing::error!($($record)+)
            }
            ::mainspring_logging::Level::None => {}
        }
    };
}
pub(crate) use log_at;

/// Whether a record at a level that is known at run time only would be logged: asked once for many of them.
macro_rules! is_logged_at {
    ($level:expr) => {
        match $level {
            ::mainspring_logging::Level::Trace => ::tracing::enabled!(::tracing::Level::TRACE),
            ::mainspring_logging::Level::Debug => ::tracing::enabled!(::tracing::Level::DEBUG),
            ::mainspring_logging::Level::Info => ::tracing::enabled!(::tracing::Level::INFO),
            ::mainspring_logging::Level::Warning => ::tracing::enabled!(::tracing::Level::WARN),
            ::mainspring_logging::Level::Error | ::mainspring_logging::Level::Critical => {
                ::tracing::enabled!(::tracing::Level::ERROR)
            }
            ::mainspring_logging::Level::None => false,
        }
    };
}
pub(crate) use is_logged_at;

/// Lines about what comes as an event as well, and is logged as that: a broker connection or the client failing, a member
/// that does not poll.
const ALSO_EVENTS: [&str; 3] = ["FAIL", "FATAL", "MAXPOLL"];

/// A line of librdkafka's own log.
pub(crate) fn library_line(component: &str, line: &LogLine, debug_info_level: Level) {
    let LogLine { facility, text, .. } = line;
    // Syslog levels: 0 emergency to 3 error, 4 warning, 5 notice, 6 information, 7 debug.
    let level = match line.level {
        _ if ALSO_EVENTS.contains(&facility.as_str()) => debug_info_level,
        ..=3 => Level::Error,
        4 => Level::Warning,
        _ => debug_info_level,
    };
    log_at!(level, component, %facility, line = %text, "Line of librdkafka's log");
}

/// A client is made with these options of librdkafka.
pub(crate) fn options(component: &str, options: &str) {
    tracing::info!(component, options, "Options of librdkafka");
}

/// The connection to a broker has failed, for the first time since it was up.
pub(crate) fn connection_lost(component: &str, broker: &str, error: &KafkaError) {
    tracing::warn!(component, broker, code = %error.code, error = %error.text, "Connection to a broker is failing");
}

/// The connection to a broker is up again.
pub(crate) fn connection_restored(component: &str, broker: &str) {
    tracing::info!(component, broker, "Connection to a broker works again");
}

/// No broker can be reached.
pub(crate) fn all_brokers_down(component: &str, error: &KafkaError) {
    tracing::error!(component, code = %error.code, error = %error.text, "All brokers are down");
}

/// A broker answered after all had been down.
pub(crate) fn brokers_answer_again(component: &str) {
    tracing::info!(component, "Brokers answer again");
}

/// The client is unusable from here on.
pub(crate) fn fatal(component: &str, error: &KafkaError) {
    tracing::error!(component, code = %error.code, error = %error.text, "Client failed for good");
}

/// Any other error event.
pub(crate) fn other_error(component: &str, error: &KafkaError) {
    tracing::error!(component, code = %error.code, error = %error.text, "Client reports an error");
}

/// librdkafka's statistics could not be read; they are skipped.
pub(crate) fn statistics_unreadable(component: &str, error: &serde_json::Error) {
    tracing::debug!(component, %error, "Statistics are not readable");
}

/// New credentials are in use for connections made from now on.
pub(crate) fn credentials_taken(component: &str) {
    tracing::info!(component, "New credentials are used from the next connection on");
}

/// What secdist or a file holds for the client cannot be used.
pub(crate) fn connection_unusable(component: &str, error: &dyn fmt::Display) {
    tracing::error!(component, %error, "New credentials, certificates or brokers cannot be used; the old ones stay");
}

/// Another client has taken over.
pub(crate) fn replaced(component: &str) {
    tracing::info!(component, "New brokers, certificates or keys are in use");
}
