//! One Kafka process: its directory, its start, its signals, its log, its end.
//!
//! A node that is dropped is killed and reaped first, and its directory removed unless the session keeps it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, PipeReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::session::Session;
use crate::settings::{CLUSTER_ID, LogEvent, Ports, Role, is_port_taken, server_properties};
use crate::setup::{Installation, last_lines};
use crate::{BrokerError, wait};

/// Ends at once, or becomes Java, depending on what this process says first; see [`crate::session`].
const LAUNCH: &str = r#"read -r go && exec "$@" </dev/null"#;

/// A node starts in 1 to 11 s; a machine that compiles at the same time may need several times that.
const START_LIMIT: Duration = Duration::from_secs(90);

/// SIGKILL takes effect in milliseconds, unless the machine swaps.
const KILL_LIMIT: Duration = Duration::from_secs(20);

/// A connection that happens to leave from a stopped node's port goes away within seconds, as tests do.
const PORT_LIMIT: Duration = Duration::from_secs(60);

/// More than a node reports in its life, so the log's reader never waits for us.
const EVENTS_MAX: usize = 64;

/// What a node is started with.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) properties: BTreeMap<String, String>,
    /// Whether there is a listener for clients that authenticate by a password.
    pub(crate) has_sasl: bool,
    /// Whether there is one for clients that encrypt.
    pub(crate) has_tls: bool,
    pub(crate) java_flags: Vec<String>,
}

impl Spec {
    pub(crate) fn new(name: impl Into<String>, role: Role) -> Self {
        Self {
            name: name.into(),
            role,
            properties: BTreeMap::new(),
            has_sasl: false,
            has_tls: false,
            java_flags: Vec::new(),
        }
    }
}

/// A Kafka process and what it leaves on disk between its lives.
#[derive(Debug)]
pub(crate) struct Node {
    session: Arc<Session>,
    kafka: Installation,
    spec: Spec,
    directory: PathBuf,
    ports: Ports,
    process: Option<Child>,
}

impl Node {
    /// Starts a node on a fresh data directory and waits until it says that it is up.
    pub(crate) fn start(kafka: &Installation, spec: Spec) -> Result<Self, BrokerError> {
        let session = Session::get()?;
        let directory = session.node_directory(&spec.name)?;
        let kafka = kafka.clone();
        let ports = Ports { main: 0, sasl: spec.has_sasl.then_some(0), tls: spec.has_tls.then_some(0) };
        let mut node = Self { session, kafka, spec, directory, ports, process: None };
        node.create_data()?;
        node.launch().inspect_err(|_| node.session.keep())?;
        Ok(node)
    }

    /// The port of the listener that others use.
    pub(crate) fn port(&self) -> u16 {
        self.ports.main
    }

    /// The port of the listener for clients that authenticate by a password.
    pub(crate) fn sasl_port(&self) -> Option<u16> {
        self.ports.sasl
    }

    /// The port of the listener for clients that encrypt.
    pub(crate) fn tls_port(&self) -> Option<u16> {
        self.ports.tls
    }

    /// Runs one of Kafka's tools beside the node.
    pub(crate) fn run_tool(
        &self,
        step: &'static str,
        class: &str,
        arguments: &[&str],
    ) -> Result<(), BrokerError> {
        self.kafka.run_tool(step, &self.directory.join("tmp"), class, arguments)
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// The last lines of the log, over all lives of the node.
    pub(crate) fn log_tail(&self) -> String {
        let log = fs::read(self.log_path()).unwrap_or_default();
        last_lines(&String::from_utf8_lossy(&log))
    }

    /// Starts the node again, on the same data and the same port. The port was the system's choice, so the system may
    /// have given it to somebody else's connection meanwhile: then the node tries again until it is free.
    pub(crate) fn restart(&mut self) -> Result<(), BrokerError> {
        self.kill()?;
        let deadline = Instant::now() + PORT_LIMIT;
        loop {
            match self.launch() {
                Err(BrokerError::Exited { log, .. }) if is_port_taken(&log) && Instant::now() < deadline => {
                    self.wait_for_end(KILL_LIMIT)?;
                }
                result => return result.inspect_err(|_| self.session.keep()),
            }
        }
    }

    /// SIGKILL, and waits for the end. Does nothing when the node is not running.
    pub(crate) fn kill(&mut self) -> Result<(), BrokerError> {
        self.signal(Signal::KILL)?;
        self.wait_for_end(KILL_LIMIT)
    }

    /// SIGTERM, and waits up to `limit` for the end. Does nothing when the node is not running.
    pub(crate) fn stop(&mut self, limit: Duration) -> Result<(), BrokerError> {
        self.signal(Signal::TERM)?;
        self.wait_for_end(limit)
    }

    /// Sends a signal, if the node is running.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), BrokerError> {
        let Some(process) = &self.process else { return Ok(()) };
        let pid = Pid::from_child(process);
        // The child is not reaped before `wait_for_end`, so the id is still its own.
        kill_process(pid, signal).map_err(|error| BrokerError::io("signal", &self.directory)(error.into()))
    }

    fn create_data(&self) -> Result<(), BrokerError> {
        let tmp = self.directory.join("tmp");
        fs::create_dir(&tmp).map_err(BrokerError::io("create", &tmp))?;
        let data = self.directory.join("data");
        fs::create_dir(&data).map_err(BrokerError::io("create", &data))?;
        if let Some(template) = self.kafka.template(self.spec.role) {
            return copy_files(&template, &data);
        }
        // A node without the controller role needs no more than this; the directory id is unique in its cluster.
        let Role::Broker { id, .. } = self.spec.role else { return Ok(()) };
        let meta = format!(
            "version=1\ncluster.id={CLUSTER_ID}\nnode.id={id}\ndirectory.id=AAAAAAAAAAAAAAAAAA{id:03}A\n"
        );
        let path = data.join("meta.properties");
        fs::write(&path, meta).map_err(BrokerError::io("write", &path))
    }

