//! A service with nothing to do does nothing.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mainspring_bench::{Activity, Threads};
use mainspring_kafka_broker::{Client, shared, unique_name};
use mainspring_testsuite::eventually;

const CLIENTS: usize = 5;

/// How long nothing may happen.
const PERIOD: Duration = Duration::from_secs(1);

/// A service, ended when dropped.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.0.kill().and_then(|()| self.0.wait()).is_ok();
    }
}

#[test]
fn idle_consumers_and_producers_wake_none_of_our_threads() {
    let client: &Client = shared();
    let topic = unique_name("bench");
    client.create_topic(&topic, 1).expect("the topic is new");
    let service = Command::new(env!("CARGO_BIN_EXE_kafka_bench"))
        .args(["idle", "--brokers", client.bootstrap_servers(), "--topic", &topic])
        .args(["--messages", "1", "--size", "1", "--clients", &CLIENTS.to_string()])
        // librdkafka's timer for statistics wakes us up, which is its business.
        .args(["--key", "statistics_interval=0s"])
        .stdin(Stdio::null())
        .spawn();
    let service = Service(service.expect("cargo has built it"));
    let look = || {
        let before = Threads::of(service.0.id()).expect("it runs");
        pass(PERIOD);
        Threads::of(service.0.id()).expect("it runs").since(&before)
    };
    let seen = eventually("a second without a wake-up of ours", look, |seen| {
        let of_librdkafka: Activity = seen.iter().filter(|(name, _)| name.starts_with("rdk:")).fold(
            Activity::default(),
            |sum, (_, activity)| Activity { threads: sum.threads + activity.threads, ..sum },
        );
        // Every client has its main thread and those of its broker and of its bootstrap server by then.
        let all_are_there = 3 * 2 * CLIENTS <= of_librdkafka.threads;
        let ours = seen.iter().filter(|(name, _)| !name.starts_with("rdk:"));
        all_are_there && ours.map(|(_, activity)| activity.wakeups).sum::<u64>() == 0
    });
    for worker in ["main-worker", "consumer-worker", "producer-worker"] {
        assert!(seen.contains_key(worker), "no `{worker}` among {seen:?}");
    }
}

#[expect(clippy::disallowed_methods, reason = "it watches what happens in a time")]
fn pass(time: Duration) {
    std::thread::sleep(time);
}
