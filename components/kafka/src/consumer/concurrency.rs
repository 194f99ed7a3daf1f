//! How many batches of a consumer are processed at the same time, and what one of them comprises.

use schemars::JsonSchema;
use serde::Deserialize;

/// Batches that are processed at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Concurrency {
    /// What a batch comprises, and with that what keeps its order. Required.
    pub mode: ConcurrencyMode,
    /// Most calls of the callback at the same time. From 1 to 10000, default `16`.
    #[serde(default = "Concurrency::default_max")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max: usize,
    /// Most messages of one partition from the first one that is not processed to the newest one taken. At this many the
    /// partition is not read until half of them are done; the others go on. From 1 to 10000000, default `10000`.
    #[serde(default = "Concurrency::default_max_pending_per_partition")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_pending_per_partition: usize,
}

/// What the messages of one batch have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ConcurrencyMode {
    /// Their partition; a partition has one batch at a time, so its order is kept.
    Partition,
    /// Their partition and key; a key has one batch at a time, so its order is kept. Messages without a key have no order.
    Key,
    /// Their partition; nothing keeps an order.
    Unordered,
}

impl Concurrency {
    const fn default_max() -> usize {
        16
    }

    const fn default_max_pending_per_partition() -> usize {
        10_000
    }
}
