//! The figures of transactions.

use std::time::Duration;

use mainspring_metrics::{Counter, DURATION_BOUNDS, Family, Histogram, MetricsScope, Registry};

static TRANSACTIONS: Family = Family::counter(
    "kafka_producer_transactions",
    "Transactions that ended: committed, aborted on purpose, failed and aborted, or unresolved when nobody knows.",
);
static DURATION: Family = Family::histogram(
    "kafka_producer_transaction_duration_seconds",
    DURATION_BOUNDS,
    "Time from the begin of a transaction to its end.",
);

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Result {
    Committed,
    Aborted,
    Failed,
    Unresolved,
}

const RESULTS: [(Result, &str); 4] = [
    (Result::Committed, "committed"),
    (Result::Aborted, "aborted"),
    (Result::Failed, "failed"),
    (Result::Unresolved, "unresolved"),
];

/// Handles of one producer, for as long as its component lives.
#[derive(Debug)]
pub(crate) struct Metrics {
    ended: [(Result, Counter, Histogram); 4],
    _scope: MetricsScope,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry, component: &str) -> Metrics {
        let scope = MetricsScope::new(registry, component);
        let ended = RESULTS.map(|(result, name)| {
            let labels = [("result", name)];
            (result, scope.counter(&TRANSACTIONS, &labels), scope.histogram(&DURATION, &labels))
        });
        Metrics { ended, _scope: scope }
    }

    pub(crate) fn ended(&self, result: Result, took: Duration) {
        for (_, count, duration) in self.ended.iter().filter(|(known, ..)| *known == result) {
            count.inc();
            duration.observe(took.as_secs_f64());
        }
    }
}
