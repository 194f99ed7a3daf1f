//! How brokers end: with the process that started them, and with the test that held them.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use mainspring_kafka_broker::{Broker, BrokerOptions};
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

#[test]
fn panic_of_its_test_ends_a_broker_and_keeps_its_log() {
    let (tell, told) = mpsc::channel();
    let failed = thread::scope(|scope| {
        let test = scope.spawn(move || {
            let broker = Broker::start(BrokerOptions::default()).expect("it starts");
            tell.send((broker.pid(), broker.log_path())).expect("somebody listens");
            panic!("on purpose");
        });
        test.join()
    });
    assert!(failed.is_err());
    let (pid, log) = told.recv().expect("it was told before the panic");
    let pid = pid.expect("it was started").to_string();
    assert!(!is_alive(&pid), "the broker is alive after the panic");
    assert!(log.exists(), "the log is gone");
    // It was not a real failure: let the guardian clean up.
    let keep = log.parent().and_then(Path::parent).expect("the log is in the session").join("keep");
    fs::remove_file(keep).expect("the panic left a mark");
}

/// Whether a process exists and is more than an entry that its adoptive parent has not read yet.
fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_name, rest)| !rest.trim_start().starts_with('Z'))
}
