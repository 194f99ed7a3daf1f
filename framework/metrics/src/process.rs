//! What the operating system says about this process, and what this build is.

use std::fs;
use std::path::Path;

use crate::family::Family;
use crate::registry::Collector;
use crate::snapshot::{Snapshot, TARGET};
use crate::userver::UserverView;

static CPU: Family = Family::counter("process_cpu_seconds", "User and system CPU time spent.");
static RESIDENT: Family = Family::gauge("process_resident_memory_bytes", "Resident memory size.");
static OPEN_FDS: Family = Family::gauge("process_open_fds", "Open file descriptors.");
static MAX_FDS: Family = Family::gauge("process_max_fds", "Most file descriptors that may be open.");
static START: Family =
    Family::gauge("process_start_time_seconds", "Start of the process since the Unix epoch.");
static THREADS: Family = Family::gauge("process_threads", "Threads of the process.");
static BUILD: Family = Family::info("mainspring_build", "The framework's build this service contains.");
static TARGET_INFO: Family = Family::info(TARGET, "What is scraped, as OpenTelemetry describes a resource.");

/// Where the running program comes from; the labels of `mainspring_build_info`.
#[derive(Debug, Clone)]
pub struct BuildInfo {
    /// Version of the framework.
    pub version: &'static str,
    /// Commit it was built from, when the build says so through the variable `MAINSPRING_REVISION`.
    pub revision: &'static str,
    /// Compiler version.
    pub rustc: &'static str,
    /// Target triple.
    pub target: &'static str,
}

impl BuildInfo {
    /// This build of the framework.
    #[must_use]
    pub const fn current() -> BuildInfo {
        let revision = match option_env!("MAINSPRING_REVISION") {
            Some(revision) => revision,
            None => "unknown",
        };
        BuildInfo {
            version: env!("CARGO_PKG_VERSION"),
            revision,
            rustc: env!("MAINSPRING_RUSTC"),
            target: env!("MAINSPRING_TARGET"),
        }
    }
}

/// Reports `process_*`, `mainspring_build_info` and `target_info`. What `/proc` does not offer is left out.
#[derive(Debug, Clone)]
pub struct ProcessCollector {
    build: BuildInfo,
    /// The labels of `target_info`: attributes of a resource in OpenTelemetry's words, with `_` for `.`.
    resource: Vec<(&'static str, String)>,
}

impl ProcessCollector {
    /// A collector that says `build` is what runs.
    #[must_use]
    pub fn new(build: BuildInfo) -> ProcessCollector {
        let executable = std::env::current_exe().ok();
        let executable = executable.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy());
        let host = fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let known = [
            ("host_arch", Some(std::env::consts::ARCH.to_owned())),
            ("host_name", host.map(|name| name.trim().to_owned())),
            ("os_type", Some(std::env::consts::OS.to_owned())),
            ("process_executable_name", executable.map(|name| name.into_owned())),
            ("process_pid", Some(std::process::id().to_string())),
            ("telemetry_sdk_language", Some("rust".to_owned())),
            ("telemetry_sdk_name", Some("mainspring".to_owned())),
            ("telemetry_sdk_version", Some(build.version.to_owned())),
        ];
        let resource = known.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        ProcessCollector { build, resource }
    }
}

impl Collector for ProcessCollector {
    fn collect(&self, snapshot: &mut Snapshot) {
        let BuildInfo { version, revision, rustc, target } = self.build;
        let labels = [("version", version), ("revision", revision), ("rustc", rustc), ("target", target)];
        snapshot.info(&BUILD, &labels);
        let resource: Vec<_> = self.resource.iter().map(|(name, value)| (*name, value.as_str())).collect();
        snapshot.info(&TARGET_INFO, &resource);

        if let Some(stat) = Stat::read() {
            snapshot.counter_f64(&CPU, &[], stat.cpu_seconds);
            snapshot.gauge(&THREADS, &[], stat.threads);
            snapshot.gauge(&RESIDENT, &[], stat.resident_bytes);
            if let Some(boot) = boot_time_seconds() {
                snapshot.gauge(&START, &[], boot + stat.started_seconds_after_boot);
            }
        }
        if let Some(open) = open_fds() {
            snapshot.gauge(&OPEN_FDS, &[], open);
        }
        if let Some(max) = max_fds() {
            snapshot.gauge(&MAX_FDS, &[], max);
        }
    }

    fn collect_userver(&self, view: &mut UserverView) {
        if let Some(stat) = Stat::read() {
            view.gauge("cpu_time_sec", &[], stat.cpu_seconds);
            view.gauge("rss_kb", &[], stat.resident_bytes / 1024.0);
            view.gauge("major_pagefaults", &[], stat.major_faults);
        }
        if let Some(open) = open_fds() {
            view.gauge("open_files", &[], open);
        }
    }
}

/// The fields of `/proc/self/stat` in use; see `proc_pid_stat(5)`, which numbers them from 1.
struct Stat {
    major_faults: f64,
    cpu_seconds: f64,
    threads: f64,
    started_seconds_after_boot: f64,
    resident_bytes: f64,
}

impl Stat {
    fn read() -> Option<Stat> {
        Stat::parse(&fs::read_to_string("/proc/self/stat").ok()?)
    }

    fn parse(text: &str) -> Option<Stat> {
        // The second field is the program's name in parentheses and may contain anything, `)` included.
        let (_, after_name) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
        let number = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
        let seconds = |field: usize| Some(number(field)? / ticks_per_second);
        Some(Stat {
            major_faults: number(12)?,
            cpu_seconds: seconds(14)? + seconds(15)?,
            threads: number(20)?,
            started_seconds_after_boot: seconds(22)?,
            resident_bytes: number(24)? * rustix::param::page_size() as f64,
        })
    }
}

fn boot_time_seconds() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn open_fds() -> Option<f64> {
    // One of them is the directory being read.
    let open = fs::read_dir("/proc/self/fd").ok()?.count();
    Some(open.saturating_sub(1) as f64)
}

/// `None` too when there is no limit.
fn max_fds() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/limits").ok()?;
    let limits = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    limits.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests;
