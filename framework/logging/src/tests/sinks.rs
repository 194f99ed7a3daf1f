//! Facts about queues, files and failing disks.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant;

use super::*;

fn to_file(path: &Path) -> LoggersConfig {
    LoggersConfig::of_default(LoggerConfig::new(FilePath::File(path.to_owned())))
}

/// A page that holds up its writer after it took one record, so that the queue's length is known.
fn held_logging(json: &str) -> (Logging, Page) {
    let page = Page::default();
    page.set(|state| state.held = true);
    let logging = logging_on(&[("default", json, Style::Tskv, &page)]);
    with_default(&logging.dispatch(), || info!("first"));
    page.wait_for_writer();
    (logging, page)
}

#[test]
fn a_full_queue_drops_and_counts_exactly() {
    let (logging, page) = held_logging(r#"{"file_path": "@stderr", "message_queue_size": 3}"#);
    with_default(&logging.dispatch(), || {
        for n in 0..4 {
            info!(n, "more");
        }
        warn!("more");
    });
    let stats = logging.stats().remove(0);
    assert_eq!(stats.queue_messages, 3);
    assert_eq!((count(&stats.messages, Level::Info), count(&stats.dropped, Level::Info)), (5, 2));
    assert_eq!((count(&stats.messages, Level::Warning), count(&stats.dropped, Level::Warning)), (1, 1));
    assert!(!logging.flush(Duration::from_millis(1)), "the writer is held up");
    page.set(|state| state.held = false);
    assert!(logging.flush(WAIT_MAX));
    assert_eq!(page.text().lines().count(), 3);
    with_default(&logging.dispatch(), || info!("there is room again"));
    assert!(logging.flush(WAIT_MAX));
    assert_eq!(page.text().lines().count(), 4);
}

#[test]
fn a_full_queue_that_blocks_loses_nothing() {
    let blocking = r#"{"file_path": "@stderr", "message_queue_size": 1, "overflow_behavior": "block"}"#;
    let (logging, page) = held_logging(blocking);
    thread::scope(|threads| {
        let caller = threads.spawn(|| with_default(&logging.dispatch(), || info!("second")));
        // Counted before it waits for the queue; then it cannot come through.
        let deadline = Instant::now() + WAIT_MAX;
        while count(&logging.stats()[0].messages, Level::Info) < 2 {
            assert!(Instant::now() < deadline, "the second record was not counted");
            thread::yield_now();
        }
        assert!(!caller.is_finished());
        page.set(|state| state.held = false);
    });
    assert!(logging.flush(WAIT_MAX));
    assert_eq!(page.text().lines().count(), 2);
    assert_eq!(count(&logging.stats()[0].dropped, Level::Info), 0);
}

#[test]
fn shutdown_writes_the_rest_and_later_records_are_counted_as_dropped() {
    let (logging, page) = held_logging(TO_PAGE);
    with_default(&logging.dispatch(), || info!("second"));
    assert!(!logging.shutdown(Duration::from_millis(1)), "the writer is held up");
    page.set(|state| state.held = false);
    assert!(logging.shutdown(WAIT_MAX));
    assert!(logging.shutdown(WAIT_MAX), "twice does no harm");
    with_default(&logging.dispatch(), || info!("third"));
    assert_eq!(page.text().lines().count(), 2);
    assert_eq!(count(&logging.stats()[0].dropped, Level::Info), 1);
}

#[test]
fn a_failing_disk_is_counted_and_forgotten_once_it_works() {
    let page = Page::default();
    let logging = logging_on(&[("default", TO_PAGE, Style::Tskv, &page)]);
    page.set(|state| state.failing = true);
    for _ in 0..2 {
        with_default(&logging.dispatch(), || warn!("lost"));
        assert!(logging.flush(WAIT_MAX));
    }
    page.set(|state| state.failing = false);
    with_default(&logging.dispatch(), || info!("written"));
    assert!(logging.flush(WAIT_MAX));
    assert_eq!(logging.stats()[0].write_errors, 2);
    assert!(page.text().ends_with("text=written\n"));
}

#[test]
fn a_file_gets_its_directories_and_its_mode_and_is_appended_to() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/er/service.log");
    for text in ["first run", "second run"] {
        let logging = Logging::new();
        logging.configure(&to_file(&path), Colors::Auto).unwrap();
        with_default(&logging.dispatch(), || info!("{text}"));
        assert!(logging.shutdown(WAIT_MAX));
    }
    let written = fs::read_to_string(&path).unwrap();
    let texts: Vec<_> = written.lines().map(|line| line.rsplit_once("text=").unwrap().1).collect();
    assert_eq!(texts, ["first run", "second run"]);
    // The umask may take away more.
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777 & !0o644, 0);
}

