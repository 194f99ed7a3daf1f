//! What a service costs that has twenty consumers and twenty producers and nothing to do.

use std::time::{Duration, Instant};

use anyhow::ensure;
use mainspring_bench::{Op, Threads, resident_kb};

use crate::rounds::Plan;

/// Consumers, and as many producers.
pub(crate) const CLIENTS: usize = 20;

/// Time for connections, the join of the groups and whatever else happens once.
const SETTLING: Duration = Duration::from_secs(15);

/// How long is looked.
const PERIOD: Duration = Duration::from_secs(30);

/// What was seen.
#[derive(Debug)]
pub(crate) struct Idle {
    /// Ours, and all others, which are librdkafka's.
    pub(crate) threads: [usize; 2],
    /// Wake-ups per second of each kind.
    pub(crate) wakeups: [f64; 2],
    /// Processor time in percent of one processor.
    pub(crate) cpu_percent: f64,
    /// Mebibytes resident.
    pub(crate) memory: f64,
}

#[expect(clippy::cast_precision_loss, reason = "nothing idle wakes up 2^52 times")]
#[expect(clippy::disallowed_methods, reason = "it measures what happens in a time")]
impl Plan<'_> {
    /// Looks at an idle service whose clients have these keys.
    pub(crate) fn idle(&self, more: &[&str]) -> anyhow::Result<Idle> {
        let topic = self.topic(1)?;
        let (op, clients) = (Op::Idle.to_string(), CLIENTS.to_string());
        let arguments = [
            &[&*op, "--brokers", self.broker.bootstrap_servers(), "--topic", &topic.name],
            &["--messages", "1", "--size", "1", "--clients", &clients][..],
            more,
        ]
        .concat();
        let mut service = self.clients.mainspring.start(&arguments)?;
        let pid = service.id();
        std::thread::sleep(SETTLING);
        let before = Threads::of(pid)?;
        let began = Instant::now();
        std::thread::sleep(PERIOD);
        let (after, memory) = (Threads::of(pid)?, resident_kb(pid)? as f64 / 1024.0);
        let seconds = began.elapsed().as_secs_f64();
        let ended = service.try_wait()?;
        ensure!(ended.is_none(), "the idle service ended: {ended:?}");
        service.kill()?;
        service.wait()?;
        let mut idle = Idle { threads: [0; 2], wakeups: [0.0; 2], cpu_percent: 0.0, memory };
        for (name, activity) in after.since(&before) {
            let kind = usize::from(name.starts_with("rdk:"));
            idle.threads[kind] += activity.threads;
            idle.wakeups[kind] += activity.wakeups as f64 / seconds;
            idle.cpu_percent += 100.0 * activity.cpu / seconds;
        }
        Ok(idle)
    }
}
