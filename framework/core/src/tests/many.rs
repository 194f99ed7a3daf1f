//! A thousand components in random graphs load and stop in order.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::support::Script;

const COMPONENTS: usize = 1_000;

/// For each component, up to four of those before it; shuffled names hide that order from the service.
fn graphs() -> impl Strategy<Value = (Vec<String>, Vec<Vec<usize>>)> {
    let names: Vec<_> = (0..COMPONENTS).map(|idx| format!("c{idx}")).collect();
    let dependencies: Vec<_> =
        (0..COMPONENTS).map(|idx| prop::collection::vec(0..idx.max(1), 0..=4.min(idx))).collect();
    (Just(names).prop_shuffle(), dependencies)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, max_shrink_iters: 16, ..ProptestConfig::default() })]

    #[test]
    fn a_thousand_components_load_and_stop_in_dependency_order((names, dependencies) in graphs()) {
        let mut script = Script::default();
        for (idx, needed) in dependencies.iter().enumerate() {
            let needed: Vec<_> = needed.iter().map(|other| names[*other].as_str()).collect();
            script = script.needs(&names[idx], &needed);
        }
        let journal = script.journal.clone();
        let began = Instant::now();
        let names_only: Vec<_> = names.iter().map(String::as_str).collect();
        let report = script.run(&names_only).unwrap();
        prop_assert!(report.unfinished.is_empty());
        // Generous for a loaded machine; it takes well under a second.
        prop_assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        for (verb, dependencies_first) in [("load", true), ("loaded", true), ("stopping", false), ("stop", false)] {
            let order = journal.of(verb);
            prop_assert_eq!(order.len(), COMPONENTS);
            let place: HashMap<_, _> = order.iter().enumerate().map(|(place, name)| (name.as_str(), place)).collect();
            for (idx, needed) in dependencies.iter().enumerate() {
                for other in needed {
                    let (own, other) = (place[names[idx].as_str()], place[names[*other].as_str()]);
                    prop_assert_eq!(other < own, dependencies_first, "{} of {}", verb, &names[idx]);
                }
            }
        }
    }
}
