//! Durations and sizes.

use expect_test::{Expect, expect};

use crate::{ByteSize, HumanDuration};

#[track_caller]
fn check_durations(texts: &[&str], expect: Expect) {
    let shown = texts.iter().map(|text| match text.parse::<HumanDuration>() {
        Ok(duration) => format!("{text:?} = {}ms = {duration}\n", duration.as_millis()),
        Err(error) => format!("{error}\n"),
    });
    expect.assert_eq(&shown.collect::<String>());
}

#[track_caller]
fn check_sizes(texts: &[&str], expect: Expect) {
    let shown = texts.iter().map(|text| match text.parse::<ByteSize>() {
        Ok(size) => format!("{text:?} = {} = {size}\n", size.as_u64()),
        Err(error) => format!("{error}\n"),
    });
    expect.assert_eq(&shown.collect::<String>());
}

#[test]
fn durations_are_integers_with_a_unit() {
    check_durations(
        &["250ms", "10s", "90", "0", "0ms", "5m", "120m", "48h", "1d", "1001ms"],
        expect![[r#"
            "250ms" = 250ms = 250ms
            "10s" = 10000ms = 10s
            "90" = 90000ms = 90s
            "0" = 0ms = 0s
            "0ms" = 0ms = 0s
            "5m" = 300000ms = 5m
            "120m" = 7200000ms = 2h
            "48h" = 172800000ms = 2d
            "1d" = 86400000ms = 1d
            "1001ms" = 1001ms = 1001ms
        "#]],
    );
}

#[test]
fn other_durations_are_refused() {
    check_durations(
        &[
            "",
            "s",
            "-1s",
            "+1s",
            "1.5s",
            "5us",
            "5 s",
            "5S",
            "18446744073709551615ms",
            "18446744073709551616ms",
            "18446744073709552s",
        ],
        expect![[r#"
            expected a duration such as `250ms`, found ``
            expected a duration such as `250ms`, found `s`
            expected a duration such as `250ms`, found `-1s`
            expected a duration such as `250ms`, found `+1s`
            expected a duration such as `250ms`, found `1.5s`
            expected a duration such as `250ms`, found `5us`
            expected a duration such as `250ms`, found `5 s`
            expected a duration such as `250ms`, found `5S`
            "18446744073709551615ms" = 18446744073709551615ms = 18446744073709551615ms
            expected a duration such as `250ms`, found `18446744073709551616ms`
            expected a duration such as `250ms`, found `18446744073709552s`
        "#]],
    );
}

#[test]
fn durations_finer_than_a_millisecond_round_up() {
    let duration = HumanDuration::from(std::time::Duration::from_nanos(1));
    assert_eq!(duration, HumanDuration::from_millis(1));
    assert_eq!(HumanDuration::from(std::time::Duration::ZERO), HumanDuration::from_millis(0));
}

#[test]
fn sizes_are_integers_with_a_unit() {
    check_sizes(
        &["0", "65536", "64KiB", "1MiB", "2GiB", "3kB", "3MB", "1GB", "100B"],
        expect![[r#"
            "0" = 0 = 0
            "65536" = 65536 = 64KiB
            "64KiB" = 65536 = 64KiB
            "1MiB" = 1048576 = 1MiB
            "2GiB" = 2147483648 = 2GiB
            "3kB" = 3000 = 3000
            "3MB" = 3000000 = 3000000
            "1GB" = 1000000000 = 1000000000
            "100B" = 100 = 100
        "#]],
    );
}

#[test]
fn other_sizes_are_refused() {
    check_sizes(
        &["", "KiB", "-1", "1.5MiB", "1kb", "1K", "17179869184GiB", "17179869183GiB"],
        expect![[r#"
            expected a size such as `64KiB`, found ``
            expected a size such as `64KiB`, found `KiB`
            expected a size such as `64KiB`, found `-1`
            expected a size such as `64KiB`, found `1.5MiB`
            expected a size such as `64KiB`, found `1kb`
            expected a size such as `64KiB`, found `1K`
            expected a size such as `64KiB`, found `17179869184GiB`
            "17179869183GiB" = 18446744072635809792 = 17179869183GiB
        "#]],
    );
}

#[test]
fn ranges_include_both_ends() {
    let second = HumanDuration::from_secs(1);
    let minute = HumanDuration::from_secs(60);
    assert_eq!(second.check_range("wait", second..=minute), None);
    assert_eq!(minute.check_range("wait", second..=minute), None);
    let violation = HumanDuration::from_millis(999).check_range("wait", second..=minute).expect("too short");
    assert_eq!(violation.path, "wait");
    assert_eq!(violation.message, "expected a duration from `1s` to `1m`, found `999ms`");
    let violation =
        ByteSize::new(1025).check_range("size", ByteSize::new(1)..=ByteSize::new(1024)).expect("too large");
    assert_eq!(violation.message, "expected a size from `1` to `1KiB`, found `1025`");
}

#[test]
fn units_survive_a_round_trip_through_json() {
    let duration: HumanDuration = serde_json::from_str("5").expect("bare seconds");
    assert_eq!(serde_json::to_string(&duration).expect("serializes"), r#""5s""#);
    let size: ByteSize = serde_json::from_str(r#""4KiB""#).expect("a size");
    assert_eq!(serde_json::to_string(&size).expect("serializes"), r#""4KiB""#);
    let error = serde_json::from_str::<HumanDuration>("-5").expect_err("negative");
    expect!["expected a duration such as `250ms`, found `-5` at line 1 column 2"]
        .assert_eq(&error.to_string());
}
