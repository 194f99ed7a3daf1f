//! Facts about queues, files and failing disks.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Instant;

use super::*;
use crate::counts::ByLevel;
use crate::queue::{Bounds, Line, Pushed, Queue};
use crate::sink::retried;

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
fn a_failing_disk_is_counted_with_what_it_lost_and_forgotten_once_it_works() {
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
    let stats = &logging.stats()[0];
    assert_eq!((stats.write_errors, stats.queue_messages), (2, 0));
    assert_eq!((count(&stats.dropped, Level::Warning), count(&stats.dropped, Level::Info)), (2, 0));
    assert_eq!((page.text().lines().count(), page.text().starts_with("tskv")), (1, true));
    assert!(page.text().ends_with("text=written\n"));
}

#[test]
fn a_line_that_was_torn_is_counted_and_the_next_begins_on_a_line_of_its_own() {
    let (logging, page) = held_logging(TO_PAGE);
    with_default(&logging.dispatch(), || {
        info!("second");
        warn!("third");
    });
    page.set(|state| {
        let second = "tskv\ttimestamp=".len();
        state.next = [
            Next::Take(10),
            Next::Fail(io::ErrorKind::StorageFull),
            Next::Take(1),
            Next::Take(second),
            Next::Fail(io::ErrorKind::StorageFull),
        ]
        .into();
        state.held = false;
    });
    assert!(logging.flush(WAIT_MAX));
    with_default(&logging.dispatch(), || info!("fourth"));
    assert!(logging.flush(WAIT_MAX));
    let text = page.text();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines[0], lines[1], lines.len()), ("tskv\ttimes", "tskv\ttimestamp=", 3), "{text}");
    assert!(lines[2].starts_with("tskv\t") && lines[2].ends_with("text=fourth"), "{text}");
    let stats = &logging.stats()[0];
    assert_eq!((count(&stats.dropped, Level::Info), count(&stats.dropped, Level::Warning)), (2, 1));
    assert_eq!(stats.write_errors, 2);
}

#[test]
fn writes_that_are_interrupted_or_would_block_are_tried_again() {
    let page = Page::default();
    let logging = logging_on(&[("default", TO_PAGE, Style::Tskv, &page)]);
    page.set(|state| {
        let (interrupted, blocked) = (io::ErrorKind::Interrupted, io::ErrorKind::WouldBlock);
        let next = [Next::Fail(interrupted), Next::Fail(blocked), Next::Take(3), Next::Fail(blocked)];
        state.next = next.into();
    });
    with_default(&logging.dispatch(), || info!("whole"));
    assert!(logging.flush(WAIT_MAX));
    assert!(page.text().starts_with("tskv\t") && page.text().ends_with("text=whole\n"), "{}", page.text());
    let stats = &logging.stats()[0];
    assert_eq!((stats.write_errors, count(&stats.dropped, Level::Info)), (0, 0));
}

fn queue_on(page: &Page, bytes_max: usize) -> Arc<Queue> {
    let bounds = Bounds { lines_max: 1000, bytes_max, overflow: OverflowBehavior::Discard };
    Queue::start("test", Sink::new(page.clone()), bounds, Arc::<ByLevel>::default()).unwrap()
}

fn line(text: &str) -> Line {
    Line { text: format!("{text}\n"), level: Level::Info, flush: true }
}

#[test]
fn a_queue_is_bounded_by_bytes_but_passes_any_single_line() {
    let page = Page::default();
    page.set(|state| state.held = true);
    let queue = queue_on(&page, 10);
    let pushed = ["longer than the bound", "1", "2"].map(|text| queue.push(line(text)));
    assert_eq!(pushed, [Pushed::Queued, Pushed::Dropped, Pushed::Dropped]);
    page.set(|state| state.held = false);
    assert!(queue.flush(Instant::now() + WAIT_MAX));

    page.set(|state| state.held = true);
    let pushed = ["12345", "123", "1", ""].map(|text| queue.push(line(text)));
    assert_eq!(pushed, [Pushed::Queued, Pushed::Queued, Pushed::Dropped, Pushed::Dropped]);
    page.set(|state| state.held = false);
    assert!(queue.flush(Instant::now() + WAIT_MAX));
    assert_eq!(page.text(), "longer than the bound\n12345\n123\n");
    queue.close();
}

#[test]
fn a_file_that_a_stuck_writer_takes_late_is_no_failure_any_more() {
    let (old, new) = (Page::default(), Page::default());
    old.set(|state| state.held = true);
    let queue = queue_on(&old, 1000);
    queue.push(line("old"));
    old.wait_for_writer();
    assert!(!queue.replace_sink(Sink::new(new.clone()), Instant::now()), "the writer is held up");
    assert!((queue.reopens().count, queue.reopens().failed) == (0, true));
    old.set(|state| state.held = false);
    queue.push(line("new"));
    assert!(queue.flush(Instant::now() + WAIT_MAX));
    assert!((queue.reopens().count, queue.reopens().failed) == (1, false));
    assert_eq!((old.text().as_str(), new.text().as_str()), ("old\n", "new\n"));
    queue.close();
}

