//! Levels of their own for parts of the program, by the target of what they log.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::level::Level;

/// Levels by target. Read at each call site that may be enabled, so without a lock.
#[derive(Debug, Default)]
pub(crate) struct TargetLevels(ArcSwap<BTreeMap<String, Level>>);

impl TargetLevels {
    pub(crate) fn set(&self, levels: BTreeMap<String, Level>) {
        self.0.store(Arc::new(levels));
    }

    /// The level of a target: its own, or that of the nearest module around it that has one.
    pub(crate) fn of(&self, target: &str) -> Option<Level> {
        let levels = self.0.load();
        if levels.is_empty() {
            return None;
        }
        let mut around = target;
        loop {
            if let Some(level) = levels.get(around) {
                return Some(*level);
            }
            around = around.rsplit_once("::")?.0;
        }
    }

    /// The least of them.
    pub(crate) fn least(&self) -> Option<Level> {
        self.0.load().values().min().copied()
    }
}
