//! Facts about the metrics crate: what two expositions of one snapshot look like, and who gets into it.

mod parser;

use std::sync::Arc;
use std::thread;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use self::parser::{parse_openmetrics, parse_text};
use crate::*;

static SENT: Family = Family::counter("shop_sent_messages", "Messages sent.");
static BUSY: Family = Family::counter("shop_busy_seconds", "Time spent busy.");
static QUEUE: Family = Family::gauge("shop_queue_messages", "Messages waiting.");
static WAIT: Family = Family::histogram("shop_wait_seconds", &[0.1, 1.0, 2.5], "Time spent waiting.");
static RTT: Family = Family::summary("shop_rtt_seconds", "Round trips to a broker.");
static CLIENT: Family = Family::info("shop_client", "The client, \"as is\".\nSecond line, C:\\path.");
static STATE: Family = Family::state_set("shop_state", "What the shop does.");

#[track_caller]
fn check(write: impl FnOnce(&mut Snapshot), openmetrics_text: Expect, text: Expect) {
    let mut snapshot = Snapshot::default();
    write(&mut snapshot);
    openmetrics_text.assert_eq(&openmetrics(&snapshot));
    parse_openmetrics(&openmetrics(&snapshot)).expect("the exposition keeps the rules");
    text.assert_eq(&prometheus_text(&snapshot));
    parse_text(&prometheus_text(&snapshot)).expect("the older exposition keeps its rules");
}

fn rejections(snapshot: &Snapshot) -> Vec<(Rejection, Vec<&'static str>)> {
    snapshot.rejected().map(|(reason, names)| (reason, names.to_vec())).collect()
}

#[test]
fn a_snapshot_without_samples_is_only_the_end_mark() {
    check(|_| {}, expect![["# EOF\n"]], expect![[""]]);
}

