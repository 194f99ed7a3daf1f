//! Facts about lines, with the clock standing still.

use super::*;

/// One record of each kind of value, in the given style. The line number is left out of the expectation.
#[track_caller]
fn check(style: Style, log: impl FnOnce(), expected: Expect) {
    let page = Page::default();
    let logging = logging_on(&[("default", TO_PAGE, style, &page)]);
    with_default(&logging.dispatch(), log);
    assert!(logging.flush(WAIT_MAX));
    let text = page.text();
    // Line numbers change with every edit of this file.
    let without_line = match text.split_once("formats.rs:") {
        Some((before, after)) => {
            format!("{before}formats.rs:N{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
        }
        None => text.clone(),
    };
    expected.assert_eq(&without_line);
    assert_eq!(text.lines().count(), 1, "a record is one line");
}

fn log_values() {
    info_span!("load", component = "orders").in_scope(|| {
        let error = io::Error::other("broken");
        let error: &(dyn std::error::Error + 'static) = &error;
        warn!(offset = 42, delta = -1, ratio = 0.5, ok = true, topic = %"a b", list = ?[1, 2], error, "Loaded");
    });
}

fn log_awkward() {
    info!(
        path = "C:\\x=y",
        "http.Method" = "G\tE\rT\n\0",
        level = "mine",
        r#type = "\u{1b}[31m",
        "a=b\"{{\n"
    );
}

#[test]
fn tskv_has_time_in_utc_level_module_fields_and_text() {
    check(
        Style::Tskv,
        log_values,
        expect![[
            "tskv\ttimestamp=2026-11-24T03:31:00.123456Z\tlevel=WARNING\tmodule=mainspring_logging::tests::formats ( framework/logging/src/tests/formats.rs:N )\tcomponent=orders\toffset=42\tdelta=-1\tratio=0.5\tok=true\ttopic=a b\tlist=[1, 2]\terror=broken\ttext=Loaded\n"
        ]],
    );
}

#[test]
fn tskv_escapes_what_would_end_a_value() {
    check(
        Style::Tskv,
        log_awkward,
        expect![[
            "tskv\ttimestamp=2026-11-24T03:31:00.123456Z\tlevel=INFO\tmodule=mainspring_logging::tests::formats ( framework/logging/src/tests/formats.rs:N )\tpath=C:\\\\x=y\thttp_method=G\\tE\\rT\\n\\0\tlevel_=mine\ttype=\u{1b}[31m\ttext=a=b\"{\\n\n"
        ]],
    );
}

#[test]
fn json_keeps_numbers_and_booleans() {
    check(
        Style::Json,
        log_values,
        expect![[r#"
            {"timestamp":"2026-11-24T03:31:00.123456Z","level":"WARNING","module":"mainspring_logging::tests::formats ( framework/logging/src/tests/formats.rs:N )","component":"orders","offset":42,"delta":-1,"ratio":0.5,"ok":true,"topic":"a b","list":"[1, 2]","error":"broken","text":"Loaded"}
        "#]],
    );
}

#[test]
fn json_parses_whatever_was_logged() {
    let page = Page::default();
    let logging = logging_on(&[("default", TO_PAGE, Style::Json, &page)]);
    with_default(&logging.dispatch(), || {
        log_awkward();
        info!(nan = f64::NAN, big = u64::MAX, huge = u128::MAX, "\u{1F980} \u{0} \u{7f} \r");
    });
    assert!(logging.flush(WAIT_MAX));
    let lines: Vec<serde_json::Value> =
        page.text().lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert_eq!(lines[0]["text"], "a=b\"{\n");
    assert_eq!(lines[0]["level"], "INFO");
    assert_eq!(lines[1]["nan"], serde_json::Value::Null);
    assert_eq!(lines[1]["big"], u64::MAX);
    assert_eq!(lines[1]["text"], "\u{1F980} \u{0} \u{7f} \r");
}

#[test]
fn pretty_shows_the_component_first_and_quotes_what_has_blanks() {
    check(
        Style::Pretty,
        log_values,
        expect![[r#"
            2026-11-24T03:31:00.123456Z WARNING orders: Loaded offset=42 delta=-1 ratio=0.5 ok=true topic="a b" list="[1, 2]" error=broken (mainspring_logging::tests::formats)
        "#]],
    );
}

#[test]
fn pretty_lets_no_record_command_the_terminal() {
    check(
        Style::Pretty,
        log_awkward,
        expect![[r#"
            2026-11-24T03:31:00.123456Z INFO    a=b"{\n path="C:\\x=y" http_method=G\tE\rT\n\0 level_=mine type=\u{1b}[31m (mainspring_logging::tests::formats)
        "#]],
    );
}

#[test]
fn colours_are_only_in_the_coloured_style() {
    check(
        Style::PrettyColored,
        || error!("Failed"),
        expect![[
            "\u{1b}[2m2026-11-24T03:31:00.123456Z\u{1b}[0m \u{1b}[31mERROR  \u{1b}[0m Failed \u{1b}[2m(mainspring_logging::tests::formats)\u{1b}[0m\n"
        ]],
    );
    assert_eq!(Style::of(Format::Json, true), Style::Json);
    assert_eq!(Style::of(Format::Pretty, true), Style::PrettyColored);
    assert_eq!(Style::of(Format::Pretty, false), Style::Pretty);
}

#[test]
fn long_texts_are_cut_and_say_so() {
    let page = Page::default();
    let logging = logging_on(&[("default", TO_PAGE, Style::Json, &page)]);
    with_default(&logging.dispatch(), || {
        info!(field = "é".repeat(10_000), "{}", "é".repeat(10_001));
    });
    let cut = format!("{}... (cut, 10001 characters)", "é".repeat(10_000));
    assert_eq!(texts(&logging), [cut]);
    assert!(logging.flush(WAIT_MAX));
    let line: serde_json::Value = serde_json::from_str(&page.text()).unwrap();
    assert_eq!(line["field"], "é".repeat(10_000));
}

#[test]
fn an_error_is_logged_with_its_causes() {
    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);
    let page = Page::default();
    let logging = logging_on(&[("default", TO_PAGE, Style::Tskv, &page)]);
    with_default(&logging.dispatch(), || {
        let outer = Outer(io::Error::other("inner"));
        error!(error = &outer as &(dyn std::error::Error + 'static), "Failed");
    });
    assert!(logging.flush(WAIT_MAX));
    assert!(page.text().contains("\terror=outer: inner\t"), "{}", page.text());
}

#[test]
fn a_field_never_takes_the_key_of_what_formats_write_themselves_whatever_its_spelling() {
    let page = Page::default();
    let logging = logging_on(&[("default", TO_PAGE, Style::Json, &page)]);
    with_default(&logging.dispatch(), || info!(Level = 1, TIMESTAMP = 2, r#text = 3, "Text.Of" = 4, "whole"));
    assert!(logging.flush(WAIT_MAX));
    let line: serde_json::Value = serde_json::from_str(&page.text()).unwrap();
    let of_fields = ["level_", "timestamp_", "text_", "text_of"].map(|key| line[key].as_u64());
    assert_eq!(of_fields, [Some(1), Some(2), Some(3), Some(4)], "{line}");
    assert_eq!((&line["level"], &line["text"]), (&"INFO".into(), &"whole".into()));
}

#[test]
fn level_names_ignore_case_and_come_back() {
    for level in Level::ALL {
        assert_eq!(level.as_str().to_uppercase().parse(), Ok(level));
    }
    assert_eq!("Warn".parse(), Ok(Level::Warning));
    assert!("".parse::<Level>().is_err());
}
