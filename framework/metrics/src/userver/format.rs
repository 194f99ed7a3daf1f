//! userver's six text forms of a view.

use std::collections::{BTreeMap, btree_map::Entry};
use std::fmt::Write;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::{Metric, Reading, UserverView};
use crate::handles::HistogramValue;

/// A value of the query parameter `format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// `json`: paths with lists of values.
    Json,
    /// `pretty`: one readable line per value.
    Pretty,
    /// `prometheus`.
    Prometheus,
    /// `prometheus-untyped`: without the type of gauges.
    PrometheusUntyped,
    /// `graphite`.
    Graphite,
    /// `solomon`.
    Solomon,
}

/// The format asked for is not one we write.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "unknown format `{found}`; expected `json`, `pretty`, `prometheus`, `prometheus-untyped`, `graphite` or `solomon`"
)]
pub struct UnknownFormat {
    found: String,
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Format, UnknownFormat> {
        match text {
            "json" => Ok(Format::Json),
            "pretty" => Ok(Format::Pretty),
            "prometheus" => Ok(Format::Prometheus),
            "prometheus-untyped" => Ok(Format::PrometheusUntyped),
            "graphite" => Ok(Format::Graphite),
            "solomon" => Ok(Format::Solomon),
            found => Err(UnknownFormat { found: found.to_owned() }),
        }
    }
}

impl Format {
    /// The value of the `Content-Type` header.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Format::Json | Format::Solomon => "application/json; charset=utf-8",
            Format::Prometheus | Format::PrometheusUntyped => "text/plain; version=0.0.4; charset=utf-8",
            Format::Pretty | Format::Graphite => "text/plain; charset=utf-8",
        }
    }

    /// The view as text. `now` is the time that graphite lines carry.
    #[must_use]
    pub fn encode(self, view: &UserverView, now: SystemTime) -> String {
        match self {
            Format::Json => json_text(view),
            Format::Pretty => pretty(view),
            Format::Prometheus => prometheus(view, GaugeType::Written),
            Format::PrometheusUntyped => prometheus(view, GaugeType::LeftOut),
            Format::Graphite => graphite(view, now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)),
            Format::Solomon => solomon(view),
        }
    }
}

fn json_text(view: &UserverView) -> String {
    let mut by_path: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for metric in view.metrics() {
        let labels: BTreeMap<_, _> = metric.labels.iter().cloned().collect();
        let value = json_value(&metric.value);
        let entry = json!({"value": value, "labels": labels, "type": metric.value.type_name()});
        by_path.entry(&metric.path).or_default().push(entry);
    }
    json!(by_path).to_string()
}

fn solomon(view: &UserverView) -> String {
    let metric = |metric: &Metric| {
        let mut labels: BTreeMap<_, _> = metric.labels.iter().cloned().collect();
        labels.insert("sensor".to_owned(), metric.path.clone());
        let field = if matches!(metric.value, Reading::HistRate(_)) { "hist" } else { "value" };
        json!({"labels": labels, field: json_value(&metric.value), "type": metric.value.type_name()})
    };
    json!({"metrics": view.metrics().iter().map(metric).collect::<Vec<_>>()}).to_string()
}

/// JSON has no infinities and no `NaN`: they become `null`.
fn json_value(value: &Reading) -> Value {
    match value {
        Reading::Gauge(value) => whole(*value).map_or_else(|| json!(value), |whole| json!(whole)),
        Reading::Rate(value) => json!(value),
        Reading::HistRate(HistogramValue { bounds, buckets, .. }) => {
            let (inf, buckets) = buckets.split_last().expect("a histogram has the `+Inf` bucket");
            json!({"bounds": bounds, "buckets": buckets, "inf": inf})
        }
    }
}

/// userver writes whole gauges as integers.
#[expect(clippy::cast_possible_truncation, reason = "the value is checked to be whole and in range")]
fn whole(value: f64) -> Option<i64> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    (value.fract() == 0.0 && value.abs() <= EXACT_MAX).then_some(value as i64)
}

fn pretty(view: &UserverView) -> String {
    let mut text = String::new();
    for metric in view.metrics() {
        let labels: Vec<_> = metric.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let line = format!(
            "{}: {}\t{}\t{}",
            metric.path,
            labels.join(", "),
            metric.value.type_name(),
            plain_value(&metric.value)
        );
        text.push_str(&one_line(&line));
        text.push('\n');
    }
    text
}

