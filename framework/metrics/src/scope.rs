//! Metrics of one component in two lines: a scope creates handles, labels them and takes them back on drop.
//!
//! Asking twice for the same family and labels returns the same handle, so a scope is also the labelled family
//! of a hot path: ask once per topic, keep the handle. The number of label sets per family is bounded.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::family::{Family, Kind};
use crate::handles::{Counter, FloatCounter, FloatGauge, Gauge, Histogram};
use crate::registry::{Collector, Registration, Registry};
use crate::snapshot::{Labels, Snapshot, Value, sorted};

/// Label sets one family may have in a scope; see [`MetricsScope::with_series_max`].
pub const SERIES_PER_FAMILY_MAX: usize = 1000;

/// The value all labels take once a family has its most label sets.
pub const LABEL_OTHER: &str = "other";

/// The metrics of one component, each with the label `component`.
///
/// Dropping the scope removes them from the registry; handles stay usable, they are just not read any more.
#[must_use = "its metrics are removed when this is dropped"]
pub struct MetricsScope {
    series: Arc<Series>,
    series_max: usize,
    _registration: Registration,
}

/// One map per type of handle, so that a handle comes out as what it went in.
struct Series {
    component: String,
    counters: SeriesMap<Counter>,
    float_counters: SeriesMap<FloatCounter>,
    gauges: SeriesMap<Gauge>,
    float_gauges: SeriesMap<FloatGauge>,
    histograms: SeriesMap<Histogram>,
}

/// Name and kind rather than the family alone: two definitions that differ both reach the snapshot, which
/// rejects the second and says so.
struct SeriesMap<H>(Mutex<BTreeMap<(&'static str, Kind), SeriesOfFamily<H>>>);

type SeriesOfFamily<H> = BTreeMap<Labels, (&'static Family, H)>;

impl MetricsScope {
    /// A scope without metrics, registered in `registry`.
    pub fn new(registry: &Registry, component: &str) -> MetricsScope {
        let series = Arc::new(Series {
            component: component.to_owned(),
            counters: SeriesMap::default(),
            float_counters: SeriesMap::default(),
            gauges: SeriesMap::default(),
            float_gauges: SeriesMap::default(),
            histograms: SeriesMap::default(),
        });
        let collector: Arc<dyn Collector> = Arc::<Series>::clone(&series);
        let registration = registry.register(collector);
        MetricsScope { series, series_max: SERIES_PER_FAMILY_MAX, _registration: registration }
    }

    /// Allows each family this many label sets instead of [`SERIES_PER_FAMILY_MAX`]. Whatever comes after is
    /// counted under [`LABEL_OTHER`].
    pub fn with_series_max(mut self, series_max: usize) -> MetricsScope {
        self.series_max = series_max;
        self
    }

    /// The counter of `family` with these labels.
    #[must_use]
    pub fn counter(&self, family: &'static Family, labels: &[(&'static str, &str)]) -> Counter {
        self.series.counters.get_or_create(self.series_max, family, labels, Counter::default)
    }

    /// The counter of `family` with these labels, for amounts that are not whole.
    #[must_use]
    pub fn float_counter(&self, family: &'static Family, labels: &[(&'static str, &str)]) -> FloatCounter {
        self.series.float_counters.get_or_create(self.series_max, family, labels, FloatCounter::default)
    }

    /// The gauge of `family` with these labels.
    #[must_use]
    pub fn gauge(&self, family: &'static Family, labels: &[(&'static str, &str)]) -> Gauge {
        self.series.gauges.get_or_create(self.series_max, family, labels, Gauge::default)
    }

    /// The gauge of `family` with these labels, for values that are not whole.
    #[must_use]
    pub fn float_gauge(&self, family: &'static Family, labels: &[(&'static str, &str)]) -> FloatGauge {
        self.series.float_gauges.get_or_create(self.series_max, family, labels, FloatGauge::default)
    }

    /// The histogram of `family` with these labels.
    #[must_use]
    pub fn histogram(&self, family: &'static Family, labels: &[(&'static str, &str)]) -> Histogram {
        self.series.histograms.get_or_create(self.series_max, family, labels, || Histogram::new(family))
    }
}

impl Collector for Series {
    #[expect(
        clippy::cast_precision_loss,
        reason = "gauges are read as floats; beyond 2^53 the last digits go"
    )]
    fn collect(&self, snapshot: &mut Snapshot) {
        self.counters.collect(&self.component, snapshot, |counter| Value::Counter(counter.get()));
        self.float_counters.collect(&self.component, snapshot, |counter| Value::FloatCounter(counter.get()));
        self.gauges.collect(&self.component, snapshot, |gauge| Value::Gauge(gauge.get() as f64));
        self.float_gauges.collect(&self.component, snapshot, |gauge| Value::Gauge(gauge.get()));
        self.histograms.collect(&self.component, snapshot, |histogram| Value::Histogram(histogram.get()));
    }
}

impl<H: Clone> SeriesMap<H> {
    fn get_or_create(
        &self,
        series_max: usize,
        family: &'static Family,
        labels: &[(&'static str, &str)],
        create: impl FnOnce() -> H,
    ) -> H {
        let mut families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let series = families.entry((family.name(), family.kind())).or_default();
        let mut labels = sorted(labels);
        if !series.contains_key(&labels) && series_max <= series.len() {
            for (_, value) in &mut labels {
                LABEL_OTHER.clone_into(value);
            }
        }
        series.entry(labels).or_insert_with(|| (family, create())).1.clone()
    }

    fn collect(&self, component: &str, snapshot: &mut Snapshot, read: impl Fn(&H) -> Value) {
        let families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (labels, (family, handle)) in families.values().flatten() {
            let mut with_component = vec![("component", component)];
            with_component.extend(labels.iter().map(|(name, value)| (*name, value.as_str())));
            snapshot.insert(family, &with_component, read(handle));
        }
    }
}

impl<H> Default for SeriesMap<H> {
    fn default() -> SeriesMap<H> {
        SeriesMap(Mutex::default())
    }
}

impl fmt::Debug for MetricsScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsScope").field("component", &self.series.component).finish_non_exhaustive()
    }
}
