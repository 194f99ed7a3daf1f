//! Prepares Kafka once: the jars, formatted data directories, and an archive of loaded classes that halves a start.
//!
//! Everything lands in `.cache/kafka` of the workspace, in directories named by a hash of what they were made from, and
//! appears there by one rename: a directory that exists is complete. A file lock lets one process at a time prepare.
//! Cold about 20 s, of which 10 s are the downloads; warm a few file look-ups.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::node::{Node, Spec};
use crate::settings::{
    CLUSTER_ID, JAVA_FLAGS, JAVA_VERSION_MIN, LOG4J, Ports, Role, java_version, pom, server_properties,
};
use crate::{BrokerError, Client, wait};

/// How many records the archive's training run sends: enough to load the produce path's classes.
const TRAINING_RECORDS: usize = 1000;

/// Writing the archive happens while the broker exits and takes about 7 s on a quiet machine.
const ARCHIVE_LIMIT: Duration = Duration::from_secs(120);

/// The downloads take 10 s, and minutes over a slow line; a repository that never answers is found out.
const MAVEN_LIMIT: Duration = Duration::from_secs(900);

/// Formatting and changing a user take 2 s on a quiet machine, asking Java for its version a tenth of one.
const JAVA_LIMIT: Duration = Duration::from_secs(120);

/// A prepared Kafka: where its parts are.
#[derive(Debug, Clone)]
pub struct Installation {
    java: PathBuf,
    class_path: OsString,
    locks: PathBuf,
    parts: PathBuf,
}

impl Installation {
    /// The directory that holds the prepared parts.
    pub fn directory(&self) -> &Path {
        &self.parts
    }

    /// The command that runs a Java class of Kafka; `tmp` receives what Java unpacks.
    pub(crate) fn java(&self, tmp: &Path, extra_flags: &[String], class: &str) -> Vec<OsString> {
        let mut command = vec![self.java.clone().into_os_string()];
        command.extend(JAVA_FLAGS.iter().map(OsString::from));
        let archive = self.parts.join("broker.jsa");
        if archive.exists() {
            command.push(flag("-XX:SharedArchiveFile=", &archive));
        }
        command.push(flag("-Djava.io.tmpdir=", tmp));
        command.push(flag("-Dlog4j2.configurationFile=", &self.parts.join("log4j2.properties")));
        command.extend(extra_flags.iter().map(OsString::from));
        command.extend(["-cp".into(), self.class_path.clone(), class.into()]);
        command
    }

    /// Runs one of Kafka's tools to its end.
    pub(crate) fn run_tool(
        &self,
        step: &'static str,
        tmp: &Path,
        class: &str,
        arguments: &[&str],
    ) -> Result<(), BrokerError> {
        let java = self.java(tmp, &[], class);
        let (program, flags) = java.split_first().expect("a command starts with its program");
        run(step, Command::new(program).args(flags).args(arguments), JAVA_LIMIT).map(drop)
    }

    /// The formatted data directory that a node of this role starts from.
    pub(crate) fn template(&self, role: Role) -> Option<PathBuf> {
        match role {
            Role::Combined => Some(self.parts.join("combined")),
            Role::Controller => Some(self.parts.join("controller")),
            Role::Broker { .. } => None,
        }
    }

    /// Waits for one of the two places in which a node may start. Two cores start two JVMs as fast as one after the
    /// other; more only make every start slow. The place is free again when the file is dropped.
    pub(crate) fn start_slot(&self) -> Result<File, BrokerError> {
        static TURN: AtomicUsize = AtomicUsize::new(0);
        let turn = TURN.fetch_add(1, Ordering::Relaxed);
        let [first, second] = [turn % 2, (turn + 1) % 2].map(|n| self.locks.join(format!("start-{n}.lock")));
        let first_file = open_lock(&first)?;
        match first_file.try_lock() {
            Ok(()) => Ok(first_file),
            Err(TryLockError::WouldBlock) => lock(&second),
            Err(TryLockError::Error(source)) => Err(BrokerError::Io { doing: "lock", path: first, source }),
        }
    }
}

/// Prepares Kafka, or finds it prepared. Called by every start of a broker, and by `cargo xtask setup`.
///
/// # Errors
/// [`BrokerError::ToolMissing`] or [`BrokerError::JavaTooOld`] with the line that installs Java and Maven;
/// [`BrokerError::Setup`] or [`BrokerError::Deadline`] with the output of the step that failed or hangs;
/// [`BrokerError::Io`] when the cache directory cannot be written.
pub fn setup() -> Result<Installation, BrokerError> {
    static PREPARED: Mutex<Option<Installation>> = Mutex::new(None);
    let mut prepared = PREPARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(installation) = &*prepared {
        return Ok(installation.clone());
    }
    let cache = cache_directory().join("kafka");
    fs::create_dir_all(&cache).map_err(BrokerError::io("create", &cache))?;
    // Class data is only shared when the class path is the same text, so it has to be the real path.
    let cache = fs::canonicalize(&cache).map_err(BrokerError::io("resolve", &cache))?;
    let _lock = lock(&cache.join("setup.lock"))?;
    let installation = prepare(&cache)?;
    *prepared = Some(installation.clone());
    Ok(installation)
}

