//! Who has something to report. One registry per service; a registration lasts as long as its guard.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::snapshot::{Rejection, Snapshot};
use crate::userver::UserverView;

/// Writes what it knows when a scrape asks. It must be quick and must not block on the work it measures.
pub trait Collector: Send + Sync {
    /// Writes the samples for `/metrics`.
    fn collect(&self, snapshot: &mut Snapshot);

    /// Writes the same facts under userver's names, where userver has them.
    fn collect_userver(&self, view: &mut UserverView) {
        let _ = view;
    }
}

/// The collectors of one service. Clones share them.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<Collectors>>);

/// Keeps a collector registered; dropping it unregisters. A scrape that is running may still finish with it.
#[must_use = "the collector is unregistered when this is dropped"]
pub struct Registration {
    registry: Weak<Mutex<Collectors>>,
    id: u64,
}

#[derive(Default)]
struct Collectors {
    next_id: u64,
    /// In order of registration.
    by_id: BTreeMap<u64, Arc<dyn Collector>>,
}

impl Registry {
    /// Asks `collector` at every scrape until the guard is dropped.
    pub fn register(&self, collector: Arc<dyn Collector>) -> Registration {
        let mut collectors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let id = collectors.next_id;
        collectors.next_id += 1;
        collectors.by_id.insert(id, collector);
        Registration { registry: Arc::downgrade(&self.0), id }
    }

    /// Asks all collectors. One that panics is counted and does not spoil the rest.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for collector in self.collectors() {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| collector.collect(&mut snapshot))) {
                // At each scrape anew: the fault lasts.
                tracing::error!(panic = message(panic.as_ref()), "Metrics collector panicked");
                snapshot.reject(Rejection::CollectorPanic, "");
            }
        }
        snapshot.report_rejected();
        snapshot
    }

    /// Asks all collectors for userver's view. What a collector wrote before it panicked stays.
    #[must_use]
    pub fn userver(&self) -> UserverView {
        let mut view = UserverView::default();
        for collector in self.collectors() {
            // The panic is counted and logged by `snapshot`, where operators look for it.
            let _panicked = catch_unwind(AssertUnwindSafe(|| collector.collect_userver(&mut view))).is_err();
        }
        view
    }

    /// Copied out, so that a slow collector does not hold up a component that registers.
    fn collectors(&self) -> Vec<Arc<dyn Collector>> {
        let collectors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        collectors.by_id.values().map(Arc::clone).collect()
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a value that is not text")
}

impl Drop for Registration {
    fn drop(&mut self) {
        let Some(registry) = self.registry.upgrade() else { return };
        let removed = registry.lock().unwrap_or_else(PoisonError::into_inner).by_id.remove(&self.id);
        // Dropped after the lock: the collector may own registrations of its own.
        drop(removed);
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("collectors", &self.collectors().len()).finish()
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").field("id", &self.id).finish_non_exhaustive()
    }
}