#[test]
fn counters_carry_total_on_samples_and_on_the_family_only_in_the_old_format() {
    check(
        |snapshot| {
            snapshot.counter(&SENT, &[("topic", "orders")], u64::MAX);
            snapshot.counter_f64(&BUSY, &[], 1.5);
        },
        expect![[r#"
            # TYPE shop_busy_seconds counter
            # UNIT shop_busy_seconds seconds
            # HELP shop_busy_seconds Time spent busy.
            shop_busy_seconds_total 1.5
            # TYPE shop_sent_messages counter
            # HELP shop_sent_messages Messages sent.
            shop_sent_messages_total{topic="orders"} 18446744073709551615
            # EOF
        "#]],
        expect![[r#"
            # HELP shop_busy_seconds_total Time spent busy.
            # TYPE shop_busy_seconds_total counter
            shop_busy_seconds_total 1.5
            # HELP shop_sent_messages_total Messages sent.
            # TYPE shop_sent_messages_total counter
            shop_sent_messages_total{topic="orders"} 18446744073709551615
        "#]],
    );
}

#[test]
fn gauges_write_numbers_that_are_not_numbers_as_the_formats_spell_them() {
    check(
        |snapshot| {
            snapshot.gauge(&QUEUE, &[("n", "1")], -3.0);
            snapshot.gauge(&QUEUE, &[("n", "2")], f64::INFINITY);
            snapshot.gauge(&QUEUE, &[("n", "3")], f64::NEG_INFINITY);
            snapshot.gauge(&QUEUE, &[("n", "4")], f64::NAN);
        },
        expect![[r#"
            # TYPE shop_queue_messages gauge
            # HELP shop_queue_messages Messages waiting.
            shop_queue_messages{n="1"} -3
            shop_queue_messages{n="2"} +Inf
            shop_queue_messages{n="3"} -Inf
            shop_queue_messages{n="4"} NaN
            # EOF
        "#]],
        expect![[r#"
            # HELP shop_queue_messages Messages waiting.
            # TYPE shop_queue_messages gauge
            shop_queue_messages{n="1"} -3
            shop_queue_messages{n="2"} +Inf
            shop_queue_messages{n="3"} -Inf
            shop_queue_messages{n="4"} NaN
        "#]],
    );
}

#[test]
fn histograms_are_cumulative_and_count_what_lies_on_a_bound_below_it() {
    check(
        |snapshot| {
            let wait = Histogram::new(&WAIT);
            for seconds in [0.05, 0.1, 1.0, 1.25, 100.0, f64::NAN] {
                wait.observe(seconds);
            }
            snapshot.histogram(&WAIT, &[("topic", "orders")], &wait);
        },
        expect![[r#"
            # TYPE shop_wait_seconds histogram
            # UNIT shop_wait_seconds seconds
            # HELP shop_wait_seconds Time spent waiting.
            shop_wait_seconds_bucket{topic="orders",le="0.1"} 2
            shop_wait_seconds_bucket{topic="orders",le="1.0"} 3
            shop_wait_seconds_bucket{topic="orders",le="2.5"} 4
            shop_wait_seconds_bucket{topic="orders",le="+Inf"} 5
            shop_wait_seconds_sum{topic="orders"} 102.4
            shop_wait_seconds_count{topic="orders"} 5
            # EOF
        "#]],
        expect![[r#"
            # HELP shop_wait_seconds Time spent waiting.
            # TYPE shop_wait_seconds histogram
            shop_wait_seconds_bucket{topic="orders",le="0.1"} 2
            shop_wait_seconds_bucket{topic="orders",le="1"} 3
            shop_wait_seconds_bucket{topic="orders",le="2.5"} 4
            shop_wait_seconds_bucket{topic="orders",le="+Inf"} 5
            shop_wait_seconds_sum{topic="orders"} 102.4
            shop_wait_seconds_count{topic="orders"} 5
        "#]],
    );
}

#[test]
fn infos_and_state_sets_become_gauges_in_the_old_format() {
    check(
        |snapshot| {
            snapshot.info(&CLIENT, &[("role", "a \"b\"\n\\c")]);
            snapshot.state_set(&STATE, &[("shop", "x")], &[("open", true), ("closed", false)]);
            snapshot.summary(&RTT, &[], &[(0.5, 0.25), (1.0, 3.0)], 4.5, 7);
        },
        expect![[r#"
            # TYPE shop_client info
            # HELP shop_client The client, \"as is\".\nSecond line, C:\\path.
            shop_client_info{role="a \"b\"\n\\c"} 1
            # TYPE shop_rtt_seconds summary
            # UNIT shop_rtt_seconds seconds
            # HELP shop_rtt_seconds Round trips to a broker.
            shop_rtt_seconds{quantile="0.5"} 0.25
            shop_rtt_seconds{quantile="1.0"} 3
            shop_rtt_seconds_sum 4.5
            shop_rtt_seconds_count 7
            # TYPE shop_state stateset
            # HELP shop_state What the shop does.
            shop_state{shop="x",shop_state="open"} 1
            shop_state{shop="x",shop_state="closed"} 0
            # EOF
        "#]],
        expect![[r#"
            # HELP shop_client_info The client, "as is".\nSecond line, C:\\path.
            # TYPE shop_client_info gauge
            shop_client_info{role="a \"b\"\n\\c"} 1
            # HELP shop_rtt_seconds Round trips to a broker.
            # TYPE shop_rtt_seconds summary
            shop_rtt_seconds{quantile="0.5"} 0.25
            shop_rtt_seconds{quantile="1"} 3
            shop_rtt_seconds_sum 4.5
            shop_rtt_seconds_count 7
            # HELP shop_state What the shop does.
            # TYPE shop_state gauge
            shop_state{shop="x",shop_state="open"} 1
            shop_state{shop="x",shop_state="closed"} 0
        "#]],
    );
}

#[test]
fn labels_are_sorted_so_that_their_order_in_code_does_not_matter() {
    let mut snapshot = Snapshot::default();
    snapshot.counter(&SENT, &[("topic", "orders"), ("component", "a")], 1);
    snapshot.counter(&SENT, &[("component", "a"), ("topic", "orders")], 2);
    let written = snapshot.get(&SENT, &[("topic", "orders"), ("component", "a")]);
    assert_eq!(written, Some(&Value::Counter(1)), "the first value stays");
    assert_eq!(rejections(&snapshot), [(Rejection::DuplicateSeries, vec!["shop_sent_messages"])]);
}

#[test]
fn a_family_redefined_with_another_kind_or_other_bounds_is_rejected() {
    static SENT_AS_GAUGE: Family = Family::gauge("shop_sent_messages", "Messages sent.");
    static WAIT_COARSE: Family = Family::histogram("shop_wait_seconds", &[1.0], "Time spent waiting.");
    let mut snapshot = Snapshot::default();
    snapshot.counter(&SENT, &[], 1);
    snapshot.gauge(&SENT_AS_GAUGE, &[("a", "b")], 1.0);
    snapshot.histogram(&WAIT, &[], &Histogram::new(&WAIT));
    snapshot.histogram(&WAIT_COARSE, &[("a", "b")], &Histogram::new(&WAIT_COARSE));
    snapshot.gauge(&SENT, &[("a", "b")], 1.0);
    let names = vec!["shop_sent_messages", "shop_wait_seconds", "shop_sent_messages"];
    assert_eq!(rejections(&snapshot), [(Rejection::FamilyConflict, names)]);
}

#[test]
fn labels_that_the_format_could_not_carry_are_rejected() {
    let mut snapshot = Snapshot::default();
    for label in ["", "1a", "a-b", "__name", "ä"] {
        snapshot.counter(&SENT, &[(label, "x")], 1);
    }
    snapshot.counter(&SENT, &[("a", "x"), ("a", "y")], 1);
    snapshot.histogram(&WAIT, &[("le", "x")], &Histogram::new(&WAIT));
    snapshot.summary(&RTT, &[("quantile", "x")], &[], 0.0, 0);
    snapshot.state_set(&STATE, &[("shop_state", "x")], &[]);
    assert_eq!(rejections(&snapshot)[0].1.len(), 9);
    assert_eq!(snapshot.families().count(), 0);
    snapshot.counter(&SENT, &[("le", "fine here"), ("_a1", "")], 1);
    assert_eq!(snapshot.families().count(), 1);
}

struct Panics;

impl Collector for Panics {
    fn collect(&self, snapshot: &mut Snapshot) {
        snapshot.counter(&SENT, &[], 1);
        panic!("a bug in a collector");
    }
}

#[test]
fn a_collector_that_panics_is_counted_in_the_scrape_and_spoils_nothing() {
    let registry = Registry::default();
    let _panics = registry.register(Arc::new(Panics));
    let scope = MetricsScope::new(&registry, "shop");
    scope.gauge(&QUEUE, &[]).set(7);
    let text = openmetrics(&registry.snapshot());
    for line in [
        "shop_sent_messages_total 1\n",
        "shop_queue_messages{component=\"shop\"} 7\n",
        "# TYPE metrics_rejected_samples gauge\n",
        "metrics_rejected_samples{reason=\"collector_panic\"} 1\n",
        "metrics_rejected_samples{reason=\"bad_label\"} 0\n",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[test]
fn components_that_share_a_family_appear_in_one_block_and_disappear_with_their_scope() {
    let registry = Registry::default();
    let first = MetricsScope::new(&registry, "b-first");
    let second = MetricsScope::new(&registry, "a-second");
    first.counter(&SENT, &[("topic", "orders")]).add(2);
    second.counter(&SENT, &[("topic", "orders")]).inc();
    let shop_lines = || {
        let text = openmetrics(&registry.snapshot());
        text.lines().filter(|line| line.starts_with("shop_")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        shop_lines(),
        [
            r#"shop_sent_messages_total{component="a-second",topic="orders"} 1"#,
            r#"shop_sent_messages_total{component="b-first",topic="orders"} 2"#,
        ]
    );
    let handle = second.counter(&SENT, &[]);
    drop(second);
    handle.inc();
    assert_eq!(shop_lines(), [r#"shop_sent_messages_total{component="b-first",topic="orders"} 2"#]);
    drop(first);
    assert_eq!(shop_lines(), Vec::<String>::new());
}

#[test]
fn a_scope_returns_the_same_handle_for_the_same_labels() {
    let registry = Registry::default();
    let scope = MetricsScope::new(&registry, "shop");
    scope.counter(&SENT, &[("topic", "a"), ("result", "ok")]).inc();
    scope.counter(&SENT, &[("result", "ok"), ("topic", "a")]).inc();
    scope.float_counter(&BUSY, &[]).add(0.5);
    scope.float_counter(&BUSY, &[]).add(-1.0);
    scope.float_gauge(&QUEUE, &[]).set(0.25);
    scope.histogram(&WAIT, &[]).observe(0.5);
    scope.histogram(&WAIT, &[]).observe(0.5);
    assert_eq!(scope.counter(&SENT, &[("topic", "a"), ("result", "ok")]).get(), 2);
    let snapshot = registry.snapshot();
    assert_eq!(snapshot.get(&BUSY, &[("component", "shop")]), Some(&Value::FloatCounter(0.5)));
    assert_eq!(snapshot.get(&QUEUE, &[("component", "shop")]), Some(&Value::Gauge(0.25)));
    assert_eq!(scope.histogram(&WAIT, &[]).get().count(), 2);
    assert_eq!(rejections(&snapshot), []);
}

#[test]
fn label_sets_beyond_the_bound_are_counted_together() {
    let registry = Registry::default();
    let scope = MetricsScope::new(&registry, "shop").with_series_max(2);
    for topic in ["a", "b", "c", "d", "a"] {
        scope.counter(&SENT, &[("topic", topic)]).inc();
    }
    let count = |topic| scope.counter(&SENT, &[("topic", topic)]).get();
    assert_eq!((count("a"), count("b"), count("c"), count(LABEL_OTHER)), (2, 1, 2, 2));
    // Another family has a bound of its own.
    assert_eq!(scope.counter(&BUSY, &[("topic", "c")]).get(), 0);
    assert!(registry.snapshot().get(&BUSY, &[("component", "shop"), ("topic", "c")]).is_some());
}

#[test]
fn nothing_is_lost_when_threads_count_at_the_same_time() {
    let registry = Registry::default();
    let scope = MetricsScope::new(&registry, "shop");
    thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                for _ in 0..10_000 {
                    scope.counter(&SENT, &[]).inc();
                    scope.histogram(&WAIT, &[]).observe(0.5);
                }
            });
        }
        for _ in 0..20 {
            parse_openmetrics(&openmetrics(&registry.snapshot()))
                .expect("a scrape under load keeps the rules");
            parse_text(&prometheus_text(&registry.snapshot())).expect("so does an older one");
        }
    });
    assert_eq!(scope.counter(&SENT, &[]).get(), 40_000);
    let wait = scope.histogram(&WAIT, &[]).get();
    assert_eq!((wait.count(), wait.sum), (40_000, 20_000.0));
}

#[track_caller]
fn check_accept(accept: &str, expected: Exposition) {
    assert_eq!(negotiate(Some(accept)), expected, "for `{accept}`");
}

#[test]
fn openmetrics_is_for_those_who_ask_for_it_by_name() {
    let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
        application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
        text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
    check_accept(prometheus_3, Exposition::OpenMetrics);
    check_accept("application/openmetrics-text", Exposition::OpenMetrics);
    check_accept("text/plain, Application/OpenMetrics-Text; Version=\"1.0.0\"", Exposition::OpenMetrics);
    check_accept("application/openmetrics-text;q=0.5,text/plain;q=0.500", Exposition::OpenMetrics);
    check_accept("text/plain;version=1.0.0,application/openmetrics-text;q=0.1", Exposition::OpenMetrics);
    check_accept("application/openmetrics-text;q=0.5,*/*;q=0.5", Exposition::OpenMetrics);
    check_accept("application/openmetrics-text;q=0.5,text/plain;q=0.1,*/*", Exposition::OpenMetrics);
    check_accept("application/openmetrics-text;q=0.5,text/*;q=0.1,*/*", Exposition::OpenMetrics);
    check_accept("application/openmetrics-text;q=0.5,text/plain;q=0,*/*", Exposition::OpenMetrics);

    assert_eq!(negotiate(None), Exposition::Text);
    check_accept("application/openmetrics-text;q=0.5,*/*;q=0.6", Exposition::Text);
    check_accept("application/openmetrics-text;q=0.5,text/*;q=0.6,*/*;q=0.1", Exposition::Text);
    check_accept("application/openmetrics-text;q=0.5,text/plain;version=1.0.0;q=0.1,*/*", Exposition::Text);
    check_accept("", Exposition::Text);
    check_accept("*/*", Exposition::Text);
    check_accept("application/*", Exposition::Text);
    check_accept("text/html,;q", Exposition::Text);
    check_accept("application/openmetrics-text;version=0.0.1", Exposition::Text);
    check_accept("application/openmetrics-text;q=0", Exposition::Text);
    check_accept("application/openmetrics-text;q=2", Exposition::Text);
    check_accept("application/openmetrics-text;q=0.5,text/plain;version=0.0.4;q=0.6", Exposition::Text);
    check_accept("application/openmetrics-text;q=0.5,text/plain", Exposition::Text);
}

#[test]
fn the_process_reports_itself() {
    let registry = Registry::default();
    let _process = registry.register(Arc::new(ProcessCollector::new(BuildInfo::current())));
    let text = openmetrics(&registry.snapshot());
    let samples = parse_openmetrics(&text).expect("the exposition keeps the rules");
    let value = |name: &str| {
        let sample = samples.iter().find(|sample| sample.name == name);
        sample.unwrap_or_else(|| panic!("{name} in {text}")).value.parse::<f64>().unwrap()
    };
    assert!(0.0 <= value("process_cpu_seconds_total"));
    assert!(1e5 < value("process_resident_memory_bytes"));
    assert!(1e9 < value("process_start_time_seconds"));
    assert!(1.0 <= value("process_threads"));
    assert!(3.0 <= value("process_open_fds") && value("process_open_fds") < 1e6);
    assert_eq!((value("mainspring_build_info"), value("target_info")), (1.0, 1.0));
    assert!(text.starts_with("# TYPE target info\n"), "what is scraped comes first");
    let target = samples.iter().find(|sample| sample.name == "target_info").unwrap();
    let label = |name: &str| target.labels.iter().find(|(known, _)| known == name).unwrap().1.as_str();
    assert_eq!(label("process_pid"), std::process::id().to_string());
    assert_eq!((label("telemetry_sdk_name"), label("telemetry_sdk_language")), ("mainspring", "rust"));
    let userver = registry.userver();
    let paths: Vec<_> = userver.metrics().iter().map(|metric| metric.path.as_str()).collect();
    assert_eq!(paths, ["cpu_time_sec", "rss_kb", "major_pagefaults", "open_files"]);
}

#[track_caller]
fn check_refused(parsed: Result<Vec<parser::ParsedSample>, String>, expected: &str) {
    let problem = parsed.expect_err("it breaks a rule");
    assert!(problem.starts_with(expected), "{problem}");
}

#[test]
fn the_parsers_of_these_tests_see_broken_histograms() {
    let histogram = |samples: &str| {
        let lines: String = samples.split(',').map(|sample| format!("wait_{sample}\n")).collect();
        (format!("# TYPE wait histogram\n# HELP wait W.\n{lines}# EOF\n"), lines)
    };
    let right = "bucket{le=\"1.0\"} 1,bucket{le=\"+Inf\"} 2,sum 3,count 2";
    assert!(parse_openmetrics(&histogram(right).0).is_ok());
    assert!(parse_text(&format!("# HELP wait W.\n# TYPE wait histogram\n{}", histogram(right).1)).is_ok());
    for (broken, problem) in [
        ("bucket{le=\"1.0\"} 3,bucket{le=\"+Inf\"} 2,sum 3,count 2", "buckets are not cumulative"),
        (
            "bucket{le=\"1.0\"} 1,bucket{le=\"0.5\"} 1,bucket{le=\"+Inf\"} 2,sum 3,count 2",
            "bounds do not rise",
        ),
        ("bucket{le=\"1.0\"} 1,bucket{le=\"+Inf\"} 2,sum 3,count 3", "`+Inf` is not the count"),
        ("bucket{le=\"1.0\"} 1,sum 3,count 1", "no `+Inf` bucket"),
        ("bucket{le=\"+Inf\"} 1,count 1", "no sum"),
        ("bucket{le=\"+Inf\"} 1,sum 1", "no count"),
        ("bucket 1,sum 1,count 1", "a bucket without `le`"),
    ] {
        let (openmetrics, text) = histogram(broken);
        check_refused(parse_openmetrics(&openmetrics), problem);
        check_refused(parse_text(&format!("# HELP wait W.\n# TYPE wait histogram\n{text}")), problem);
    }
}

#[test]
fn the_parser_of_the_older_format_sees_what_belongs_to_the_newer() {
    for (broken, problem) in [
        ("# HELP a_total A.\n# TYPE a_total counter\na_total 1\n# EOF\n", "a comment has"),
        (
            "# HELP a_bytes A.\n# UNIT a_bytes bytes\n# TYPE a_bytes gauge\na_bytes 1\n",
            "descriptor out of place",
        ),
        ("# TYPE a gauge\n# HELP a A.\na 1\n", "descriptor out of place"),
        ("# HELP a A.\n# TYPE a info\na 1\n", "unknown type"),
        ("# HELP a A.\n# TYPE a counter\na_total 1\n", "sample does not belong"),
        ("# HELP a A.\n# TYPE a gauge\na 1", "no line feed at the end"),
        ("# HELP a A.\n# TYPE a gauge\na 1\n# HELP a A.\n# TYPE a gauge\n", "family appears twice"),
        ("# HELP a \\q\n# TYPE a gauge\na 1\n", "unknown escape"),
    ] {
        check_refused(parse_text(broken), problem);
    }
}

#[test]
fn handles_cross_threads() {
    fn crosses<T: Send + Sync>() {}
    crosses::<(Counter, FloatCounter, Gauge, FloatGauge, Histogram)>();
    crosses::<(Registry, Registration, MetricsScope, Snapshot, UserverView)>();
}

proptest! {
    #[test]
    fn any_label_text_comes_back_out_of_the_exposition(
        values in prop::collection::vec(any::<String>(), 1..4),
        count in any::<u64>(),
    ) {
        const NAMES: [&str; 3] = ["a", "b", "c"];
        let labels: Vec<_> = NAMES.into_iter().zip(values.iter().map(String::as_str)).collect();
        let mut snapshot = Snapshot::default();
        snapshot.counter(&SENT, &labels, count);
        let samples = parse_openmetrics(&openmetrics(&snapshot)).expect("the exposition keeps the rules");
        prop_assert_eq!(samples.len(), 1);
        let parsed: Vec<_> = samples[0].labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        prop_assert_eq!(parsed, labels);
        prop_assert_eq!(&samples[0].value, &count.to_string());
        let older = parse_text(&prometheus_text(&snapshot)).expect("the older exposition keeps its rules");
        prop_assert_eq!(&older[0].labels, &samples[0].labels);
    }
}

#[test]
fn observations_between_two_values_count_when_one_bucket_takes_both() {
    let wait = Histogram::new(&WAIT);
    for (low, high) in [(0.0, 0.1), (0.2, 1.0), (3.0, 9.0), (0.5, 0.5)] {
        assert!(wait.observe_between(low, high, 2), "{low} to {high}");
    }
    for (low, high) in [(0.1, 0.2), (1.0, 1.1), (2.5, 2.6), (0.9, 0.2), (f64::NAN, 1.0), (0.2, f64::NAN)] {
        assert!(!wait.observe_between(low, high, 2), "{low} to {high}");
    }
    let value = wait.get();
    assert_eq!(value.buckets, [2, 4, 0, 2]);
    assert!((value.sum - (0.1 + 1.2 + 12.0 + 1.0)).abs() < 1e-9, "{}", value.sum);
}