fn prepare(cache: &Path) -> Result<Installation, BrokerError> {
    let java = find_java()?;
    let jars = cache.join(format!("jars-{:016x}", hash(pom())));
    if !jars.exists() {
        in_new_directory(&jars, fetch_jars)?;
    }
    let class_path = class_path(&jars)?;
    let parts = cache.join(format!("parts-{:016x}", hash(parts_recipe(&java, &class_path)?)));
    let installation = Installation { java, class_path, locks: cache.to_owned(), parts: parts.clone() };
    if !parts.exists() {
        in_new_directory(&parts, |directory| {
            let unfinished = Installation { parts: directory.to_owned(), ..installation.clone() };
            prepare_parts(&unfinished, directory)
        })?;
    }
    Ok(installation)
}

/// Everything the prepared parts depend on. The class archive is good for one build of Java and one set of jars only.
fn parts_recipe(java: &Path, class_path: &OsStr) -> Result<impl Hash + use<>, BrokerError> {
    let metadata = fs::metadata(java).map_err(BrokerError::io("examine", java))?;
    let modified = metadata.modified().map_err(BrokerError::io("examine", java))?;
    let properties = [Role::Combined, Role::Controller]
        .map(|role| server_properties(role, Path::new(""), Ports::default(), &BTreeMap::new()));
    Ok((java.to_owned(), metadata.len(), modified, class_path.to_owned(), properties, LOG4J, JAVA_FLAGS))
}

fn fetch_jars(directory: &Path) -> Result<(), BrokerError> {
    let project = directory.join("pom.xml");
    fs::write(&project, pom()).map_err(BrokerError::io("write", &project))?;
    let mut maven = Command::new(find_on_path("mvn")?);
    // Batch mode, no progress bars, and a wrong checksum is an error.
    maven.args(["-B", "-ntp", "-C", "-f"]).arg(&project);
    maven.args(["dependency:copy-dependencies", "-DincludeScope=runtime"]);
    maven.arg(flag("-DoutputDirectory=", directory));
    run("fetching the jars with Maven", &mut maven, MAVEN_LIMIT)?;
    Ok(())
}

fn prepare_parts(kafka: &Installation, directory: &Path) -> Result<(), BrokerError> {
    let log4j = directory.join("log4j2.properties");
    fs::write(&log4j, LOG4J).map_err(BrokerError::io("write", &log4j))?;
    for role in [Role::Combined, Role::Controller] {
        format_template(kafka, directory, role)?;
    }
    archive_classes(kafka, directory)
}

/// Formats a data directory; neither host nor port nor path is recorded in it, so every node can start from a copy.
fn format_template(kafka: &Installation, directory: &Path, role: Role) -> Result<(), BrokerError> {
    let data = kafka.template(role).expect("both roles passed here have a template");
    let properties = directory.join("format.properties");
    fs::write(&properties, server_properties(role, &data, Ports::default(), &BTreeMap::new()))
        .map_err(BrokerError::io("write", &properties))?;
    let java = kafka.java(directory, &[], "kafka.tools.StorageTool");
    let (program, arguments) = java.split_first().expect("a command starts with its program");
    let mut format = Command::new(program);
    format.args(arguments).args(["format", "--standalone", "-t", CLUSTER_ID, "-c"]).arg(&properties);
    run("formatting a data directory", &mut format, JAVA_LIMIT)?;
    Ok(())
}

/// Runs a broker for as long as a thousand records take and keeps the classes it loaded.
fn archive_classes(kafka: &Installation, directory: &Path) -> Result<(), BrokerError> {
    // Under another name until it is complete: the broker that writes it must not try to read it.
    let unfinished = directory.join("broker.jsa.unfinished");
    let flags = vec![format!("-XX:ArchiveClassesAtExit={}", unfinished.display())];
    let spec = Spec { java_flags: flags, ..Spec::new("training", Role::Combined) };
    let mut node = Node::start(kafka, spec)?;
    let client = Client::new(format!("127.0.0.1:{}", node.port()));
    client.create_topic("training", 1)?;
    client.write_all("training", (0..TRAINING_RECORDS).map(|n| (n.to_string(), n.to_string())))?;
    node.stop(ARCHIVE_LIMIT)?;
    fs::rename(&unfinished, directory.join("broker.jsa")).map_err(BrokerError::io("rename", &unfinished))
}

