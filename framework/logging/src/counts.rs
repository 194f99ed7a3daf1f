//! Records counted by level.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::level::Level;

/// One count for each level that a record can have.
#[derive(Debug, Default)]
pub(crate) struct ByLevel([AtomicU64; Level::OF_RECORDS.len()]);

impl ByLevel {
    pub(crate) fn add(&self, level: Level, n: u64) {
        self.0[level as usize].fetch_add(n, Relaxed);
    }

    pub(crate) fn get(&self) -> Vec<(Level, u64)> {
        Level::OF_RECORDS.into_iter().zip(&self.0).map(|(level, n)| (level, n.load(Relaxed))).collect()
    }
}
