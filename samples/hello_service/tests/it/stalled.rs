//! The service when what it writes to is stuck: it ends all the same, and signals are heard.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, PipeReader};
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, Command, Stdio};

use mainspring_it::{ConfigFile, ServiceConfig, ServiceProcess, Signal};
use mainspring_testsuite::eventually;
use tempfile::TempDir;

use crate::{BINARY, CONFIG};

/// A service whose standard error is a full pipe that nobody reads. Killed when dropped.
struct Stalled {
    child: Child,
    directory: TempDir,
    _config: ConfigFile,
    _nobody_reads: PipeReader,
}

impl Stalled {
    #[track_caller]
    fn start(grace: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        // What the test has to know goes to a file; everything else to standard error, as usual.
        let lifecycle = directory.path().join("lifecycle.log");
        let loggers = format!(
            "loggers:\n                mainspring_core::events: {{file_path: {}}}\n",
            lifecycle.display()
        );
        let config = ServiceConfig::of(CONFIG)
            .with("loggers:\n", &loggers)
            .with("graceful_shutdown_interval: 0s", &format!("graceful_shutdown_interval: {grace}"))
            .write();
        let (nobody_reads, mut stderr) = io::pipe().expect("the system has a pipe left");
        let child = Command::new(BINARY)
            .args(["--config", config.path()])
            .stdout(Stdio::null())
            .stderr(stderr.try_clone().expect("the system has a descriptor left"))
            .spawn()
            .expect("the binary was built");
        // Ends when the reader is gone.
        let fill = move || io::copy(&mut io::repeat(b'.'), &mut stderr);
        std::thread::Builder::new().name("fill-pipe".to_owned()).spawn(fill).expect("a thread is left");
        let stalled = Self { child, directory, _config: config, _nobody_reads: nobody_reads };
        stalled.until_logged("Service ready");
        stalled
    }

    #[track_caller]
    fn until_logged(&self, text: &str) {
        let log = || fs::read_to_string(self.directory.path().join("lifecycle.log")).unwrap_or_default();
        eventually(text, log, |log| log.contains(text));
    }

    fn terminate(&self) {
        let kill =
            Command::new("sh").args(["-c", "kill -TERM \"$1\"", "sh", &self.child.id().to_string()]).status();
        assert!(kill.expect("a shell is there").success());
    }

    #[track_caller]
    fn exit_code(mut self) -> Option<i32> {
        let ended = || self.child.try_wait().expect("it is our child");
        eventually("the service to end", ended, Option::is_some).and_then(|status| status.code())
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill().and_then(|()| self.child.wait()).is_ok();
    }
}

#[test]
fn second_signal_ends_it_though_nobody_reads_its_standard_error() {
    let service = Stalled::start("1h");
    service.terminate();
    service.until_logged("Service is stopping");
    service.terminate();
    assert_eq!(service.exit_code(), Some(5));
}

#[test]
fn first_signal_ends_it_though_nobody_reads_its_standard_error() {
    let service = Stalled::start("0s");
    service.terminate();
    assert_eq!(service.exit_code(), Some(0));
}

#[test]
fn log_file_that_cannot_be_opened_again_does_not_make_it_deaf() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let path = directory.path().join("service.log");
    let config = ServiceConfig::of(CONFIG).with("'@stderr'", &path.display().to_string());
    let mut service = ServiceProcess::launch(BINARY, &config, &[]);
    let log = || fs::read_to_string(&path).unwrap_or_default().lines().map(str::to_owned).collect();
    service.until_ready(|_| log());
    fs::rename(&path, directory.path().join("service.log.1")).expect("the log is there");
    // To open it waits for a reader.
    let made = Command::new("mkfifo").arg(&path).status().expect("coreutils are there");
    assert!(made.success());
    for _ in 0..3 {
        service.signal(Signal::USR1);
        assert_eq!(service.get("/ping").status, 200);
    }
    assert_eq!(service.stop().code, Some(0));
}

#[test]
fn environment_variable_that_is_not_text_is_told() {
    let config = ServiceConfig::of(CONFIG)
        .with("greeting: Hello", "greeting#env: GREETING\n            greeting#fallback: Hello")
        .write();
    let output = Command::new(BINARY)
        .args(["--check-config", "--config", config.path()])
        .env("GREETING", OsStr::from_bytes(b"Gr\xFC\xDFe"))
        .output()
        .expect("the binary was built");
    assert_eq!(output.status.code(), Some(3));
    let told = String::from_utf8(output.stderr).expect("it speaks UTF-8");
    assert!(told.contains("cannot read environment variable `GREETING`: it is not UTF-8 text"), "{told}");
}
