//! userver's view of the same facts: dotted paths, labels, and the formats of its `/service/monitor`.
//!
//! Names, types and shapes are userver's, so its dashboards and test helpers work. Three of its faults are not
//! copied: the Prometheus formats escape label values, keep the samples of one metric together and write a
//! histogram's `_sum`.

mod filter;
mod format;

use std::collections::BTreeMap;

use crate::handles::{Histogram, HistogramValue};

pub use self::filter::{Filter, FilterError};
pub use self::format::{Format, UnknownFormat};

/// What collectors write for userver's formats, in order of arrival.
#[derive(Debug, Clone, Default)]
pub struct UserverView {
    metrics: Vec<Metric>,
}

/// One value under a dotted path.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Words joined with dots, such as `engine.task-processors.tasks.alive`.
    pub path: String,
    /// Sorted by name.
    pub labels: Vec<(String, String)>,
    /// Its type and value.
    pub value: Reading,
}

/// userver's types of values.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// `GAUGE`.
    Gauge(f64),
    /// `RATE`: a count that only grows.
    Rate(u64),
    /// `HIST_RATE`.
    HistRate(HistogramValue),
}

impl UserverView {
    /// Adds a `GAUGE`.
    pub fn gauge(&mut self, path: &str, labels: &[(&str, &str)], value: f64) {
        self.insert(path, labels, Reading::Gauge(value));
    }

    /// Adds a `RATE`.
    pub fn rate(&mut self, path: &str, labels: &[(&str, &str)], value: u64) {
        self.insert(path, labels, Reading::Rate(value));
    }

    /// Adds a `HIST_RATE`.
    pub fn hist_rate(&mut self, path: &str, labels: &[(&str, &str)], value: &Histogram) {
        self.insert(path, labels, Reading::HistRate(value.get()));
    }

    /// All metrics, in order of arrival.
    #[must_use]
    pub fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// Only the metrics that `filter` lets through.
    #[must_use]
    pub fn filtered(mut self, filter: &Filter) -> UserverView {
        self.metrics.retain(|metric| filter.matches(metric));
        self
    }

    /// Every metric with `labels` added; where a metric has a label of that name, its own value stays.
    #[must_use]
    pub fn with_labels(mut self, labels: &BTreeMap<String, String>) -> UserverView {
        for metric in &mut self.metrics {
            let missing = labels.iter().filter(|(name, _)| metric.labels.iter().all(|(own, _)| own != *name));
            let missing: Vec<_> = missing.map(|(name, value)| (name.clone(), value.clone())).collect();
            metric.labels.extend(missing);
            metric.labels.sort();
        }
        self
    }

    fn insert(&mut self, path: &str, labels: &[(&str, &str)], value: Reading) {
        let mut labels: Vec<_> =
            labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        labels.sort();
        self.metrics.push(Metric { path: path.to_owned(), labels, value });
    }
}

impl Reading {
    const fn type_name(&self) -> &'static str {
        match self {
            Reading::Gauge(_) => "GAUGE",
            Reading::Rate(_) => "RATE",
            Reading::HistRate(_) => "HIST_RATE",
        }
    }
}

#[cfg(test)]
mod tests;