#[test]
fn reopenings_at_the_same_time_end_on_the_file_of_that_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("service.log");
    let logging = Logging::new();
    logging.configure(&to_file(&path), Colors::Never).unwrap();
    for round in 0..20 {
        thread::scope(|threads| {
            for n in 0..4 {
                let (logging, path) = (&logging, &path);
                let moved = directory.path().join(format!("{round}.{n}"));
                threads.spawn(move || {
                    // Another thread may have moved it just now; then there is nothing to move.
                    let _moved = fs::rename(path, moved).is_ok();
                    logging.reopen().unwrap();
                });
            }
        });
        with_default(&logging.dispatch(), || info!(round, "after"));
        assert!(logging.flush(WAIT_MAX));
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.contains(&format!("round={round}\t")),
            "round {round} went into a file that was moved away"
        );
    }
}

#[test]
fn opening_is_tried_five_times() {
    let attempts = Cell::new(0);
    let succeeds_at = |nth| {
        attempts.set(0);
        retried(|| {
            attempts.set(attempts.get() + 1);
            if attempts.get() == nth { Ok(nth) } else { Err(attempts.get()) }
        })
    };
    assert_eq!((succeeds_at(1), attempts.get()), (Ok(1), 1));
    assert_eq!((succeeds_at(5), attempts.get()), (Ok(5), 5));
    assert_eq!((succeeds_at(6), attempts.get()), (Err(5), 5));
}

#[test]
fn a_file_whose_last_line_has_no_end_gets_one_first() {
    let directory = tempfile::tempdir().unwrap();
    for (name, before, between) in
        [("torn", "tskv\ttext=to", "\n"), ("whole", "line\n", ""), ("empty", "", "")]
    {
        let path = directory.path().join(name);
        fs::write(&path, before).unwrap();
        let logging = Logging::new();
        logging.configure(&to_file(&path), Colors::Never).unwrap();
        with_default(&logging.dispatch(), || info!("next"));
        assert!(logging.shutdown(WAIT_MAX));
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(&format!("{before}{between}tskv\ttimestamp=")), "{name}: {text:?}");
        assert!(text.ends_with("text=next\n"), "{name}: {text:?}");
    }
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
    const N_ROTATIONS: usize = 5;
    const N_LINES_BETWEEN: usize = 200;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("service.log");
    let logging = Logging::new();
    let mut config = to_file(&path);
    config.loggers.get_mut("default").unwrap().overflow_behavior = OverflowBehavior::Block;
    logging.configure(&config, Colors::Never).unwrap();
    // The lines go on until the last rotation is over, and each rotation waits for lines since the one before.
    let (n_logged, rotated) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|threads| {
        threads.spawn(|| {
            with_default(&logging.dispatch(), || {
                while !rotated.load(SeqCst) {
                    let n = n_logged.load(SeqCst);
                    info!(n, "line");
                    n_logged.store(n + 1, SeqCst);
                }
            });
        });
        for idx in 0..N_ROTATIONS {
            let deadline = Instant::now() + WAIT_MAX;
            let wanted = n_logged.load(SeqCst) + N_LINES_BETWEEN;
            while n_logged.load(SeqCst) < wanted {
                assert!(Instant::now() < deadline, "the lines do not come");
                thread::yield_now();
            }
            assert!(logging.flush(WAIT_MAX));
            fs::rename(&path, directory.path().join(format!("{idx}.log"))).unwrap();
            logging.reopen().unwrap();
        }
        rotated.store(true, SeqCst);
    });
    with_default(&logging.dispatch(), || info!(n = n_logged.load(SeqCst), "line"));
    assert!(logging.shutdown(WAIT_MAX));
    let files = (0..N_ROTATIONS).map(|idx| directory.path().join(format!("{idx}.log"))).chain([path]);
    let texts: Vec<_> = files.map(|path| fs::read_to_string(path).unwrap()).collect();
    assert!(texts.iter().all(|text| !text.is_empty()), "every rotation was in the midst of lines");
    let number =
        |line: &str| line.split('\t').find_map(|pair| pair.strip_prefix("n=")).unwrap().parse().unwrap();
    let numbers: Vec<usize> = texts.iter().flat_map(|text| text.lines()).map(number).collect();
    assert_eq!(numbers, (0..=n_logged.load(SeqCst)).collect::<Vec<_>>(), "all lines, in order");
    let stats = &logging.stats()[0];
    assert_eq!((stats.reopens, stats.reopen_failed), (N_ROTATIONS as u64, false));
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

/// Runs as a process of its own, because standard error is one per process; see the test below.
#[test]
fn fallback_in_a_process_of_its_own() {
    if std::env::var_os(FALLBACK_CHILD).is_none() {
        return;
    }
    let logging = Logging::with_clock(fixed_clock);
    with_default(&logging.dispatch(), || error!("Start-up failed, says a test"));
    logging.configure_fallback();
    assert_eq!((logging.loggers(), texts(&logging).len()), (vec!["default".to_owned()], 1));
    assert_eq!((logging.stats()[0].queue_messages, logging.stats()[0].write_errors), (0, 0));
}

const FALLBACK_CHILD: &str = "MAINSPRING_TEST_FALLBACK";

#[test]
fn the_fallback_writes_what_was_kept_to_standard_error() {
    let ended = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::sinks::fallback_in_a_process_of_its_own", "--test-threads=1"])
        .env(FALLBACK_CHILD, "1")
        .output()
        .unwrap();
    let stderr = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success(), "{stderr}");
    assert_eq!(
        stderr,
        "2026-11-24T03:31:00.123456Z ERROR   Start-up failed, says a test (mainspring_logging::tests::sinks)\n"
    );
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
