//! Handles the working code holds: clones share one cell, and every operation is a few atomic instructions.
//!
//! Relaxed ordering throughout: a scrape wants each number, not an order between numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use crate::family::Family;

/// Counts things. Wraps after 2^64.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// The count so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Adds up amounts that are not whole, such as seconds.
#[derive(Debug, Clone, Default)]
pub struct FloatCounter(Arc<FloatCell>);

impl FloatCounter {
    /// Adds `amount`; ignored unless it is positive and finite, because a counter never falls.
    pub fn add(&self, amount: f64) {
        if amount.is_finite() && 0.0 < amount {
            self.0.add(amount);
        }
    }

    /// The total so far.
    #[must_use]
    pub fn get(&self) -> f64 {
        self.0.get()
    }
}

/// A whole number that goes up and down.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    /// Replaces the value.
    pub fn set(&self, value: i64) {
        self.0.store(value, Relaxed);
    }

    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Takes one away.
    pub fn dec(&self) {
        self.add(-1);
    }

    /// Adds `n`, which may be negative.
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// The value now.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// A number that is replaced, such as a time or a ratio.
#[derive(Debug, Clone, Default)]
pub struct FloatGauge(Arc<FloatCell>);

impl FloatGauge {
    /// Replaces the value.
    pub fn set(&self, value: f64) {
        self.0.set(value);
    }

    /// The value now.
    #[must_use]
    pub fn get(&self) -> f64 {
        self.0.get()
    }
}

/// Counts observations under the fixed bounds of its family.
#[derive(Debug, Clone)]
pub struct Histogram(Arc<HistogramCells>);

#[derive(Debug)]
struct HistogramCells {
    bounds: &'static [f64],
    /// One per bound plus one for what is above them all. The count is their sum, so that `+Inf` and `_count`
    /// agree in every scrape.
    buckets: Box<[AtomicU64]>,
    sum: FloatCell,
}

/// What a histogram held at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramValue {
    /// Upper bounds of all buckets but the last.
    pub bounds: &'static [f64],
    /// Observations per bucket, not cumulative: one more than there are bounds, the last is `+Inf`.
    pub buckets: Vec<u64>,
    /// Sum of all observations.
    pub sum: f64,
}

impl Histogram {
    /// A histogram without observations, with the bounds of `family`.
    #[must_use]
    pub fn new(family: &Family) -> Histogram {
        let bounds = family.bounds();
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram(Arc::new(HistogramCells { bounds, buckets, sum: FloatCell::default() }))
    }

    /// Counts one observation. `NaN` is ignored: it has no bucket and would spoil the sum for ever.
    pub fn observe(&self, value: f64) {
        if value.is_nan() {
            return;
        }
        let idx = self.0.bounds.partition_point(|bound| *bound < value);
        self.0.buckets[idx].fetch_add(1, Relaxed);
        self.0.sum.add(value);
    }

    /// Counts `count` observations between `low` and `high` at once, if one bucket takes both; `false`, and nothing is
    /// counted, if not: then each has to be observed by itself. The sum takes them as spread evenly between the two.
    pub fn observe_between(&self, low: f64, high: f64, count: u32) -> bool {
        let idx = self.0.bounds.partition_point(|bound| *bound < low);
        let is_one_bucket = low <= high && self.0.bounds.get(idx).is_none_or(|bound| high <= *bound);
        if is_one_bucket {
            self.0.buckets[idx].fetch_add(u64::from(count), Relaxed);
            self.0.sum.add(f64::midpoint(low, high) * f64::from(count));
        }
        is_one_bucket
    }

    /// What has been observed so far. Observations made meanwhile may be in the buckets and not yet in the sum.
    #[must_use]
    pub fn get(&self) -> HistogramValue {
        HistogramValue {
            bounds: self.0.bounds,
            buckets: self.0.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect(),
            sum: self.0.sum.get(),
        }
    }
}

impl HistogramValue {
    /// Number of observations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

/// An `f64` kept as its bits.
#[derive(Debug, Default)]
struct FloatCell(AtomicU64);

impl FloatCell {
    fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }

    fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Relaxed);
    }

    fn add(&self, amount: f64) {
        let add = |bits| Some((f64::from_bits(bits) + amount).to_bits());
        self.0.fetch_update(Relaxed, Relaxed, add).expect("the update is never refused");
    }
}
