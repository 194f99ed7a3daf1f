//! Facts about logging: what a line looks like, where it goes, and that none is lost unseen.

mod formats;
mod local_levels;
mod sinks;

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use expect_test::{Expect, expect};
use tracing::dispatcher::with_default;
use tracing::{debug, error, info, info_span, trace, warn};

use crate::format::Style;
use crate::logger::Logger;
use crate::sink::Sink;
use crate::*;

const WAIT_MAX: Duration = Duration::from_secs(30);

/// 2026-11-24T03:31:00.123456Z.
fn fixed_clock() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_491_060_123_456)
}

/// What loggers wrote; writing can be held up.
#[derive(Clone, Default)]
struct Page(Arc<(Mutex<PageState>, Condvar)>);

#[derive(Default)]
struct PageState {
    text: String,
    held: bool,
    /// A writer is waiting for the hold to end.
    writer_waits: bool,
    failing: bool,
    /// What the next writes do instead of succeeding.
    next: VecDeque<Next>,
}

enum Next {
    Fail(io::ErrorKind),
    Take(usize),
}

impl Page {
    fn text(&self) -> String {
        self.0.0.lock().unwrap().text.clone()
    }

    fn set(&self, change: impl FnOnce(&mut PageState)) {
        change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }

    fn wait_for_writer(&self) {
        let state = self.0.0.lock().unwrap();
        let waits = |state: &mut PageState| !state.writer_waits;
        let waited = self.0.1.wait_timeout_while(state, WAIT_MAX, waits).unwrap();
        assert!(!waited.1.timed_out(), "the writer did not come");
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.0.lock().unwrap();
        state.writer_waits = state.held;
        self.0.1.notify_all();
        let mut state = self.0.1.wait_while(state, |state| state.held).unwrap();
        state.writer_waits = false;
        if state.failing {
            return Err(io::Error::other("disk full"));
        }
        let bytes = match state.next.pop_front() {
            None => bytes,
            Some(Next::Fail(kind)) => return Err(kind.into()),
            Some(Next::Take(n)) => &bytes[..n],
        };
        state.text.push_str(std::str::from_utf8(bytes).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn config(json: &str) -> LoggerConfig {
    serde_json::from_str(json).unwrap()
}

/// Logging with these loggers, each on the page beside it.
fn logging_on(loggers: &[(&str, &str, Style, &Page)]) -> Logging {
    let logging = Logging::with_clock(fixed_clock);
    install_on(&logging, loggers).unwrap();
    logging
}

fn install_on(logging: &Logging, loggers: &[(&str, &str, Style, &Page)]) -> Result<(), LoggingError> {
    let open = |(name, json, style, page): &(&str, &str, Style, &Page)| {
        let sink = Sink::new(Page::clone(page));
        let logger = Logger::with_sink(name, &config(json), Some(sink), None, *style).unwrap();
        ((*name).to_owned(), Arc::new(logger))
    };
    logging.install(loggers.iter().map(open).collect::<BTreeMap<_, _>>())
}

const TO_PAGE: &str = r#"{"file_path": "@stderr", "level": "info"}"#;

fn texts(logging: &Logging) -> Vec<String> {
    logging.recent(&RecentFilter::default()).iter().map(|record| record.text().to_owned()).collect()
}

fn count(counts: &[(Level, u64)], level: Level) -> u64 {
    counts.iter().find(|(known, _)| *known == level).map_or(0, |(_, n)| *n)
}

#[track_caller]
fn check_config(json: &str, expected: Expect) {
    let parsed = serde_json::from_str::<LoggersConfig>(json);
    let shown = parsed.map_or_else(|error| error.to_string(), |config| format!("{config:?}"));
    // The place in this JSON means nothing to a user of YAML.
    expected.assert_eq(shown.split(" at line ").next().unwrap());
}

#[test]
fn configuration_has_userver_s_defaults() {
    check_config(
        r#"{"fs-task-processor": "fs-task-processor", "loggers": {"default": {"file_path": "/var/log/a.log"}}}"#,
        expect![[
            r#"LoggersConfig { fs_task_processor: Some("fs-task-processor"), loggers: {"default": LoggerConfig { file_path: File("/var/log/a.log"), level: Info, format: Tskv, flush_level: Warning, message_queue_size: 65536, overflow_behavior: Discard, fs_task_processor: None }} }"#
        ]],
    );
    check_config(
        r#"{"loggers": {"default": {"file_path": "@null", "level": "WARN", "format": "json", "flush_level": "None",
            "message_queue_size": 1, "overflow_behavior": "block"}}}"#,
        expect![[
            r#"LoggersConfig { fs_task_processor: None, loggers: {"default": LoggerConfig { file_path: Null, level: Warning, format: Json, flush_level: None, message_queue_size: 1, overflow_behavior: Block, fs_task_processor: None }} }"#
        ]],
    );
}

