//! What the figures were measured on.

use std::fs;
use std::process::Command;

/// The machine and the versions, in one sentence each.
pub(crate) fn facts() -> Vec<String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    vec![
        format!("{processors} processors ({}), {} of memory", model.unwrap_or("unknown"), memory.trim()),
        format!("Linux {}", said(Command::new("uname").arg("-r"))),
        said(Command::new("rustc").arg("--version")),
        said(Command::new("cc").arg("--version")),
        said(Command::new("go").arg("version")),
        format!("load before the first measurement {load} (of whatever else ran)"),
    ]
}

/// The first line that a program prints.
fn said(command: &mut Command) -> String {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().ok().filter(|output| output.status.success());
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.as_deref().and_then(|text| text.lines().next()).map_or_else(|| format!("no {name}"), str::to_owned)
}
