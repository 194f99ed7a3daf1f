//! A service binary as a child process.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mainspring_testsuite::eventually;
use rustix::process::{Pid, Signal, kill_process};
use ureq::Agent;

use crate::{Answer, ConfigFile, Metrics, ServiceConfig, http};

/// Waits for a line before it becomes the service. It ends without one when the test dies before the guardian is there.
const LAUNCH: &str = r#"read -r go && exec "$@" </dev/null"#;

/// Ends the process `$1` when its stdin, which only the test process holds, is closed.
const GUARDIAN: &str = r#"cat >/dev/null; kill -9 "$1""#;

/// A running service. Dropping it kills it, and shows its log when the test has failed.
#[derive(Debug)]
#[must_use = "the process is killed when this is dropped"]
pub struct ServiceProcess {
    child: Child,
    /// It sits in a process group of its own, so that Ctrl-C in a terminal does not reach it.
    guardian: Child,
    stdout: Output,
    stderr: Output,
    agent: Agent,
    /// Main and monitor listener, once it is ready.
    addresses: Option<(SocketAddr, SocketAddr)>,
    /// Removed with this.
    config: Option<ConfigFile>,
}

/// How a service ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ended {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// How long the test waited for it.
    pub took: Duration,
    /// What it said on standard output.
    pub stdout: String,
    /// The lines of its standard error: its log and what `main` said.
    pub log: Vec<String>,
}

impl Ended {
    /// The last line on standard error, where `main` says why it ends.
    #[must_use]
    pub fn last_words(&self) -> &str {
        self.log.last().map(String::as_str).unwrap_or_default()
    }
}

impl ServiceProcess {
    /// Starts a binary with a configuration and waits until it is ready.
    ///
    /// # Panics
    /// When it does not get ready.
    #[track_caller]
    pub fn start(binary: &str, config: &ServiceConfig, env: &[(&str, &str)]) -> Self {
        let mut service = Self::launch(binary, config, env);
        service.until_ready(Self::log);
        service
    }

    /// Starts a binary with a configuration, whatever will come of it.
    ///
    /// # Panics
    /// When there is no such binary.
    #[track_caller]
    pub fn launch(binary: &str, config: &ServiceConfig, env: &[(&str, &str)]) -> Self {
        let file = config.write();
        let mut service = Self::spawn(binary, &["--config", file.path()], env);
        service.config = Some(file);
        service
    }

    /// Runs a binary with these arguments to its end.
    ///
    /// # Panics
    /// When it does not end.
    #[track_caller]
    pub fn run(binary: &str, args: &[&str]) -> Ended {
        Self::run_in(binary, args, &[])
    }

    /// Runs a binary with these arguments and environment variables to its end.
    ///
    /// # Panics
    /// When it does not end.
    #[track_caller]
    pub fn run_in(binary: &str, args: &[&str], env: &[(&str, &str)]) -> Ended {
        Self::spawn(binary, args, env).ended()
    }

    #[track_caller]
    fn spawn(binary: &str, args: &[&str], env: &[(&str, &str)]) -> Self {
        assert!(Path::new(binary).is_file(), "there is no {binary} to run");
        let mut child = Command::new("sh")
            .args(["-c", LAUNCH, "sh", binary])
            .args(args)
            .env_remove("SECDIST_CONFIG")
            .env_remove("SECDIST_PATH")
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a shell is there");
        let guardian = Command::new("sh")
            .args(["-c", GUARDIAN, "sh", &child.id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("a shell is there");
        let mut go = child.stdin.take().expect("it was asked for");
        go.write_all(b"go\n").expect("the child waits for it");
        let stdout = Output::read(child.stdout.take().expect("it was asked for"));
        let stderr = Output::read(child.stderr.take().expect("it was asked for"));
        Self { child, guardian, stdout, stderr, agent: http::agent(), addresses: None, config: None }
    }

    /// Waits until a service that was launched is ready; `log` are the lines of its log, which may be a file.
    ///
    /// # Panics
    /// When it does not get ready.
    #[track_caller]
    pub fn until_ready(&mut self, log: impl Fn(&Self) -> Vec<String>) {
        let look = || {
            let exited = self.child.try_wait().expect("it is our child");
            assert!(exited.is_none(), "it ended before it was ready: {exited:?}");
            log(self)
        };
        let is_ready = |log: &Vec<String>| {
            log.iter().any(|line| line.contains(" Service ready ")) && addresses(log).is_some()
        };
        self.addresses = addresses(&eventually("the service to be ready", look, is_ready));
    }

    /// Waits for a line in the log that contains `text`, and returns it.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn until_logged(&self, text: &str) -> String {
        let line = || self.log().into_iter().find(|line| line.contains(text));
        eventually(&format!("a line with `{text}`"), line, Option::is_some).expect("it was found")
    }

    /// The id of the process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The lines of its standard error so far.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.stderr.lines()
    }

