//! Metric families, handles, collectors and their text expositions.
//!
//! One snapshot, many views. Code that works holds handles ([`Counter`], [`Gauge`], [`Histogram`]) that are
//! plain atomics; a scrape asks every registered [`Collector`] to write what it knows into a [`Snapshot`], and
//! [`openmetrics`] or [`prometheus_text`] turn that into text. [`UserverView`] is a second, separate view under
//! userver's names. There is no global registry: a service owns one [`Registry`], so several services can live
//! in one process.
//!
//! The crate is pure: no HTTP, no runtime, no background work. Only [`ProcessCollector`] reads files (`/proc`).
//!
//! # Examples
//!
//! ```
//! use mainspring_metrics::{Family, MetricsScope, Registry, openmetrics};
//!
//! static ORDERS: Family = Family::counter("shop_orders", "Orders accepted.");
//!
//! let registry = Registry::default();
//! let metrics = MetricsScope::new(&registry, "order-events");
//! let orders = metrics.counter(&ORDERS, &[("country", "nl")]);
//! orders.inc();
//!
//! let text = openmetrics(&registry.snapshot());
//! assert!(text.contains(r#"shop_orders_total{component="order-events",country="nl"} 1"#));
//! ```

mod exposition;
mod family;
mod handles;
mod negotiation;
mod process;
mod registry;
mod scope;
mod snapshot;
pub mod userver;

pub use crate::exposition::{openmetrics, prometheus_text};
pub use crate::family::{DURATION_BOUNDS, Family, Kind, Unit};
pub use crate::handles::{Counter, FloatCounter, FloatGauge, Gauge, Histogram, HistogramValue};
pub use crate::negotiation::{Exposition, negotiate};
pub use crate::process::{BuildInfo, ProcessCollector};
pub use crate::registry::{Collector, Registration, Registry};
pub use crate::scope::{LABEL_OTHER, MetricsScope, SERIES_PER_FAMILY_MAX};
pub use crate::snapshot::{FamilySamples, Labels, Rejection, Sample, Snapshot, Value};
pub use crate::userver::UserverView;

#[cfg(test)]
mod tests;
