//! Facts about levels that count for a part of the work.

use super::*;

fn log_each() {
    trace!("trace");
    debug!("debug");
    info!("info");
    warn!("warning");
    error!("error");
}

#[track_caller]
fn check(logger: Level, local: Level, expected: &[&str]) {
    let logging = logging_on(&[("default", TO_PAGE, Style::Tskv, &Page::default())]);
    logging.set_level("default", Some(logger)).unwrap();
    let local = logging.local_level(local);
    with_default(&logging.dispatch(), || local.span().in_scope(log_each));
    assert_eq!(texts(&logging), expected, "{:?} in a logger at {logger}", local);
}

#[test]
fn a_local_level_shows_more_and_less_than_the_logger() {
    check(Level::Info, Level::Trace, &["trace", "debug", "info", "warning", "error"]);
    check(Level::Info, Level::Debug, &["debug", "info", "warning", "error"]);
    check(Level::None, Level::Warning, &["warning", "error"]);
    check(Level::Trace, Level::Warning, &["warning", "error"]);
    check(Level::Trace, Level::Error, &["error"]);
    check(Level::Trace, Level::Critical, &[]);
    check(Level::Trace, Level::None, &[]);
}

#[test]
fn work_beside_a_local_level_keeps_the_level_of_the_logger() {
    let logging = logging_on(&[("default", TO_PAGE, Style::Tskv, &Page::default())]);
    let verbose = logging.local_level(Level::Debug);
    with_default(&logging.dispatch(), || {
        let inside = verbose.span();
        inside.in_scope(|| debug!("inside"));
        debug!("outside");
        inside.in_scope(|| {
            thread::scope(|threads| {
                threads.spawn(|| with_default(&logging.dispatch(), || debug!("beside")));
            });
        });
        info!("outside");
    });
    assert_eq!(texts(&logging), ["inside", "outside"]);
}

#[test]
fn a_local_level_holds_in_the_spans_inside_until_one_has_its_own() {
    let page = Page::default();
    let logging = logging_on(&[("default", TO_PAGE, Style::Tskv, &page)]);
    let (verbose, quiet) = (logging.local_level(Level::Debug), logging.local_level(Level::Error));
    let other = logging_on(&[("default", TO_PAGE, Style::Tskv, &Page::default())]);
    with_default(&logging.dispatch(), || {
        let inner = verbose.span().in_scope(|| info_span!("task", component = "orders"));
        // On another thread, and after the span around it was left.
        thread::scope(|threads| {
            threads.spawn(|| {
                with_default(&logging.dispatch(), || inner.in_scope(|| debug!("in a task")));
            });
        });
        inner.in_scope(|| {
            quiet.span().in_scope(|| warn!("hidden"));
            debug!("shown again");
            with_default(&other.dispatch(), || debug!("of another service"));
        });
    });
    assert_eq!(texts(&logging), ["in a task", "shown again"]);
    assert_eq!(texts(&other), Vec::<String>::new());
    assert!(logging.flush(WAIT_MAX));
    let first = page.text().lines().next().unwrap().to_owned();
    assert!(first.ends_with("\tcomponent=orders\ttext=in a task"), "no field of its own: {first}");
}

#[test]
fn a_local_level_counts_for_loggers_with_a_name_too() {
    let audit = Page::default();
    let loggers = [("audit", TO_PAGE, Style::Tskv, &audit), ("default", TO_PAGE, Style::Tskv, &audit)];
    let logging = logging_on(&loggers);
    let verbose = logging.local_level(Level::Debug);
    with_default(&logging.dispatch(), || {
        verbose.span().in_scope(|| debug!(target: "audit", "inside"));
        debug!(target: "audit", "outside");
    });
    assert_eq!(texts(&logging), ["inside"]);
}