#[test]
fn a_file_that_cannot_be_opened_is_named_with_its_logger_and_keeps_the_records() {
    let directory = tempfile::tempdir().unwrap();
    let blocker = directory.path().join("file");
    fs::write(&blocker, "").unwrap();
    let logging = Logging::new();
    with_default(&logging.dispatch(), || info!("kept"));
    let error = logging.configure(&to_file(&blocker.join("a.log")), Colors::Never).unwrap_err();
    let expected = format!("logger `default` cannot open `{}`", blocker.display());
    assert_eq!(error.to_string(), expected);
    assert!(std::error::Error::source(&error).is_some());

    let path = directory.path().join("b.log");
    logging.configure(&to_file(&path), Colors::Never).unwrap();
    assert!(logging.shutdown(WAIT_MAX));
    assert!(fs::read_to_string(&path).unwrap().contains("text=kept"));
}

#[test]
fn reopening_after_a_rename_loses_no_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("service.log");
    let logging = Logging::new();
    logging.configure(&to_file(&path), Colors::Never).unwrap();
    const N_LINES: usize = 2000;
    const N_ROTATIONS: usize = 5;
    thread::scope(|threads| {
        threads.spawn(|| {
            with_default(&logging.dispatch(), || (0..N_LINES).for_each(|n| info!(n, "line")));
        });
        for idx in 0..N_ROTATIONS {
            fs::rename(&path, directory.path().join(format!("{idx}.log"))).unwrap();
            logging.reopen().unwrap();
        }
    });
    assert!(logging.shutdown(WAIT_MAX));
    let rotated = (0..N_ROTATIONS).map(|idx| directory.path().join(format!("{idx}.log"))).chain([path]);
    let text: String = rotated.map(|path| fs::read_to_string(path).unwrap()).collect();
    let numbers: Vec<usize> = text
        .lines()
        .map(|line| line.split('\t').find_map(|pair| pair.strip_prefix("n=")).unwrap().parse().unwrap())
        .collect();
    assert_eq!(numbers, (0..N_LINES).collect::<Vec<_>>(), "all lines, in order");
    assert_eq!((logging.stats()[0].reopens, logging.stats()[0].reopen_failed), (5, false));
}

#[test]
fn a_failed_reopening_is_reported_and_the_old_file_stays_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("inner");
    let path = inner.join("service.log");
    let logging = Logging::new();
    logging.configure(&to_file(&path), Colors::Never).unwrap();
    let moved = directory.path().join("moved");
    fs::rename(&inner, &moved).unwrap();
    fs::write(&inner, "in the way").unwrap();
    let errors = logging.reopen().unwrap_err();
    assert_eq!(errors[0].to_string(), format!("logger `default` cannot open `{}`", inner.display()));
    with_default(&logging.dispatch(), || info!("still here"));
    assert!(logging.flush(WAIT_MAX));
    assert!(fs::read_to_string(moved.join("service.log")).unwrap().contains("still here"));
    assert!(logging.stats()[0].reopen_failed);
    fs::remove_file(&inner).unwrap();
    logging.reopen().unwrap();
    assert_eq!((logging.stats()[0].reopens, logging.stats()[0].reopen_failed), (1, false));
}

#[test]
fn records_to_nowhere_are_counted_and_still_recent() {
    let logging = Logging::new();
    let config = LoggersConfig::of_default(LoggerConfig::new(FilePath::Null));
    logging.configure(&config, Colors::Never).unwrap();
    with_default(&logging.dispatch(), || info!("nowhere"));
    assert_eq!(texts(&logging), ["nowhere"]);
    assert_eq!(count(&logging.stats()[0].messages, Level::Info), 1);
    logging.reopen().unwrap();
    assert!(logging.flush(Duration::ZERO) && logging.shutdown(Duration::ZERO));
}

#[test]
fn the_fallback_writes_what_was_kept_to_standard_error() {
    let logging = Logging::with_clock(fixed_clock);
    with_default(&logging.dispatch(), || error!("Start-up failed, says a test"));
    logging.configure_fallback();
    assert_eq!((logging.loggers(), texts(&logging).len()), (vec!["default".to_owned()], 1));
    assert_eq!((logging.stats()[0].queue_messages, logging.stats()[0].write_errors), (0, 0));
}

#[test]
fn the_fallback_does_nothing_once_configured() {
    let page = Page::default();
    let logging = logging_on(&[("default", TO_PAGE, Style::Tskv, &page)]);
    logging.configure_fallback();
    with_default(&logging.dispatch(), || info!("to the page"));
    assert!(logging.flush(WAIT_MAX));
    assert!(page.text().contains("to the page"));
}
