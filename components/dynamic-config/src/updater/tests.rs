//! The waits between two updates.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Chance;

#[test]
fn waits_differ_and_stay_within_the_jitter() {
    let mut chance = Chance::seeded(42);
    let (middle, jitter) = (Duration::from_secs(5), Duration::from_millis(500));
    let waits: BTreeSet<_> = (0..1000).map(|_| chance.around(middle, jitter)).collect();
    assert!(900 < waits.len(), "{} different ones", waits.len());
    assert!(waits.first().is_some_and(|wait| middle <= *wait + jitter && *wait < middle));
    assert!(waits.last().is_some_and(|wait| middle < *wait && *wait <= middle + jitter));
}
