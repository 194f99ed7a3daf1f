//! A snapshot as text for scrapers: OpenMetrics 1.0 and the older Prometheus text format 0.0.4.
//!
//! One writer for both. The encoder of `prometheus-client` was considered and left: it writes help texts
//! unescaped, knows neither state sets nor summaries, and has no 0.0.4.

use std::fmt::Write;

use crate::family::{Family, Kind};
use crate::handles::HistogramValue;
use crate::negotiation::Exposition;
use crate::snapshot::{FamilySamples, Sample, Snapshot, Value};

/// OpenMetrics 1.0 text, ending in `# EOF`.
#[must_use]
pub fn openmetrics(snapshot: &Snapshot) -> String {
    let mut text = write(snapshot, Exposition::OpenMetrics);
    text.push_str("# EOF\n");
    text
}

/// Prometheus text format 0.0.4. Infos and state sets become gauges; there is no unit.
#[must_use]
pub fn prometheus_text(snapshot: &Snapshot) -> String {
    write(snapshot, Exposition::Text)
}

fn write(snapshot: &Snapshot, exposition: Exposition) -> String {
    let mut writer = Writer { text: String::new(), exposition };
    for family in snapshot.families() {
        writer.family(family);
    }
    writer.text
}

struct Writer {
    text: String,
    exposition: Exposition,
}

/// The label the exposition itself adds to a sample: `le`, `quantile` or the name of a state set.
type OwnLabel<'a> = Option<(&'a str, &'a str)>;

impl Writer {
    fn family(&mut self, family: &FamilySamples) {
        match self.exposition {
            Exposition::OpenMetrics => self.openmetrics_header(family.family),
            Exposition::Text => self.text_header(family.family),
        }
        for sample in family.samples() {
            self.sample(family.family, sample);
        }
    }

    /// Names the family, and in this order.
    fn openmetrics_header(&mut self, family: &Family) {
        let name = family.name();
        let kind = match family.kind() {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Summary => "summary",
            Kind::Info => "info",
            Kind::StateSet => "stateset",
        };
        self.line(format_args!("# TYPE {name} {kind}"));
        if let Some(unit) = family.unit().suffix() {
            self.line(format_args!("# UNIT {name} {unit}"));
        }
        self.line(format_args!("# HELP {name} {}", escaped(family.help(), '"')));
    }

    /// Names the samples, so with their suffix. Quotes stay as they are here.
    fn text_header(&mut self, family: &Family) {
        let name = family.name();
        let (suffix, kind) = match family.kind() {
            Kind::Counter => ("_total", "counter"),
            Kind::Info => ("_info", "gauge"),
            Kind::Gauge | Kind::StateSet => ("", "gauge"),
            Kind::Histogram => ("", "histogram"),
            Kind::Summary => ("", "summary"),
        };
        self.line(format_args!("# HELP {name}{suffix} {}", escaped(family.help(), '\\')));
        self.line(format_args!("# TYPE {name}{suffix} {kind}"));
    }

    fn sample(&mut self, family: &Family, sample: Sample<'_>) {
        let name = family.name();
        match sample.value {
            Value::Counter(value) => self.value(name, "_total", sample, None, &value.to_string()),
            Value::FloatCounter(value) => self.value(name, "_total", sample, None, &number(*value)),
            Value::Gauge(value) => self.value(name, "", sample, None, &number(*value)),
            Value::Histogram(value) => self.histogram(name, sample, value),
            Value::Summary { quantiles, sum, count } => {
                for (quantile, value) in quantiles {
                    let quantile = self.canonical(*quantile);
                    self.value(name, "", sample, Some(("quantile", &quantile)), &number(*value));
                }
                self.value(name, "_sum", sample, None, &number(*sum));
                self.value(name, "_count", sample, None, &count.to_string());
            }
            Value::Info => self.value(name, "_info", sample, None, "1"),
            Value::StateSet(states) => {
                for (state, holds) in states {
                    self.value(name, "", sample, Some((name, state)), if *holds { "1" } else { "0" });
                }
            }
        }
    }

    fn histogram(&mut self, name: &str, sample: Sample<'_>, value: &HistogramValue) {
        let mut cumulative = 0;
        for (idx, count) in value.buckets.iter().enumerate() {
            cumulative += count;
            let bound =
                value.bounds.get(idx).map_or_else(|| "+Inf".to_owned(), |bound| self.canonical(*bound));
            self.value(name, "_bucket", sample, Some(("le", &bound)), &cumulative.to_string());
        }
        self.value(name, "_sum", sample, None, &number(value.sum));
        self.value(name, "_count", sample, None, &cumulative.to_string());
    }

    fn value(&mut self, name: &str, suffix: &str, sample: Sample<'_>, own: OwnLabel<'_>, value: &str) {
        self.text.push_str(name);
        self.text.push_str(suffix);
        let labels = sample.labels.iter().map(|(name, value)| (*name, value.as_str())).chain(own);
        let mut separator = '{';
        for (name, value) in labels {
            self.text.push(separator);
            self.text.push_str(name);
            self.text.push_str("=\"");
            self.text.push_str(&escaped(value, '"'));
            self.text.push('"');
            separator = ',';
        }
        if separator == ',' {
            self.text.push('}');
        }
        self.line(format_args!(" {value}"));
    }

    /// Bounds and quantiles as the reference client writes them: `1.0` in OpenMetrics, `1` in 0.0.4.
    fn canonical(&self, value: f64) -> String {
        match self.exposition {
            Exposition::OpenMetrics if value.fract() == 0.0 => format!("{value:.1}"),
            Exposition::OpenMetrics | Exposition::Text => number(value),
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        self.text.write_fmt(line).expect("writing to a string does not fail");
        self.text.push('\n');
    }
}

fn number(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        value => value.to_string(),
    }
}

/// Backslash and line feed are always escaped, `also` on top of them.
fn escaped(text: &str, also: char) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => escaped.push_str("\\n"),
            character if character == '\\' || character == also => escaped.extend(['\\', character]),
            character => escaped.push(character),
        }
    }
    escaped
}
