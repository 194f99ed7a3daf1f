//! The end of a service in the middle of its work.

use std::collections::BTreeSet;
use std::time::Instant;

use mainspring_it::Signal;
use mainspring_kafka_broker::shared;
use mainspring_testsuite::eventually;

use crate::stage::{STOP_LIMIT, Stage, check_stored_once, consumed, ends};

/// Written at once while the service consumes five at a time, so that its end finds it in the middle of its work.
const N_BACKLOG: usize = 20_000;

#[test]
fn sigterm_in_the_middle_of_traffic_loses_nothing_and_repeats_only_what_was_not_committed() {
    let stage = Stage::on(shared());
    let first = stage.start();
    let mut told = Instant::now();
    let acknowledged = stage.traffic(&first, |traffic| {
        traffic.until_acknowledged(200);
        eventually("something to be consumed", || consumed(&first.log()).len(), |n| 50 <= *n);
        let backlog = (0..N_BACKLOG).map(|n| format!("backlog-{n}")).map(|text| (text.clone(), text));
        stage.client.write_all(&stage.topics[0], backlog).expect("it is written");
        first.signal(Signal::TERM);
        told = Instant::now();
        // The writers go on until nobody answers.
        first.until_logged("Service stopped");
    });
    let ended = first.ended();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(told.elapsed() < STOP_LIMIT, "it took {:?}", told.elapsed());

    let stored = stage.stored();
    check_stored_once(&stored, &acknowledged);
    let by_first = consumed(&ended.log);
    let n_by_first = by_first.len();
    let by_first: BTreeSet<_> = by_first.into_iter().collect();
    assert_eq!(by_first.len(), n_by_first, "the first consumed something twice");
    let committed = stage.committed();
    assert!(!committed.is_empty(), "the first committed nothing");
    // A commit covers nothing that the callback was not given.
    let given = ends(&by_first);
    for (at, offset) in &committed {
        let given = given.get(at).copied().unwrap_or(0);
        assert!(*offset <= given, "{at:?} is committed up to {offset}, but was given up to {given}");
    }
    assert_ne!(committed, ends(stored.keys()), "the first left nothing to do");

    // A marker at the end of each partition tells when the second has read all that comes before.
    stage.mark_ends();
    let everything: BTreeSet<_> = stage.stored().into_keys().collect();
    let second = stage.start();
    let has_ended = |seen: &BTreeSet<_>| ends(seen) == ends(&everything);
    let by_second = || consumed(&second.log()).into_iter().collect::<BTreeSet<_>>();
    let by_second = eventually("the markers to be consumed", by_second, has_ended);
    let lost: Vec<_> =
        everything.iter().filter(|at| !by_first.contains(at) && !by_second.contains(at)).collect();
    assert!(lost.is_empty(), "consumed by nobody: {lost:?}");
    for position in by_second {
        let committed = committed.get(&position.topic_partition()).copied().unwrap_or(0);
        assert!(
            committed <= position.offset,
            "{position:?} was read again after its commit up to {committed}"
        );
    }
}
