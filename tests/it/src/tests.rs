//! The support itself: what it reads from a scrape.

use crate::Metrics;

#[test]
fn samples_are_summed_by_name_and_labels() {
    let metrics = Metrics::parse(
        "# HELP a_total {is} 1\na_total{topic=\"x\",partition=\"0\"} 2\na_total{topic=\"x\",partition=\"1\"} 3\n\
         a_total{topic=\"y\",partition=\"0\"} 4\nb 1.5\nmy_a_total 9\n# EOF\n",
    );
    let sum = |name: &str, labels: &[(&str, &str)]| metrics.sum(name, labels);
    assert_eq!(sum("a_total", &[("topic", "x")]), 5.0);
    assert_eq!(sum("a_total", &[("partition", "0"), ("topic", "y")]), 4.0);
    assert_eq!(sum("a_total", &[]), 9.0);
    assert_eq!(sum("b", &[]), 1.5);
    assert!(metrics.has("b", &[]) && !metrics.has("b", &[("topic", "x")]) && !metrics.has("c", &[]));
}
