//! What a pipeline reports itself. Its consumer and its producer report the rest: batches that failed, and transactions.

/// The producer is shut out by another one, or has stopped.
pub(crate) fn gives_up(producer: &str) {
    tracing::error!(component = producer, "Pipeline stops, as its producer has no more transactions");
}

/// The brokers inside the process answer the calls of transactions and isolate nothing.
pub(crate) fn nothing_is_isolated(component: &str) {
    tracing::warn!(
        component,
        "The embedded brokers do not isolate transactions: readers see what is aborted, so nothing is exactly once"
    );
}
