//! No service outlives the test that started it, however the test ends.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use mainspring_it::{ServiceConfig, ServiceProcess};
use mainspring_testsuite::eventually;

use crate::example;

/// Set in the process that is killed.
const VICTIM: &str = "MAINSPRING_IT_IS_KILLED";

#[test]
fn service_ends_when_its_starter_is_killed() {
    if std::env::var_os(VICTIM).is_some() {
        run_until_killed();
    }
    let mut starter = Command::new(std::env::current_exe().expect("this test has a binary"))
        .args(["--exact", "--nocapture", "orphans::service_ends_when_its_starter_is_killed"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("this binary can be run again");
    let lines = BufReader::new(starter.stdout.take().expect("it was asked for")).lines();
    let mut lines = lines.map_while(Result::ok);
    let pid = lines.find_map(|line| line.strip_prefix("service process ").map(str::to_owned));
    let pid = pid.expect("it says so");
    assert!(is_alive(&pid), "the service does not run before its starter is killed");
    starter.kill().and_then(|()| starter.wait()).expect("it runs");
    eventually("the service to be gone", || is_alive(&pid), |alive| !alive);
}

#[expect(clippy::print_stdout, reason = "it speaks to the process that started it")]
fn run_until_killed() -> ! {
    let text = include_str!("../../testdata/failing_service.yaml");
    let config = ServiceConfig::from_text("failing_service.yaml", text).with("ledger.txt", "/dev/null");
    // No broker is needed to start, and none is there.
    let secdist = r#"{"kafka_settings": {"kafka-consumer": {"brokers": "127.0.0.1:1"}}}"#;
    let service = ServiceProcess::start(&example("failing_service"), &config, &[("SECDIST_CONFIG", secdist)]);
    println!("service process {}", service.pid());
    loop {
        std::thread::park();
    }
}

/// Whether a process exists and is more than an entry that its adoptive parent has not read yet.
fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_name, rest)| !rest.trim_start().starts_with('Z'))
}
