//! Members that come and go under traffic, under every group protocol: each record comes once, in order, to somebody.

use mainspring_testsuite::eventually;

use crate::consumers::stage::{N_PARTITIONS, Stage};

/// Members join one after another and leave again while records are written.
#[track_caller]
fn check_members_come_and_go(options: &str) {
    let stage = Stage::new();
    let n_records = stage.under_traffic(|| {
        let first = stage.member("first", options);
        stage.until_shared(&[&first]);
        let second = stage.member("second", options);
        stage.until_shared(&[&first, &second]);
        let third = stage.member("third", options);
        stage.until_shared(&[&first, &second, &third]);
        first.leave();
        stage.until_shared(&[&second, &third]);
        second.leave();
        stage.until_shared(&[&third]);
        third.leave();
    });
    // Whatever nobody was given yet comes to one that joins at last.
    let last = stage.member("last", options);
    stage.until_all_came(n_records);
    last.leave();
    stage.ledger.check_each_once(n_records);
    let entries = stage.ledger.entries();
    for member in ["first", "second", "third"] {
        assert!(entries.iter().any(|entry| entry.member == member), "{member} was given nothing");
    }
    let committed = stage.client.committed(&stage.group, &stage.topic).expect("the group is known");
    let ends = stage.ledger.offsets().into_iter();
    assert!(
        ends.eq(committed
            .into_iter()
            .map(|(partition, offset)| ((stage.topic.clone(), partition), (0..offset).collect())))
    );
}

#[test]
fn members_come_and_go_under_the_eager_protocol() {
    check_members_come_and_go("partition_assignment_strategy: [range]");
}

#[test]
fn members_come_and_go_under_the_cooperative_protocol() {
    check_members_come_and_go("partition_assignment_strategy: [cooperative-sticky]");
}

#[test]
fn members_come_and_go_under_the_consumer_protocol() {
    check_members_come_and_go("group_protocol: consumer\ngroup_remote_assignor: uniform");
}

#[test]
fn a_cooperative_member_keeps_reading_what_it_keeps() {
    let stage = Stage::new();
    let options = "partition_assignment_strategy: [cooperative-sticky]";
    let first = stage.member("first", options);
    stage.until_shared(&[&first]);
    let second = stage.member("second", options);
    stage.until_shared(&[&first, &second]);
    eventually("half of them each", || (first.n_assigned(), second.n_assigned()), |both| *both == (3, 3));
    let topic = &stage.topic;
    let revoked = first.service.log().iter().filter(|line| *line == "Partition revoked").count();
    assert_eq!(revoked, 3, "only what changed hands, of {N_PARTITIONS} partitions of `{topic}`");
}

#[test]
fn a_running_group_goes_over_to_the_consumer_protocol_member_by_member() {
    let stage = Stage::new();
    let (classic, consumer) = ("group_protocol: classic", "group_protocol: consumer");
    let n_records = stage.under_traffic(|| {
        let first = stage.member("first, classic", classic);
        let second = stage.member("second, classic", classic);
        stage.until_shared(&[&first, &second]);
        first.leave();
        stage.until_shared(&[&second]);
        // From here on there are both kinds in one group.
        let first = stage.member("first, consumer", consumer);
        stage.until_shared(&[&first, &second]);
        let before = stage.ledger.len();
        eventually(
            "both to be given something",
            || stage.ledger.entries().split_off(before),
            |entries| {
                ["first, consumer", "second, classic"]
                    .iter()
                    .all(|member| entries.iter().any(|it| it.member == *member))
            },
        );
        second.leave();
        stage.until_shared(&[&first]);
        let second = stage.member("second, consumer", consumer);
        stage.until_shared(&[&first, &second]);
        first.leave();
        second.leave();
    });
    let last = stage.member("last", consumer);
    stage.until_all_came(n_records);
    last.leave();
    stage.ledger.check_each_once(n_records);
}
