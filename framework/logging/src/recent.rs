//! The last records of a service, kept in memory for whoever asks the monitor.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use serde::ser::{Serialize, Serializer};

use crate::level::Level;
use crate::record::{FieldValue, Record};

const RECORDS_MAX: usize = 1000;
const BYTES_MAX: usize = 1024 * 1024;

/// A record as it was logged. Serializes to what the format `json` writes.
#[derive(Debug, Clone)]
pub struct RecentRecord {
    record: Arc<Record>,
}

/// Which of the recent records are wanted; by default all.
#[derive(Debug, Clone, Default)]
pub struct RecentFilter {
    /// Only records of this level and above.
    pub min_level: Option<Level>,
    /// Only records whose field `component` is this.
    pub component: Option<String>,
    /// Only records whose text contains this.
    pub text: Option<String>,
    /// Only this many of the newest.
    pub limit: Option<usize>,
}

impl RecentRecord {
    /// When it was logged.
    #[must_use]
    pub fn time(&self) -> SystemTime {
        self.record.time
    }

    /// Its level.
    #[must_use]
    pub fn level(&self) -> Level {
        self.record.level()
    }

    /// Its tracing target.
    #[must_use]
    pub fn target(&self) -> &str {
        self.record.metadata.target()
    }

    /// The component that logged it.
    #[must_use]
    pub fn component(&self) -> Option<&str> {
        match self.record.fields.get("component")? {
            FieldValue::Text(component) => Some(component),
            _ => None,
        }
    }

    /// Its message.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.record.text
    }

    fn matches(&self, filter: &RecentFilter) -> bool {
        filter.min_level.is_none_or(|level| level <= self.level())
            && filter.component.as_deref().is_none_or(|component| self.component() == Some(component))
            && filter.text.as_deref().is_none_or(|text| self.text().contains(text))
    }
}

impl Serialize for RecentRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.record.serialize(serializer)
    }
}

/// A ring bounded by number and by bytes.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    records: VecDeque<Arc<Record>>,
    bytes: usize,
}

impl Recent {
    pub(crate) fn push(&mut self, record: Arc<Record>) {
        self.bytes += record.size_bytes();
        self.records.push_back(record);
        while RECORDS_MAX < self.records.len() || BYTES_MAX < self.bytes {
            let oldest = self.records.pop_front().expect("a bound is exceeded, so there is one");
            self.bytes -= oldest.size_bytes();
        }
    }

    /// Oldest first.
    pub(crate) fn find(&self, filter: &RecentFilter) -> Vec<RecentRecord> {
        let newest_first =
            self.records.iter().rev().map(|record| RecentRecord { record: Arc::clone(record) });
        let limit = filter.limit.unwrap_or(RECORDS_MAX);
        let mut found: Vec<_> = newest_first.filter(|record| record.matches(filter)).take(limit).collect();
        found.reverse();
        found
    }
}