/// Fills a directory under a passing name, then gives it its own: it is there completely or not at all.
fn in_new_directory(
    path: &Path,
    fill: impl FnOnce(&Path) -> Result<(), BrokerError>,
) -> Result<(), BrokerError> {
    let unfinished = path.with_extension("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(BrokerError::io("remove", &unfinished))?;
    }
    fs::create_dir_all(&unfinished).map_err(BrokerError::io("create", &unfinished))?;
    fill(&unfinished)?;
    fs::rename(&unfinished, path).map_err(BrokerError::io("rename", &unfinished))
}

/// The jars in a fixed order.
fn class_path(jars: &Path) -> Result<OsString, BrokerError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(jars).map_err(BrokerError::io("list", jars))? {
        let path = entry.map_err(BrokerError::io("list", jars))?.path();
        if path.extension().is_some_and(|extension| extension == "jar") {
            files.push(path);
        }
    }
    files.sort();
    std::env::join_paths(files)
        .map_err(|error| BrokerError::io("join the jars of", jars)(io::Error::other(error)))
}

/// `MAINSPRING_CACHE_DIR`, or `.cache` in the workspace of the package whose tests run.
fn cache_directory() -> PathBuf {
    if let Some(directory) = std::env::var_os("MAINSPRING_CACHE_DIR") {
        return directory.into();
    }
    // Cargo tells a running test where its package is; without cargo the place this crate was compiled in serves.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let package = Path::new(&package);
    let root = package.ancestors().find(|directory| directory.join("Cargo.lock").exists());
    root.unwrap_or(package).join(".cache")
}

/// The Java on `PATH`, if it is new enough for Kafka.
fn find_java() -> Result<PathBuf, BrokerError> {
    let java = find_on_path("java")?;
    let said = run("asking Java for its version", Command::new(&java).arg("-version"), JAVA_LIMIT)?;
    if java_version(&said).is_some_and(|version| JAVA_VERSION_MIN <= version) {
        return Ok(java);
    }
    let found = said.lines().find(|line| line.contains("version")).unwrap_or(&said).to_owned();
    Err(BrokerError::JavaTooOld { java, found })
}

pub(crate) fn find_on_path(tool: &'static str) -> Result<PathBuf, BrokerError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).map(|directory| directory.join(tool)).find(|file| file.is_file());
    // The real file: a package upgrade changes it, and not the link to it.
    found.and_then(|file| fs::canonicalize(file).ok()).ok_or(BrokerError::ToolMissing { tool })
}

/// Runs a program to its end and returns what it printed; kills it when the time is up.
pub(crate) fn run(step: &'static str, command: &mut Command, limit: Duration) -> Result<String, BrokerError> {
    let program = PathBuf::from(command.get_program());
    let cannot_run = || BrokerError::io("run", &program);
    // A file, and no pipe: the program never waits for a reader. All share one position in it, so they append.
    let output = tempfile::Builder::new().append(true).tempfile().map_err(cannot_run())?;
    let mut output = output.into_file();
    command.stdin(Stdio::null());
    command.stdout(output.try_clone().map_err(cannot_run())?);
    command.stderr(output.try_clone().map_err(cannot_run())?);
    let mut child = command.spawn().map_err(cannot_run())?;
    let ended = wait::until(step, limit, || match child.try_wait() {
        Ok(Some(status)) => Ok(status),
        Ok(None) => Err(last_lines(&read_from_start(&mut output))),
        Err(error) => Err(error.to_string()),
    });
    let status = ended.inspect_err(|_| {
        // It may have ended meanwhile.
        let _killed = child.kill().and_then(|()| child.wait()).is_ok();
    })?;
    let text = read_from_start(&mut output);
    if status.success() {
        return Ok(text);
    }
    Err(BrokerError::Setup { step, status, output: last_lines(&text) })
}

fn read_from_start(file: &mut File) -> String {
    let mut bytes = Vec::new();
    // What cannot be read is missing in a message, and nowhere else.
    let _n_bytes = file.rewind().and_then(|()| file.read_to_end(&mut bytes)).is_ok();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The last lines of a program's output, enough to see why it gave up.
pub(crate) fn last_lines(text: &str) -> String {
    const LINES: usize = 40;
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

fn lock(path: &Path) -> Result<File, BrokerError> {
    let file = open_lock(path)?;
    file.lock().map_err(BrokerError::io("lock", path))?;
    Ok(file)
}

fn open_lock(path: &Path) -> Result<File, BrokerError> {
    File::options().create(true).append(true).open(path).map_err(BrokerError::io("open", path))
}

fn flag(name: &str, value: &Path) -> OsString {
    let mut flag = OsString::from(name);
    flag.push(value);
    flag
}

/// Names a cache directory. Another compiler may hash differently, which costs one more preparation.
fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
