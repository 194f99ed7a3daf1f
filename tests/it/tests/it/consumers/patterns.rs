//! Subscriptions by pattern: topics that come later, and none at all.

use std::fs;
use std::time::{Duration, Instant};

use mainspring_kafka_broker::unique_name;
use mainspring_testsuite::eventually;

use crate::consumers::stage::{Stage, wait};

fn check_a_topic_that_comes_later_is_read(options: &str) {
    let stage = Stage::new();
    let prefix = unique_name("bills");
    let options = format!("topics: ['^{prefix}-.*']\ntopic_metadata_refresh_interval: 200ms\n{options}");
    let member = stage.member("reader", &options);
    let topics = ["a", "b"].map(|name| format!("{prefix}-{name}"));
    for (idx, topic) in topics.iter().enumerate() {
        stage.client.create_topic(topic, 2).expect("the topic is new");
        let assigned = || member.running().assignment().iter().filter(|it| *it.topic == **topic).count();
        eventually("the topic to be assigned", assigned, |n| *n == 2);
        stage.client.write(topic, "key", "value").expect("it is written");
        eventually("its record", || stage.ledger.len(), |n| *n == idx + 1);
    }
    let other = format!("other-{prefix}");
    stage.client.create_topic(&other, 1).expect("the topic is new");
    stage.client.write(&topics[0], "key", "value").expect("it is written");
    eventually("one more record", || stage.ledger.len(), |n| *n == 3);
    assert!(member.running().assignment().iter().all(|it| *it.topic != *other), "it does not match");
    member.leave();
}

#[test]
fn a_matching_topic_that_comes_later_is_read_in_a_classic_group() {
    check_a_topic_that_comes_later_is_read("group_protocol: classic");
}

#[test]
fn a_matching_topic_that_comes_later_is_read_in_a_consumer_group() {
    check_a_topic_that_comes_later_is_read("group_protocol: consumer");
}

/// CPU time that the main threads of librdkafka's clients in this process have used so far.
fn cpu_of_main_threads() -> Duration {
    let (mut ticks, mut n_threads) = (0, 0);
    for task in fs::read_dir("/proc/self/task").expect("Linux has it") {
        let task = task.expect("it can be listed").path();
        // A thread may end meanwhile.
        let (Ok(name), Ok(stat)) =
            (fs::read_to_string(task.join("comm")), fs::read_to_string(task.join("stat")))
        else {
            continue;
        };
        let Some((_, fields)) = stat.rsplit_once(')').filter(|_| name.starts_with("rdk:main")) else {
            continue;
        };
        let fields: Vec<u64> = fields.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
        // utime and stime are the 14th and 15th field, 12th and 13th after the name.
        ticks += fields[11] + fields[12];
        n_threads += 1;
    }
    assert!(0 < n_threads, "a consumer has such a thread");
    // USER_HZ is 100 on every Linux.
    Duration::from_millis(ticks * 10)
}

#[test]
fn a_pattern_that_matches_nothing_costs_no_cpu() {
    // librdkafka 2.10.0 to 2.13.1 spin with some such subscriptions (#5324). Its threads are named `rdk:...`; those of other tests
    // in this process count too, so the bound is that of a thread that spins.
    let stage = Stage::new();
    for protocol in ["classic", "consumer"] {
        let pattern = unique_name("nothing");
        let options = format!("topics: ['^{pattern}-.*']\ngroup_protocol: {protocol}");
        let member = stage.member("reader", &options);
        eventually(
            "the group to be joined",
            || member.service.log(),
            |log| log.iter().any(|line| line == "Started consuming"),
        );
        // Nothing announces that nothing happens: this is how long it is watched.
        let (began, before) = (Instant::now(), cpu_of_main_threads());
        wait(Duration::from_secs(4));
        let used = cpu_of_main_threads().saturating_sub(before);
        assert!(used * 10 < began.elapsed(), "{protocol}: {used:?} in {:?}", began.elapsed());
        member.leave();
    }
}
