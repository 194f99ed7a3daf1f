//! What a service costs that has nothing to do: threads, processor time, wake-ups, memory.
//!
//! ```text
//! cargo build --release -p kafka_service
//! cargo run -p mainspring-it --example idle -- target/release/kafka_service kafka_service_embedded.yaml 30
//! ```
//!
//! The second argument is a file of `configs/`, which is used with free ports; the third says for how many seconds to
//! look (default 30). `SECDIST_CONFIG` is handed on. The figures are the kernel's, read from `/proc`.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use mainspring_it::{ServiceConfig, ServiceProcess};

/// Time for connections, the join of the group and the first commits.
const SETTLING: Duration = Duration::from_secs(10);

/// One thread at one moment.
#[derive(Debug, Clone)]
struct Thread {
    name: String,
    cpu: Duration,
    wakeups: u64,
}

#[expect(clippy::print_stdout, reason = "the figures are its output")]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [binary, config, rest @ ..] = &arguments[..] else {
        println!("usage: idle <binary> <file of configs/> [seconds]");
        return;
    };
    let period =
        Duration::from_secs(rest.first().map_or(30, |text| text.parse().expect("a number of seconds")));
    #[expect(clippy::disallowed_methods, reason = "this is a `main`")]
    let secdist = std::env::var("SECDIST_CONFIG");
    let env: Vec<_> = secdist.iter().map(|text| ("SECDIST_CONFIG", text.as_str())).collect();
    let service = ServiceProcess::start(binary, &ServiceConfig::of(config), &env);

    pass(SETTLING);
    let before = threads(service.pid());
    let began = Instant::now();
    pass(period);
    let (after, seconds) = (threads(service.pid()), began.elapsed().as_secs_f64());

    let mut by_name: BTreeMap<&str, (usize, f64, f64)> = BTreeMap::new();
    for (id, thread) in &after {
        let Some(earlier) = before.get(id) else { continue };
        let (count, cpu, wakeups) = by_name.entry(&thread.name).or_default();
        *count += 1;
        *cpu += thread.cpu.saturating_sub(earlier.cpu).as_secs_f64();
        *wakeups += f64::from(u32::try_from(thread.wakeups - earlier.wakeups).expect("few by the second"));
    }
    println!("{:<16} {:>7} {:>9} {:>11}", "thread", "threads", "% of CPU", "wake-ups/s");
    for (name, (count, cpu, wakeups)) in &by_name {
        println!("{name:<16} {count:>7} {:>9.3} {:>11.1}", 100.0 * cpu / seconds, wakeups / seconds);
    }
    let total = |of: fn(&(usize, f64, f64)) -> f64| by_name.values().map(of).sum::<f64>();
    println!(
        "{:<16} {:>7} {:>9.3} {:>11.1}\nresident memory  {}",
        "all",
        after.len(),
        100.0 * total(|(_, cpu, _)| *cpu) / seconds,
        total(|(_, _, wakeups)| *wakeups) / seconds,
        resident(service.pid()),
    );
    assert_eq!(service.stop().code, Some(0), "the service did not end well");
}

fn threads(pid: u32) -> BTreeMap<String, Thread> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the service runs");
    // A thread may end between being listed and being read.
    tasks
        .flatten()
        .filter_map(|task| Some((task.file_name().into_string().ok()?, thread(&task.path())?)))
        .collect()
}

fn thread(task: &std::path::Path) -> Option<Thread> {
    let read = |name: &str| fs::read_to_string(task.join(name)).ok();
    let nanos = read("schedstat")?.split(' ').next()?.parse().ok()?;
    let status = read("status")?;
    let wakeups = field(&status, "voluntary_ctxt_switches:")?.parse().ok()?;
    Some(Thread { name: read("comm")?.trim().to_owned(), cpu: Duration::from_nanos(nanos), wakeups })
}

fn resident(pid: u32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the service runs");
    field(&status, "VmRSS:").expect("every process has some").to_owned()
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

#[expect(clippy::disallowed_methods, reason = "it measures what happens in a time")]
fn pass(time: Duration) {
    std::thread::sleep(time);
}