#[test]
fn configuration_that_cannot_work_is_refused() {
    let with =
        |key_value: &str| format!(r#"{{"loggers": {{"default": {{"file_path": "@null"{key_value}}}}}}}"#);
    check_config(
        r#"{"loggers": {"access": {"file_path": "@null"}}}"#,
        expect!["logger `default` is missing; it gets every record that no other logger is named after"],
    );
    check_config(
        r#"{"loggers": {"default": {"file_path": "@stdin"}}}"#,
        expect!["expected a path, `@stdout`, `@stderr` or `@null`, found `@stdin`"],
    );
    check_config(
        &with(r#", "level": "loud""#),
        expect![
            "unknown level `loud`; expected `trace`, `debug`, `info`, `warning`, `error`, `critical` or `none`"
        ],
    );
    check_config(
        &with(r#", "format": "ltsv""#),
        expect!["unknown variant `ltsv`, expected one of `tskv`, `json`, `pretty`"],
    );
    check_config(
        &with(r#", "message_queue_size": 0"#),
        expect!["invalid value: integer `0`, expected a nonzero u32"],
    );
    check_config(
        &with(r#", "colour": 1"#),
        expect![
            "unknown field `colour`, expected one of `file_path`, `level`, `format`, `flush_level`, `message_queue_size`, `overflow_behavior`, `fs-task-processor`"
        ],
    );
}

#[test]
fn the_schema_names_all_keys() {
    let schema = serde_json::to_value(schemars::schema_for!(LoggersConfig)).unwrap();
    let logger = &schema["$defs"]["LoggerConfig"];
    assert_eq!(schema["required"], serde_json::json!(["loggers"]));
    assert_eq!(logger["required"], serde_json::json!(["file_path"]));
    assert_eq!(logger["properties"]["message_queue_size"]["default"], 65536);
    assert_eq!(logger["properties"]["message_queue_size"]["minimum"], 1);
    assert_eq!(logger["properties"]["level"]["default"], "info");
    assert_eq!(logger["properties"]["level"]["enum"][6], "none");
}

#[test]
fn records_made_before_configuration_are_written_first_and_in_order() {
    let (page, audit) = (Page::default(), Page::default());
    let logging = Logging::with_clock(fixed_clock);
    with_default(&logging.dispatch(), || {
        info!("one");
        debug!("two, below the level");
        info!(target: "audit", "three");
        warn!("four");
    });
    let loggers = [("default", TO_PAGE, Style::Pretty, &page), ("audit", TO_PAGE, Style::Pretty, &audit)];
    install_on(&logging, &loggers).unwrap();
    with_default(&logging.dispatch(), || info!("five"));
    assert!(logging.flush(WAIT_MAX));
    let words = |page: &Page| {
        page.text().lines().map(|line| line.split_whitespace().nth(2).unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(words(&page), ["one", "four", "five"]);
    assert_eq!(words(&audit), ["three"]);
    assert_eq!(texts(&logging), ["one", "three", "four", "five"]);
    assert!(matches!(install_on(&logging, &loggers), Err(LoggingError::AlreadyConfigured)));
}

#[test]
fn records_kept_beyond_the_bound_are_counted_as_dropped() {
    let page = Page::default();
    let logging = Logging::with_clock(fixed_clock);
    with_default(&logging.dispatch(), || (0..4096 + 3).for_each(|n| info!(n, "kept")));
    // The bound of the queue does not apply to what was kept.
    let small = r#"{"file_path": "@stderr", "message_queue_size": 1}"#;
    install_on(&logging, &[("default", small, Style::Json, &page)]).unwrap();
    assert!(logging.flush(WAIT_MAX));
    assert_eq!(page.text().lines().count(), 4096);
    let stats = &logging.stats()[0];
    assert_eq!((count(&stats.messages, Level::Info), count(&stats.dropped, Level::Info)), (4099, 3));
}

#[test]
fn kept_records_are_bounded_by_bytes_too() {
    let page = Page::default();
    let logging = Logging::with_clock(fixed_clock);
    let long = "x".repeat(10_000);
    with_default(&logging.dispatch(), || (0..3000).for_each(|_| info!("{long}")));
    install_on(&logging, &[("default", TO_PAGE, Style::Json, &page)]).unwrap();
    assert!(logging.flush(WAIT_MAX));
    let n_kept = page.text().lines().count();
    assert!((1500..=1677).contains(&n_kept), "{n_kept} records of 10 kB within 16 MiB");
    let stats = &logging.stats()[0];
    assert_eq!(count(&stats.dropped, Level::Info), 3000 - n_kept as u64);
}

#[test]
fn levels_change_while_the_service_runs() {
    let page = Page::default();
    let logging = logging_on(&[("default", TO_PAGE, Style::Pretty, &page)]);
    let log_all = || {
        with_default(&logging.dispatch(), || {
            trace!("trace");
            debug!("debug");
            info!("info");
            warn!("warning");
            error!("error");
        });
        let texts = texts(&logging);
        texts.into_iter().rev().take_while(|text| text != "mark").collect::<Vec<_>>()
    };
    let mark = || {
        logging.set_level("default", Some(Level::Trace)).unwrap();
        with_default(&logging.dispatch(), || info!("mark"));
    };
    for (level, expected) in [
        (Some(Level::Trace), vec!["error", "warning", "info", "debug", "trace"]),
        (Some(Level::Debug), vec!["error", "warning", "info", "debug"]),
        (None, vec!["error", "warning", "info"]),
        (Some(Level::Warning), vec!["error", "warning"]),
        (Some(Level::Error), vec!["error"]),
        (Some(Level::Critical), vec![]),
        (Some(Level::None), vec![]),
    ] {
        mark();
        logging.set_level("default", level).unwrap();
        assert_eq!(log_all(), expected, "at {level:?}");
        let current = level.unwrap_or(Level::Info);
        assert_eq!(logging.level("default"), Some(LoggerLevels { init: Level::Info, current }));
    }
    assert_eq!(logging.level("audit"), None);
    let error = logging.set_level("audit", None).unwrap_err();
    expect!["no logger `audit`; configured: `default`"].assert_eq(&error.to_string());
}

#[test]
fn a_logger_named_like_the_target_has_its_own_level_and_sink() {
    let (page, access) = (Page::default(), Page::default());
    let quiet = r#"{"file_path": "@stderr", "level": "error"}"#;
    let logging =
        logging_on(&[("access", TO_PAGE, Style::Pretty, &access), ("default", quiet, Style::Pretty, &page)]);
    with_default(&logging.dispatch(), || {
        info!(target: "access", "GET /ping");
        info!("not wanted");
        error!("wanted");
    });
    assert!(logging.shutdown(WAIT_MAX));
    assert!(access.text().contains("GET /ping") && !access.text().contains("wanted"));
    assert!(page.text().contains("wanted") && !page.text().contains("GET /ping"));
    assert_eq!(logging.loggers(), ["access", "default"]);
}

#[test]
fn span_fields_are_on_every_line_even_when_the_level_hides_info() {
    let page = Page::default();
    let logging = logging_on(&[("default", TO_PAGE, Style::Tskv, &page)]);
    logging.set_level("default", Some(Level::Error)).unwrap();
    with_default(&logging.dispatch(), || {
        let outer = info_span!("component", component = "orders", topic = "a", late = tracing::field::Empty);
        outer.in_scope(|| {
            outer.record("late", 7);
            info_span!("inner", topic = "b").in_scope(|| error!(partition = 3, "Inner"));
            error!(component = "mine", "Outer");
        });
        error!("Outside");
    });
    assert!(logging.flush(WAIT_MAX));
    let tails: Vec<_> =
        page.text().lines().map(|line| line.split('\t').skip(4).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        tails,
        [
            "component=orders topic=b late=7 partition=3 text=Inner",
            "component=mine topic=a late=7 text=Outer",
            "text=Outside"
        ]
    );
}

#[test]
fn two_services_in_one_process_do_not_mix() {
    let (left_page, right_page) = (Page::default(), Page::default());
    let left = logging_on(&[("default", TO_PAGE, Style::Tskv, &left_page)]);
    let right = logging_on(&[("default", TO_PAGE, Style::Tskv, &right_page)]);
    right.set_level("default", Some(Level::Debug)).unwrap();
    thread::scope(|threads| {
        for (logging, name) in [(&left, "left"), (&right, "right")] {
            threads.spawn(move || {
                with_default(&logging.dispatch(), || {
                    let span = info_span!("service", component = name);
                    span.in_scope(|| {
                        (0..100).for_each(|_| {
                            info!("at info");
                            debug!("at debug");
                        });
                    });
                });
            });
        }
    });
    assert!(left.shutdown(WAIT_MAX) && right.shutdown(WAIT_MAX));
    let lines = |page: &Page, with: &str| page.text().lines().filter(|line| line.contains(with)).count();
    assert_eq!((lines(&left_page, "component=left"), lines(&left_page, "tskv")), (100, 100));
    assert_eq!((lines(&right_page, "component=right"), lines(&right_page, "tskv")), (200, 200));
}

#[test]
fn recent_records_are_found_by_level_component_text_and_number() {
    let logging = logging_on(&[("default", TO_PAGE, Style::Tskv, &Page::default())]);
    with_default(&logging.dispatch(), || {
        info_span!("a", component = "orders").in_scope(|| {
            info!("Loaded one");
            warn!(n = 2, "Loaded two");
        });
        error!("Failed three");
    });
    let found = |filter: RecentFilter| {
        let records = logging.recent(&filter);
        records.iter().map(|record| record.text().to_owned()).collect::<Vec<_>>()
    };
    let all = RecentFilter::default;
    assert_eq!(
        found(RecentFilter { min_level: Some(Level::Warning), ..all() }),
        ["Loaded two", "Failed three"]
    );
    assert_eq!(
        found(RecentFilter { component: Some("orders".into()), ..all() }),
        ["Loaded one", "Loaded two"]
    );
    assert_eq!(found(RecentFilter { text: Some("three".into()), ..all() }), ["Failed three"]);
    assert_eq!(found(RecentFilter { limit: Some(2), ..all() }), ["Loaded two", "Failed three"]);
    let warning = &logging.recent(&RecentFilter { min_level: Some(Level::Warning), ..all() })[0];
    assert_eq!((warning.component(), warning.level()), (Some("orders"), Level::Warning));
    assert_eq!((warning.target(), warning.time()), ("mainspring_logging::tests", fixed_clock()));
    assert_eq!(serde_json::to_value(warning).unwrap()["n"], 2);
}

#[test]
fn recent_records_are_bounded_by_number_and_by_bytes() {
    let logging = logging_on(&[("default", r#"{"file_path": "@null"}"#, Style::Tskv, &Page::default())]);
    with_default(&logging.dispatch(), || (0..1001).for_each(|n| info!("{n}")));
    let recent = texts(&logging);
    assert_eq!((recent.len(), recent[0].as_str()), (1000, "1"));
    let long = "x".repeat(9_000);
    with_default(&logging.dispatch(), || (0..200).for_each(|_| info!("{long}")));
    let n_recent = texts(&logging).len();
    assert!((100..=116).contains(&n_recent), "{n_recent} records of 9 kB within 1 MiB");
}

#[test]
fn handles_cross_threads() {
    fn crosses<T: Send + Sync + Clone>() {}
    crosses::<Logging>();
}
