//! Several instances of one group.

use std::collections::BTreeSet;

use mainspring_it::{ServiceConfig, ServiceProcess};
use mainspring_kafka_broker::shared;
use mainspring_testsuite::eventually;

use crate::stage::{N_PARTITIONS, Stage, consumed, request};

/// Short sessions, so that a killed member is soon found out.
fn with_short_sessions(config: ServiceConfig) -> ServiceConfig {
    config.with(
        "            restart_after_failure_delay: 1s\n",
        "            restart_after_failure_delay: 1s\n            \
         rd_kafka_custom_options: {session.timeout.ms: '3000', heartbeat.interval.ms: '500'}\n",
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
    let partitions = |positions: &[crate::stage::Position]| -> BTreeSet<(String, i32)> {
        positions.iter().map(|at| (at.topic.clone(), at.partition)).collect()
    };
    assert!(partitions(&of_first).is_disjoint(&partitions(&of_second)), "a partition was read by both");

    // Dropped is killed, without a chance to leave the group.
    drop(first);
    post(100..200);
    eventually("the second to have all", || n_assigned(&second), |n| *n == all);
    let stored: BTreeSet<_> = stage.stored().into_keys().collect();
    assert_eq!(stored.len(), 200);
    let seen = || of_first.iter().cloned().chain(consumed(&second.log())).collect::<BTreeSet<_>>();
    eventually("everything stored to be consumed", seen, |seen| *seen == stored);
}
