//! How brokers end: with the process that started them, and with the test that held them.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mainspring_kafka_broker::{Broker, BrokerOptions, TestResult};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::eventually;

#[test]
fn broker_is_gone_after_its_starter_is_killed() {
    check_gone_after(Signal::KILL);
}

#[test]
fn broker_is_gone_after_ctrl_c() {
    check_gone_after(Signal::INT);
}

/// Ends the example program together with its process group, as a terminal does, while its broker runs.
#[track_caller]
fn check_gone_after(signal: Signal) {
    let mut starter = Command::new(env!("CARGO_BIN_EXE_mainspring-kafka-broker"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .expect("the program of this package was built with its tests");
    let lines = BufReader::new(starter.stdout.take().expect("stdout was asked for")).lines();
    let lines: Vec<String> = lines.map_while(Result::ok).take(3).collect();
    let value = |prefix: &str| lines.iter().find_map(|line| line.strip_prefix(prefix)).expect("it says so");
    let pid = value("kafka process ").to_owned();
    let log = PathBuf::from(value("log "));
    assert!(is_alive(&pid), "the broker does not run before its starter is ended");

    kill_process_group(Pid::from_child(&starter), signal).expect("the starter runs");
    starter.wait().expect("it can be waited for");
    let session = log.parent().and_then(Path::parent).expect("the log is in the session's node's directory");
    eventually(|| if is_alive(&pid) { Err(format!("process {pid} is alive")) } else { Ok(()) });
    eventually(|| if session.exists() { Err(format!("{} exists", session.display())) } else { Ok(()) });
}

/// Set in the process that fails on purpose.
const VICTIM: &str = "MAINSPRING_BROKER_TEST_FAILS";

#[test]
fn panic_of_its_test_ends_a_broker_and_keeps_its_log() {
    if is_victim() {
        let broker = Broker::start(BrokerOptions::default()).expect("it starts");
        tell(&broker);
        panic!("on purpose");
    }
    check_kept_after_failure_of("lifetime::panic_of_its_test_ends_a_broker_and_keeps_its_log", "on purpose");
}

#[test]
fn error_of_its_test_ends_a_broker_and_keeps_its_log() -> TestResult {
    if is_victim() {
        let broker = Broker::start(BrokerOptions::default())?;
        tell(&broker);
        broker.delete_topic("missing")?;
    }
    check_kept_after_failure_of(
        "lifetime::error_of_its_test_ends_a_broker_and_keeps_its_log",
        "Error: cannot delete topic `missing`: Admin operation error: UnknownTopicOrPartition",
    );
    Ok(())
}

fn is_victim() -> bool {
    std::env::var_os(VICTIM).is_some()
}

#[expect(clippy::print_stdout, reason = "it speaks to the process that started it")]
fn tell(broker: &Broker) {
    println!("kafka process {}\nlog {}", broker.pid().expect("it runs"), broker.log_path().display());
}

/// Runs a test of this binary in a process of its own, where it fails for this reason.
#[track_caller]
fn check_kept_after_failure_of(test: &str, reason: &str) {
    let this = std::env::current_exe().expect("this test has a binary");
    let output = Command::new(this).args(["--exact", "--nocapture", test]).env(VICTIM, "1").output();
    let output = output.expect("this binary can be run again");
    let said = [&output.stdout[..], &output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(!output.status.success() && said.contains(reason), "{said}");
    let value = |prefix: &str| said.lines().find_map(|line| line.strip_prefix(prefix)).expect("it says so");
    assert!(!is_alive(value("kafka process ")), "the broker is alive after the failure");
    let log = PathBuf::from(value("log "));
    let session = log.parent().and_then(Path::parent).expect("the log is in the session's node's directory");
    assert!(log.exists(), "the log is gone");
    assert!(said.contains(&format!("the broker's files are kept in {}\n", session.display())), "{said}");
    assert!(said.contains("Kafka Server started"), "the end of the log is not shown: {said}");
    fs::remove_dir_all(session).expect("it is ours");
}

/// Whether a process exists and is more than an entry that its adoptive parent has not read yet.
fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_name, rest)| !rest.trim_start().starts_with('Z'))
}