    fn launch(&mut self) -> Result<(), BrokerError> {
        let _slot = self.kafka.start_slot()?;
        let properties = self.directory.join("server.properties");
        let data = self.directory.join("data");
        let text = server_properties(self.spec.role, &data, self.ports, &self.spec.properties);
        fs::write(&properties, text).map_err(BrokerError::io("write", &properties))?;
        let events = self.spawn(&properties)?;
        self.await_start(&events)
    }

    /// Spawns the process and returns the events of its log.
    fn spawn(&mut self, properties: &Path) -> Result<Receiver<LogEvent>, BrokerError> {
        let java = self.kafka.java(&self.directory.join("tmp"), &self.spec.java_flags, "kafka.Kafka");
        let (output, input) = io::pipe().map_err(BrokerError::io("open a pipe for", &self.directory))?;
        let errors = input.try_clone().map_err(BrokerError::io("open a pipe for", &self.directory))?;
        let mut command = Command::new("sh");
        command.args(["-c", LAUNCH, "sh"]).args(java).arg(properties);
        command.stdin(Stdio::piped()).stdout(input).stderr(errors).process_group(0);
        let mut child = command.spawn().map_err(BrokerError::io("run", Path::new("sh")))?;
        // Our copy of the pipe's writing end goes with it: the log ends when the node does.
        drop(command);
        let pid_file = self.pid_file();
        let mut go = child.stdin.take().expect("stdin was asked for");
        let pid = self.process.insert(child).id();
        fs::write(&pid_file, pid.to_string()).map_err(BrokerError::io("write", &pid_file))?;
        go.write_all(b"go\n").map_err(BrokerError::io("start", &self.directory))?;
        let (events, received) = sync_channel(EVENTS_MAX);
        let log_path = self.log_path();
        let log = File::options().create(true).append(true).open(&log_path);
        let log = log.map_err(BrokerError::io("open", &log_path))?;
        std::thread::Builder::new()
            .name(format!("log-{}", self.spec.name))
            .spawn(move || follow_log(output, log, events))
            .map_err(BrokerError::io("start a thread for", &log_path))?;
        Ok(received)
    }

    /// Takes the log's events until the node has started and its port is known.
    fn await_start(&mut self, events: &Receiver<LogEvent>) -> Result<(), BrokerError> {
        let deadline = Instant::now() + START_LIMIT;
        let mut started = false;
        while !started || !self.ports.are_known() {
            let left = deadline.saturating_duration_since(Instant::now());
            match events.recv_timeout(left) {
                Ok(LogEvent::Started) => started = true,
                Ok(LogEvent::Listening { listener, port }) => {
                    self.ports.learn(self.spec.role, &listener, port);
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let (node, log) = (self.spec.name.clone(), self.log_tail());
                    return Err(BrokerError::Exited { node, log });
                }
                Err(RecvTimeoutError::Timeout) => {
                    let what = format!("`{}` to start", self.spec.name);
                    return Err(BrokerError::Deadline { what, waited: START_LIMIT, seen: self.log_tail() });
                }
            }
        }
        Ok(())
    }

    fn wait_for_end(&mut self, limit: Duration) -> Result<(), BrokerError> {
        let Some(process) = &mut self.process else { return Ok(()) };
        let what = format!("`{}` to end", self.spec.name);
        wait::until(&what, limit, || match process.try_wait() {
            Ok(Some(_status)) => Ok(()),
            Ok(None) => Err("it is still running".to_owned()),
            Err(error) => Err(error.to_string()),
        })
        .inspect_err(|_| self.session.keep())?;
        self.process = None;
        let pid_file = self.pid_file();
        fs::remove_file(&pid_file).map_err(BrokerError::io("remove", &pid_file))
    }

    /// Where the guardian looks for what it has to kill.
    fn pid_file(&self) -> PathBuf {
        self.directory.join("pid")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Nobody is left to tell about an error; the guardian comes back for what remains.
        let _killed = self.kill();
        if !self.session.keeps() {
            let _removed = fs::remove_dir_all(&self.directory);
        }
    }
}

/// Copies the log into its file and reports its events, until the node closes it by ending.
#[expect(clippy::needless_pass_by_value, reason = "the thread that runs this owns all three")]
fn follow_log(output: PipeReader, mut log: File, events: SyncSender<LogEvent>) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line).is_ok_and(|n_bytes| 0 < n_bytes) {
        // A full disk must not stop the reading: a node that cannot log any more would hang.
        let _written = log.write_all(&line);
        if let Some(event) = LogEvent::read(&String::from_utf8_lossy(&line)) {
            let _sent = events.try_send(event);
        }
        line.clear();
    }
}

fn copy_files(from: &Path, to: &Path) -> Result<(), BrokerError> {
    for entry in fs::read_dir(from).map_err(BrokerError::io("list", from))? {
        let entry = entry.map_err(BrokerError::io("list", from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            fs::create_dir(&target).map_err(BrokerError::io("create", &target))?;
            copy_files(&source, &target)?;
        } else {
            fs::copy(&source, &target).map_err(BrokerError::io("copy", &source))?;
        }
    }
    Ok(())
}
