//! Medians and ratios.

use mainspring_bench::Report;

use super::{Series, median};

fn report(messages: usize, seconds: f64, cpu_user: f64) -> Report {
    Report {
        client: "c".to_owned(),
        op: "produce".to_owned(),
        messages,
        bytes: 0,
        seconds,
        cpu_user,
        cpu_sys: 0.0,
        max_rss_kb: 2048,
    }
}

#[test]
fn median_is_the_middle_or_the_mean_of_two() {
    assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
    assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
    assert!(median(Vec::new()).is_nan());
}

#[test]
fn ratios_are_taken_within_a_round() {
    // A slow round slows both, and must not show in the ratio.
    let ours = Series(vec![report(1000, 1.0, 0.5), report(1000, 10.0, 5.0), report(1000, 1.0, 0.5)]);
    let theirs = Series(vec![report(1000, 2.0, 1.0), report(1000, 20.0, 10.0), report(1000, 2.0, 1.0)]);
    assert!((ours.rate_ratio(&theirs) - 2.0).abs() < 1e-9);
    assert!((ours.cpu_ratio(&theirs) - 0.5).abs() < 1e-9);
    assert!((ours.rate() - 1000.0).abs() < 1e-9);
    assert!((ours.cpu() - 500.0).abs() < 1e-9);
    assert!((ours.memory() - 2.0).abs() < 1e-9);
}
