//! Several instances of one group.

use std::collections::{BTreeMap, BTreeSet};

use mainspring_it::{ServiceConfig, ServiceProcess};
use mainspring_kafka_broker::shared;
use mainspring_testsuite::eventually;

use crate::stage::{N_PARTITIONS, Position, Stage, consumed, ends, request};

/// Short sessions, so that a killed member is soon found out; long enough for a member that shares two cores with a JVM.
fn with_short_sessions(config: ServiceConfig) -> ServiceConfig {
    config.with(
        "            restart_after_failure_delay: 1s\n",
        "            restart_after_failure_delay: 1s\n            \
         rd_kafka_custom_options: {session.timeout.ms: '6000', heartbeat.interval.ms: '1000'}\n",
    )
}

fn n_assigned(service: &ServiceProcess) -> f64 {
    service.metrics().sum("kafka_consumer_assigned_partitions", &[])
}

#[test]
fn instances_share_partitions_and_one_takes_over_when_the_other_is_killed() {
    let stage = Stage::on(shared());
    let config = with_short_sessions(stage.config());
    let all = f64::from(2 * N_PARTITIONS);
    let first = stage.start_with(&config);
    eventually("the first to have all", || n_assigned(&first), |n| *n == all);
    let second = stage.start_with(&config);
    eventually(
        "both to share",
        || (n_assigned(&first), n_assigned(&second)),
        |(a, b)| 0.0 < *a && 0.0 < *b && a + b == all,
    );

    let post = |numbers: std::ops::Range<usize>| {
        for n in numbers {
            let body = request(&stage.topics[n % 2], &n.to_string(), &n.to_string());
            assert_eq!(second.post("/produce", &body).status, 200);
        }
    };
    post(0..100);
    let shared_out = || (consumed(&first.log()), consumed(&second.log()));
    let (of_first, of_second) =
        eventually("all records of both", shared_out, |(a, b)| 100 <= a.len() + b.len());
    assert!(!of_first.is_empty() && !of_second.is_empty(), "one has nothing: {of_first:?}, {of_second:?}");
    let partitions = |positions: &[Position]| -> BTreeSet<(String, i32)> {
        positions.iter().map(Position::topic_partition).collect()
    };
    assert!(partitions(&of_first).is_disjoint(&partitions(&of_second)), "a partition was read by both");

    let before = stage.stored();
    assert_eq!(before.len(), 100);
    let before_ends = ends(before.keys());
    eventually("everything to be committed", || stage.committed(), |committed| *committed == before_ends);
    // Dropped is killed, without a chance to leave the group.
    drop(first);
    post(100..200);
    eventually("the second to have all", || n_assigned(&second), |n| *n == all);
    let after: BTreeSet<_> = stage.stored().into_keys().filter(|at| !before.contains_key(at)).collect();
    assert_eq!(after.len(), 100);
    let taken_over: BTreeMap<_, _> =
        ends(&after).into_iter().filter(|(at, _)| partitions(&of_first).contains(at)).collect();
    assert!(!taken_over.is_empty(), "nothing was written to the partitions of the first");
    // What it is given from now on is all that was written since, and nothing that was committed before.
    let since = || consumed(&second.log()).split_off(of_second.len()).into_iter().collect::<BTreeSet<_>>();
    let seen = eventually("everything written since to be consumed", since, |seen| after.is_subset(seen));
    assert_eq!(seen, after, "what was committed was read again");
}