    /// Posts to the main listener.
    ///
    /// # Panics
    /// When there is no answer.
    #[track_caller]
    pub fn post(&self, path: &str, body: &str) -> Answer {
        self.try_post(path, body).unwrap_or_else(|error| panic!("no answer to POST {path}: {error}"))
    }

    /// Posts to the main listener of a service that may be gone.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn try_post(&self, path: &str, body: &str) -> Result<Answer, ureq::Error> {
        self.try_post_as("application/json", path, body)
    }

    /// Posts to the main listener and says that the body is something else.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn try_post_as(&self, content_type: &str, path: &str, body: &str) -> Result<Answer, ureq::Error> {
        let url = format!("http://{}{path}", self.main_addr());
        Answer::read(self.agent.post(url).content_type(content_type).send(body))
    }

    /// Gets from the main listener.
    ///
    /// # Panics
    /// When there is no answer.
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.get_from(self.main_addr(), path, "*/*")
    }

    /// Gets from the monitor listener.
    ///
    /// # Panics
    /// When there is no answer.
    #[track_caller]
    pub fn monitor(&self, path: &str) -> Answer {
        self.get_from(self.monitor_addr(), path, "*/*")
    }

    /// Gets from the monitor listener in a form that `accept` names.
    ///
    /// # Panics
    /// When there is no answer.
    #[track_caller]
    pub fn monitor_as(&self, path: &str, accept: &str) -> Answer {
        self.get_from(self.monitor_addr(), path, accept)
    }

    #[track_caller]
    fn get_from(&self, address: SocketAddr, path: &str, accept: &str) -> Answer {
        let request = self.agent.get(format!("http://{address}{path}")).header("accept", accept);
        Answer::read(request.call()).unwrap_or_else(|error| panic!("no answer to GET {path}: {error}"))
    }

    /// What `/metrics` says.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    #[track_caller]
    pub fn metrics(&self) -> Metrics {
        Metrics::parse(&self.monitor("/metrics").body)
    }

    /// Where the main listener is.
    ///
    /// # Panics
    /// When the service was not waited for.
    #[must_use]
    pub fn main_addr(&self) -> SocketAddr {
        self.addresses.expect("the service is ready").0
    }

    /// Where the monitor listener is.
    ///
    /// # Panics
    /// When the service was not waited for.
    #[must_use]
    pub fn monitor_addr(&self) -> SocketAddr {
        self.addresses.expect("the service is ready").1
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When there is no such process any more.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the service runs");
    }

    /// Sends SIGTERM and waits for the end.
    ///
    /// # Panics
    /// When it does not end.
    #[track_caller]
    pub fn stop(self) -> Ended {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// When it does not end.
    #[track_caller]
    pub fn ended(mut self) -> Ended {
        let began = Instant::now();
        let status = || self.child.try_wait().expect("it is our child");
        let status = eventually("the service to end", status, Option::is_some).expect("it has ended");
        let took = began.elapsed();
        self.stdout.join();
        self.stderr.join();
        Ended { code: status.code(), took, stdout: self.stdout.text(), log: self.stderr.lines() }
    }
}

#[expect(clippy::print_stderr, reason = "libtest shows it beside the failed test")]
impl Drop for ServiceProcess {
    fn drop(&mut self) {
        // The guardian first, or it might kill another process that got the number.
        for child in [&mut self.guardian, &mut self.child] {
            // It may have ended by itself.
            let _ended = child.kill().and_then(|()| child.wait()).is_ok();
        }
        if std::thread::panicking() {
            eprintln!("the log of process {}:\n{}", self.child.id(), self.stderr.text());
        }
    }
}

/// What a child writes, read by a thread so that the child never waits for a reader.
#[derive(Debug)]
struct Output {
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Output {
    fn read(stream: impl Read + Send + 'static) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::clone(&lines);
        let read = move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                written.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        };
        let reader = std::thread::Builder::new().name("output-reader".to_owned()).spawn(read);
        Self { lines, reader: Some(reader.expect("the system has a thread left")) }
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// Reads to the end, once the child has ended.
    fn join(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("reading does not panic");
        }
    }
}

/// Where the listeners are, as the log says: main and monitor.
fn addresses(log: &[String]) -> Option<(SocketAddr, SocketAddr)> {
    let of = |listener: &str| {
        let line = log.iter().find(|line| line.contains(&format!(" Listening listener={listener} ")))?;
        let address = line.split_once(" address=")?.1.split(' ').next()?;
        let port = address.parse::<SocketAddr>().ok()?.port();
        Some(SocketAddr::from(([127, 0, 0, 1], port)))
    };
    Some((of("main")?, of("monitor")?))
}
