//! Every sample of a service at one moment, grouped by family and sorted: the one input of all expositions.
//!
//! Families come out by name (`target` first), samples of a family contiguous and by labels, labels by name; so two scrapes of
//! the same state are the same text. What cannot be exposed together (see [`Rejection`]) is left out and
//! counted, because one component's mistake must not cost the others their metrics.

use std::collections::BTreeMap;

use crate::family::{Family, Kind};
use crate::handles::{Histogram, HistogramValue};

// A gauge: it tells of one scrape, so it falls when the fault is gone.
static REJECTED: Family = Family::gauge(
    "metrics_rejected_samples",
    "Samples left out of this scrape, by what was wrong with them.",
);

/// The family that tells of the service as a whole.
pub(crate) const TARGET: &str = "target";

/// Label names with their values, sorted by name.
pub type Labels = Vec<(&'static str, String)>;

/// What collectors write and expositions read.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    families: BTreeMap<&'static str, FamilySamples>,
    rejected: BTreeMap<Rejection, Vec<&'static str>>,
}

/// A family and all its samples.
#[derive(Debug, Clone)]
pub struct FamilySamples {
    /// The definition the samples follow.
    pub family: &'static Family,
    samples: BTreeMap<Labels, Value>,
}

/// One sample: its labels and its value.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// Sorted by name.
    pub labels: &'a [(&'static str, String)],
    /// Of the kind that the family says.
    pub value: &'a Value,
}

/// The value of one sample.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A count.
    Counter(u64),
    /// A total that is not whole.
    FloatCounter(f64),
    /// A number that goes up and down.
    Gauge(f64),
    /// Buckets and sum.
    Histogram(HistogramValue),
    /// Quantiles (each from 0 to 1, with its value), sum and count.
    Summary {
        /// Quantile and value, in rising order.
        quantiles: Vec<(f64, f64)>,
        /// Sum of all observations.
        sum: f64,
        /// Number of observations.
        count: u64,
    },
    /// The labels are the value.
    Info,
    /// Each state and whether it holds.
    StateSet(Vec<(String, bool)>),
}

/// Why a sample was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Rejection {
    /// The family is already there with another kind or other bounds, or the value does not fit its kind.
    FamilyConflict,
    /// The same family and labels were written twice; the first stays.
    DuplicateSeries,
    /// A label name is not valid, is repeated or is one that the exposition adds itself.
    BadLabel,
    /// A collector panicked; what it wrote before stays.
    CollectorPanic,
}