/// A histogram is not one number; it is left out, as graphite has no such thing.
fn graphite(view: &UserverView, since_epoch: Duration) -> String {
    let mut text = String::new();
    for metric in view.metrics() {
        if matches!(metric.value, Reading::HistRate(_)) {
            continue;
        }
        text.push_str(&graphite_word(&metric.path));
        for (name, value) in &metric.labels {
            write!(text, ";{}={}", graphite_word(name), graphite_word(value)).expect(INFALLIBLE);
        }
        writeln!(text, " {} {}", plain_value(&metric.value), since_epoch.as_secs()).expect(INFALLIBLE);
    }
    text
}

/// graphite has no escapes: what would end a word becomes `_`, and so does a leading `~`.
fn graphite_word(text: &str) -> String {
    let replaced = |(idx, character): (usize, char)| match character {
        ';' | '=' | '!' | '^' => '_',
        '~' if idx == 0 => '_',
        character if character.is_whitespace() || character.is_control() => '_',
        character => character,
    };
    // An empty value is not allowed either.
    if text.is_empty() { "_".to_owned() } else { text.chars().enumerate().map(replaced).collect() }
}

fn plain_value(value: &Reading) -> String {
    match value {
        Reading::Gauge(value) => value.to_string(),
        Reading::Rate(value) => value.to_string(),
        Reading::HistRate(value) => {
            let mut text = String::new();
            for (idx, count) in value.buckets.iter().enumerate() {
                let bound = value.bounds.get(idx).map_or_else(|| "inf".to_owned(), f64::to_string);
                let separator = if idx == 0 { "" } else { "," };
                write!(text, "{separator}[{bound}]={count}").expect(INFALLIBLE);
            }
            text
        }
    }
}

fn one_line(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum GaugeType {
    Written,
    LeftOut,
}

/// Metrics of one name are kept together, in order of the name's first appearance. A name used with two types
/// keeps the type it had first.
fn prometheus(view: &UserverView, gauge_type: GaugeType) -> String {
    let mut order: Vec<Vec<&Metric>> = Vec::new();
    let mut positions: BTreeMap<String, usize> = BTreeMap::new();
    for metric in view.metrics() {
        match positions.entry(prometheus_name(&metric.path)) {
            Entry::Occupied(position) => order[*position.get()].push(metric),
            Entry::Vacant(position) => {
                position.insert(order.len());
                order.push(vec![metric]);
            }
        }
    }
    let mut text = String::new();
    for metrics in order {
        let name = prometheus_name(&metrics[0].path);
        let kind = match metrics[0].value {
            Reading::Gauge(_) => "gauge",
            Reading::Rate(_) => "counter",
            Reading::HistRate(_) => "histogram",
        };
        if kind != "gauge" || gauge_type == GaugeType::Written {
            writeln!(text, "# TYPE {name} {kind}").expect(INFALLIBLE);
        }
        for metric in metrics {
            prometheus_samples(&mut text, &name, metric);
        }
    }
    text
}

fn prometheus_samples(text: &mut String, name: &str, metric: &Metric) {
    let labels: Vec<_> = metric
        .labels
        .iter()
        .map(|(name, value)| format!("{}=\"{}\"", prometheus_label(name), prometheus_escaped(value)))
        .collect();
    let labels = labels.join(",");
    let HistogramValue { bounds, buckets, sum } = match &metric.value {
        Reading::HistRate(value) => value,
        Reading::Gauge(_) | Reading::Rate(_) => {
            writeln!(text, "{name}{{{labels}}} {}", plain_value(&metric.value)).expect(INFALLIBLE);
            return;
        }
    };
    let comma = if labels.is_empty() { "" } else { "," };
    let mut cumulative = 0;
    for (idx, count) in buckets.iter().enumerate() {
        cumulative += count;
        let bound = bounds.get(idx).map_or_else(|| "+Inf".to_owned(), f64::to_string);
        writeln!(text, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {cumulative}").expect(INFALLIBLE);
    }
    writeln!(text, "{name}_sum{{{labels}}} {sum}").expect(INFALLIBLE);
    writeln!(text, "{name}_count{{{labels}}} {cumulative}").expect(INFALLIBLE);
}

fn prometheus_name(path: &str) -> String {
    let name: String = path.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if name.starts_with(|first: char| first.is_ascii_alphabetic()) { name } else { format!("_{name}") }
}

/// Leading underscores are reduced to one: two of them are reserved.
fn prometheus_label(name: &str) -> String {
    let name = prometheus_name(name);
    match name.strip_prefix('_') {
        Some(rest) => format!("_{}", rest.trim_start_matches('_')),
        None => name,
    }
}

fn prometheus_escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

const INFALLIBLE: &str = "writing to a string does not fail";
