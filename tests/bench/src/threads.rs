//! What the threads of a process do, as the kernel counts it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

/// All threads of a process at one moment.
#[derive(Debug, Clone)]
pub struct Threads(BTreeMap<String, Thread>);

#[derive(Debug, Clone)]
struct Thread {
    name: String,
    cpu: Duration,
    wakeups: u64,
}

/// What threads of one name have done between two moments.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Activity {
    /// How many there are.
    pub threads: usize,
    /// Seconds of processor time.
    pub cpu: f64,
    /// How often they gave up the processor to wait: each ends with a wake-up.
    pub wakeups: u64,
}

impl Threads {
    /// The threads of process `pid`.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn of(pid: u32) -> io::Result<Self> {
        let tasks = fs::read_dir(format!("/proc/{pid}/task"))?;
        // A thread may end between being listed and being read.
        let read =
            |task: fs::DirEntry| Some((task.file_name().into_string().ok()?, Thread::read(&task.path())?));
        Ok(Self(tasks.flatten().filter_map(read).collect()))
    }

    /// What those that were there `earlier` have done since, by name.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> BTreeMap<String, Activity> {
        let mut by_name = BTreeMap::<String, Activity>::new();
        for (id, thread) in &self.0 {
            let Some(before) = earlier.0.get(id) else { continue };
            let activity = by_name.entry(thread.name.clone()).or_default();
            activity.threads += 1;
            activity.cpu += thread.cpu.saturating_sub(before.cpu).as_secs_f64();
            activity.wakeups += thread.wakeups.saturating_sub(before.wakeups);
        }
        by_name
    }
}

impl Thread {
    fn read(task: &Path) -> Option<Self> {
        let read = |name: &str| fs::read_to_string(task.join(name)).ok();
        let nanos = read("schedstat")?.split(' ').next()?.parse().ok()?;
        let wakeups = field(&read("status")?, "voluntary_ctxt_switches:")?.parse().ok()?;
        Some(Self { name: read("comm")?.trim().to_owned(), cpu: Duration::from_nanos(nanos), wakeups })
    }
}

/// The memory that process `pid` has resident, in KiB.
///
/// # Errors
/// When there is no such process.
pub fn resident_kb(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kb = field(&status, "VmRSS:").and_then(|text| text.split(' ').next()?.parse().ok());
    kb.ok_or_else(|| io::Error::other("the process has ended"))
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}
