//! What a process costs that has nothing to do: threads, processor time, wake-ups, memory.
//!
//! ```text
//! cargo run -p mainspring-bench --bin idle -- <process id> [seconds]
//! ```
//!
//! Looks for 30 seconds unless told otherwise. The figures are the kernel's, read from `/proc`.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use mainspring_bench::{Activity, Threads, resident_kb};

#[derive(Debug, Parser)]
#[command(name = "idle", about = "Shows what the threads of a process do.")]
struct Flags {
    /// The process.
    pid: u32,
    /// For how many seconds to look.
    #[arg(default_value_t = 30)]
    seconds: u64,
}

#[expect(clippy::print_stdout, reason = "the figures are its output")]
#[expect(clippy::disallowed_methods, reason = "it measures what happens in a time")]
fn main() -> anyhow::Result<()> {
    let Flags { pid, seconds } = Flags::parse();
    let there_is = || format!("there is no process {pid}");
    let before = Threads::of(pid).with_context(there_is)?;
    let began = Instant::now();
    std::thread::sleep(Duration::from_secs(seconds));
    let (after, seconds) = (Threads::of(pid).with_context(there_is)?, began.elapsed().as_secs_f64());
    println!("{:<16} {:>7} {:>9} {:>11}", "thread", "threads", "% of CPU", "wake-ups/s");
    let mut all = Activity::default();
    for (name, activity) in after.since(&before) {
        print(&name, &activity, seconds);
        all.threads += activity.threads;
        all.cpu += activity.cpu;
        all.wakeups += activity.wakeups;
    }
    print("all", &all, seconds);
    println!("resident memory  {} KiB", resident_kb(pid)?);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the figures are its output")]
#[expect(clippy::cast_precision_loss, reason = "a thread does not wake up 2^52 times")]
fn print(name: &str, activity: &Activity, seconds: f64) {
    let Activity { threads, cpu, wakeups } = activity;
    println!("{name:<16} {threads:>7} {:>9.3} {:>11.2}", 100.0 * cpu / seconds, *wakeups as f64 / seconds);
}
