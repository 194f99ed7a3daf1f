//! The end of a service in the middle of its work.

use std::collections::BTreeSet;
use std::time::Instant;

use mainspring_it::Signal;
use mainspring_kafka_broker::shared;
use mainspring_testsuite::eventually;

use crate::stage::{STOP_LIMIT, Stage, check_stored_once, consumed};

#[test]
fn sigterm_in_the_middle_of_traffic_loses_nothing_and_repeats_only_what_was_not_committed() {
    let stage = Stage::on(shared());
    let first = stage.start();
    let mut told = Instant::now();
    let acknowledged = stage.traffic(&first, |traffic| {
        traffic.until_acknowledged(200);
        eventually("something to be consumed", || consumed(&first.log()).len(), |n| 50 <= *n);
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
    let committed = stage.committed();
    let by_first = consumed(&ended.log);
    let n_by_first = by_first.len();
    let by_first: BTreeSet<_> = by_first.into_iter().collect();
    assert_eq!(by_first.len(), n_by_first, "the first consumed something twice");

    let second = stage.start();
    let everything: BTreeSet<_> = stored.into_keys().collect();
    let both = || by_first.iter().cloned().chain(consumed(&second.log())).collect::<BTreeSet<_>>();
    eventually("everything stored to be consumed", both, |both| *both == everything);
    for position in consumed(&second.log()) {
        let committed = committed.get(&(position.topic.clone(), position.partition)).copied().unwrap_or(0);
        assert!(
            committed <= position.offset,
            "{position:?} was consumed again after its commit up to {committed}"
        );
    }
}
