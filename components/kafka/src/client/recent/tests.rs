//! The average forgets what is older than a minute.

use std::time::Duration;

use tokio::time::Instant;

use super::RecentAverage;

#[test]
fn nothing_averages_to_zero() {
    assert_eq!(RecentAverage::default().get(Instant::now()), 0.0);
}

#[test]
fn values_count_for_a_minute() {
    let start = Instant::now();
    let mut average = RecentAverage::default();
    average.add(start, 30.0, 3);
    average.add(start + Duration::from_secs(30), 60.0, 1);
    assert_eq!(average.get(start + Duration::from_secs(59)), 22.5);
    assert_eq!(average.get(start + Duration::from_secs(61)), 60.0);
    assert_eq!(average.get(start + Duration::from_secs(3600)), 0.0);
}