impl Snapshot {
    /// Adds a counter's value.
    pub fn counter(&mut self, family: &'static Family, labels: &[(&'static str, &str)], value: u64) {
        self.insert(family, labels, Value::Counter(value));
    }

    /// Adds the value of a counter that is not whole, such as seconds.
    pub fn counter_f64(&mut self, family: &'static Family, labels: &[(&'static str, &str)], value: f64) {
        self.insert(family, labels, Value::FloatCounter(value));
    }

    /// Adds a gauge's value.
    pub fn gauge(&mut self, family: &'static Family, labels: &[(&'static str, &str)], value: f64) {
        self.insert(family, labels, Value::Gauge(value));
    }

    /// Adds what a histogram holds now.
    pub fn histogram(&mut self, family: &'static Family, labels: &[(&'static str, &str)], value: &Histogram) {
        self.insert(family, labels, Value::Histogram(value.get()));
    }

    /// Adds quantiles (each from 0 to 1, with its value), their sum and count.
    pub fn summary(
        &mut self,
        family: &'static Family,
        labels: &[(&'static str, &str)],
        quantiles: &[(f64, f64)],
        sum: f64,
        count: u64,
    ) {
        self.insert(family, labels, Value::Summary { quantiles: quantiles.to_vec(), sum, count });
    }

    /// Adds facts told through labels.
    pub fn info(&mut self, family: &'static Family, labels: &[(&'static str, &str)]) {
        self.insert(family, labels, Value::Info);
    }

    /// Adds all states of a state set, each with whether it holds.
    pub fn state_set(
        &mut self,
        family: &'static Family,
        labels: &[(&'static str, &str)],
        states: &[(&str, bool)],
    ) {
        let states = states.iter().map(|(name, holds)| ((*name).to_owned(), *holds)).collect();
        self.insert(family, labels, Value::StateSet(states));
    }

    /// The families in order of their names, after `target`: OpenMetrics wants what is scraped to come first.
    pub fn families(&self) -> impl Iterator<Item = &FamilySamples> {
        let others = self.families.iter().filter(|(name, _)| **name != TARGET);
        self.families.get(TARGET).into_iter().chain(others.map(|(_, samples)| samples))
    }

    /// The value of one series, whatever the order of `labels`; for tests and health checks.
    #[must_use]
    pub fn get(&self, family: &Family, labels: &[(&'static str, &str)]) -> Option<&Value> {
        self.families.get(family.name())?.samples.get(&sorted(labels))
    }

    /// What was left out: the reason and the names of the families, in order of arrival.
    pub fn rejected(&self) -> impl Iterator<Item = (Rejection, &[&'static str])> {
        self.rejected.iter().map(|(reason, names)| (*reason, names.as_slice()))
    }

    pub(crate) fn insert(&mut self, family: &'static Family, labels: &[(&'static str, &str)], value: Value) {
        if let Err(reason) = self.try_insert(family, sorted(labels), value) {
            self.reject(reason, family.name());
        }
    }

    pub(crate) fn reject(&mut self, reason: Rejection, name: &'static str) {
        self.rejected.entry(reason).or_default().push(name);
    }

    /// Makes what was left out visible in the scrape itself. The series exist at 0 too, so that alerts work.
    pub(crate) fn report_rejected(&mut self) {
        for reason in Rejection::ALL {
            let count = self.rejected.get(&reason).map_or(0.0, |names| names.len() as f64);
            self.gauge(&REJECTED, &[("reason", reason.as_str())], count);
        }
    }

    fn try_insert(&mut self, family: &'static Family, labels: Labels, value: Value) -> Result<(), Rejection> {
        if !value.fits(family) {
            return Err(Rejection::FamilyConflict);
        }
        if !labels_are_valid(family, &labels) {
            return Err(Rejection::BadLabel);
        }
        let known = self
            .families
            .entry(family.name())
            .or_insert_with(|| FamilySamples { family, samples: BTreeMap::new() });
        if known.family.kind() != family.kind() || known.family.bounds() != family.bounds() {
            return Err(Rejection::FamilyConflict);
        }
        if known.samples.contains_key(&labels) {
            return Err(Rejection::DuplicateSeries);
        }
        known.samples.insert(labels, value);
        Ok(())
    }
}

impl FamilySamples {
    /// The samples in order of their labels.
    pub fn samples(&self) -> impl Iterator<Item = Sample<'_>> {
        self.samples.iter().map(|(labels, value)| Sample { labels, value })
    }
}

impl Value {
    fn fits(&self, family: &Family) -> bool {
        match self {
            Value::Counter(_) | Value::FloatCounter(_) => family.kind() == Kind::Counter,
            Value::Gauge(_) => family.kind() == Kind::Gauge,
            Value::Histogram(value) => family.kind() == Kind::Histogram && family.bounds() == value.bounds,
            Value::Summary { .. } => family.kind() == Kind::Summary,
            Value::Info => family.kind() == Kind::Info,
            Value::StateSet(_) => family.kind() == Kind::StateSet,
        }
    }
}

impl Rejection {
    const ALL: [Rejection; 4] = [
        Rejection::FamilyConflict,
        Rejection::DuplicateSeries,
        Rejection::BadLabel,
        Rejection::CollectorPanic,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Rejection::FamilyConflict => "family_conflict",
            Rejection::DuplicateSeries => "duplicate_series",
            Rejection::BadLabel => "bad_label",
            Rejection::CollectorPanic => "collector_panic",
        }
    }
}

pub(crate) fn sorted(labels: &[(&'static str, &str)]) -> Labels {
    let mut labels: Labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    labels.sort();
    labels
}

fn labels_are_valid(family: &Family, labels: &Labels) -> bool {
    let reserved = match family.kind() {
        Kind::Histogram => "le",
        Kind::Summary => "quantile",
        Kind::StateSet => family.name(),
        Kind::Counter | Kind::Gauge | Kind::Info => "",
    };
    let repeated = labels.windows(2).any(|pair| pair[0].0 == pair[1].0);
    !repeated && labels.iter().all(|(name, _)| *name != reserved && is_label_name(name))
}

fn is_label_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    // Names that begin with two underscores belong to the scraper.
    bytes.first().is_some_and(|first| !first.is_ascii_digit())
        && !name.starts_with("__")
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}
