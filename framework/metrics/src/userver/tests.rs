//! Facts about userver's view.

use std::time::{Duration, SystemTime};

use expect_test::{Expect, expect};

use super::*;
use crate::family::Family;

static WAIT: Family = Family::histogram("wait_seconds", &[0.5, 2.0], "Time spent waiting.");

fn view() -> UserverView {
    let mut view = UserverView::default();
    view.rate("kafka_producer.messages_total", &[("topic", "a \"b\"\n\\"), ("component_name", "p")], 3);
    view.gauge("engine.uptime-seconds", &[], 1.5);
    view.rate("kafka_producer.messages_total", &[("topic", "t2")], 4);
    let wait = Histogram::new(&WAIT);
    wait.observe(1.0);
    wait.observe(3.0);
    view.hist_rate("1wait", &[("__x", "y")], &wait);
    view
}

#[track_caller]
fn check(format: &str, expected: Expect) {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let format: Format = format.parse().unwrap();
    expected.assert_eq(&format.encode(&view(), at));
}

#[test]
fn json_lists_values_by_path() {
    check(
        "json",
        expect![[
            r#"{"1wait":[{"labels":{"__x":"y"},"type":"HIST_RATE","value":{"bounds":[0.5,2.0],"buckets":[0,1],"inf":1}}],"engine.uptime-seconds":[{"labels":{},"type":"GAUGE","value":1.5}],"kafka_producer.messages_total":[{"labels":{"component_name":"p","topic":"a \"b\"\n\\"},"type":"RATE","value":3},{"labels":{"topic":"t2"},"type":"RATE","value":4}]}"#
        ]],
    );
}

#[test]
fn common_labels_are_added_where_a_metric_has_none_of_that_name() {
    let common =
        [("topic", "common"), ("dc", "east")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let labelled = view().with_labels(&BTreeMap::from(common));
    let labels: Vec<_> = labelled.metrics().iter().map(|metric| metric.labels.clone()).collect();
    let of = |labels: &[(&str, &str)]| -> Vec<_> {
        labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    assert_eq!(labels[0], of(&[("component_name", "p"), ("dc", "east"), ("topic", "a \"b\"\n\\")]));
    assert_eq!(labels[1], of(&[("dc", "east"), ("topic", "common")]));
}

#[test]
fn solomon_names_the_path_sensor() {
    check(
        "solomon",
        expect![[
            r#"{"metrics":[{"labels":{"component_name":"p","sensor":"kafka_producer.messages_total","topic":"a \"b\"\n\\"},"type":"RATE","value":3},{"labels":{"sensor":"engine.uptime-seconds"},"type":"GAUGE","value":1.5},{"labels":{"sensor":"kafka_producer.messages_total","topic":"t2"},"type":"RATE","value":4},{"hist":{"bounds":[0.5,2.0],"buckets":[0,1],"inf":1},"labels":{"__x":"y","sensor":"1wait"},"type":"HIST_RATE"}]}"#
        ]],
    );
}

#[test]
fn pretty_is_one_line_per_value_whatever_the_labels_hold() {
    check(
        "pretty",
        expect![[r#"
            kafka_producer.messages_total: component_name=p, topic=a "b"\n\\	RATE	3
            engine.uptime-seconds: 	GAUGE	1.5
            kafka_producer.messages_total: topic=t2	RATE	4
            1wait: __x=y	HIST_RATE	[0.5]=0,[2]=1,[inf]=1
        "#]],
    );
}

#[test]
fn prometheus_keeps_a_metric_together_and_escapes_labels() {
    check(
        "prometheus",
        expect![[r#"
            # TYPE kafka_producer_messages_total counter
            kafka_producer_messages_total{component_name="p",topic="a \"b\"\n\\"} 3
            kafka_producer_messages_total{topic="t2"} 4
            # TYPE engine_uptime_seconds gauge
            engine_uptime_seconds{} 1.5
            # TYPE _1wait histogram
            _1wait_bucket{_x="y",le="0.5"} 0
            _1wait_bucket{_x="y",le="2"} 1
            _1wait_bucket{_x="y",le="+Inf"} 2
            _1wait_sum{_x="y"} 4
            _1wait_count{_x="y"} 2
        "#]],
    );
}

#[test]
fn prometheus_untyped_leaves_out_the_type_of_gauges_only() {
    check(
        "prometheus-untyped",
        expect![[r#"
            # TYPE kafka_producer_messages_total counter
            kafka_producer_messages_total{component_name="p",topic="a \"b\"\n\\"} 3
            kafka_producer_messages_total{topic="t2"} 4
            engine_uptime_seconds{} 1.5
            # TYPE _1wait histogram
            _1wait_bucket{_x="y",le="0.5"} 0
            _1wait_bucket{_x="y",le="2"} 1
            _1wait_bucket{_x="y",le="+Inf"} 2
            _1wait_sum{_x="y"} 4
            _1wait_count{_x="y"} 2
        "#]],
    );
}

#[test]
fn graphite_replaces_what_would_end_a_word() {
    check(
        "graphite",
        expect![[r#"
            kafka_producer.messages_total;component_name=p;topic=a_"b"_\ 3 1700000000
            engine.uptime-seconds 1.5 1700000000
            kafka_producer.messages_total;topic=t2 4 1700000000
        "#]],
    );
}

#[test]
fn an_unknown_format_is_an_error_that_lists_the_known_ones() {
    let error = "xml".parse::<Format>().unwrap_err();
    expect!["unknown format `xml`; expected `json`, `pretty`, `prometheus`, `prometheus-untyped`, `graphite` or `solomon`"]
        .assert_eq(&error.to_string());
}

#[track_caller]
fn check_filter(path: &str, prefix: &str, labels: &str, expected: &[&str]) {
    let filter = Filter::parse(Some(path), Some(prefix), Some(labels)).unwrap();
    let view = view().filtered(&filter);
    let paths: Vec<_> = view.metrics().iter().map(|metric| metric.path.as_str()).collect();
    assert_eq!(paths, expected);
}

#[test]
fn filters_select_by_path_by_prefix_and_by_a_subset_of_the_labels() {
    let total = "kafka_producer.messages_total";
    check_filter("", "", "", &[total, "engine.uptime-seconds", total, "1wait"]);
    check_filter("1wait", "", "", &["1wait"]);
    check_filter("1wai", "", "", &[]);
    check_filter("", "kafka_pro", "", &[total, total]);
    check_filter("", "", r#"{"component_name": "p"}"#, &[total]);
    check_filter("", "kafka", r#"{"topic": "t2"}"#, &[total]);
    check_filter("", "", r#"{"topic": "t3"}"#, &[]);
}

#[test]
fn filters_that_make_no_sense_are_errors() {
    let error = |path, labels| Filter::parse(path, Some("a"), Some(labels)).unwrap_err().to_string();
    expect!["`path` and `prefix` exclude each other; give one of them"].assert_eq(&error(Some("a"), ""));
    for labels in ["{", "[]", r#"{"a": 1}"#] {
        let expected = format!(
            r#"`labels` must be a JSON object with text values such as `{{"topic":"orders"}}`, found `{labels}`"#
        );
        assert_eq!(error(None, labels), expected);
    }
}
