//! A service in this process and a client that shows the bytes of an answer; the tests of `monitor` use it too.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mainspring_config::{FakeSurroundings, Problems, Source, VarsOptions};
use mainspring_core::{
    ComponentList, Phase, Service, ServiceError, ServiceHandle, ServiceOptions, StopReport,
};
use mainspring_server::ServerComponent;

/// Longest time that anything in a test may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Pause between two looks at something that has no event to wait for.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// The listeners on ports of their own.
pub(crate) const LISTENERS: &str = "
        server:
            listener: {address: 127.0.0.1, port: 0, task_processor: main-task-processor}
            listener-monitor: {address: 127.0.0.1, port: 0, task_processor: monitor-task-processor}";

/// A service that runs on a thread of its own and is stopped when the test is over.
pub(crate) struct Running {
    pub(crate) handle: ServiceHandle,
    thread: Option<JoinHandle<Result<StopReport, ServiceError>>>,
}

impl Running {
    /// Starts a service and waits until it runs.
    pub(crate) fn start(list: &ComponentList, sections: &str) -> Self {
        Self::start_with(list, sections, &Settings::default())
    }

    /// As [`Running::start`], with other settings.
    pub(crate) fn start_with(list: &ComponentList, sections: &str, settings: &Settings<'_>) -> Self {
        let running = Self::launch_with(list, sections, settings);
        let phase = block_on(running.handle.reached(Phase::Running));
        assert_eq!(phase, Phase::Running, "{:?}", running.logged(""));
        running
    }

    /// Starts a service without waiting.
    pub(crate) fn launch(list: &ComponentList, sections: &str) -> Self {
        Self::launch_with(list, sections, &Settings::default())
    }

    fn launch_with(list: &ComponentList, sections: &str, settings: &Settings<'_>) -> Self {
        let service = check_with(list, sections, settings).unwrap_or_else(|problems| panic!("{problems}"));
        let handle = service.handle();
        let thread = std::thread::Builder::new().spawn(|| service.run()).expect("the system has threads");
        Self { handle, thread: Some(thread) }
    }

    /// Where the main listener is.
    pub(crate) fn main(&self) -> SocketAddr {
        local(self.server().local_addr())
    }

    /// Where the monitor listener is.
    pub(crate) fn monitor(&self) -> SocketAddr {
        local(self.server().monitor_addr().expect("the test configures a monitor listener"))
    }

    /// The server, once it is loaded.
    pub(crate) fn server(&self) -> Arc<ServerComponent> {
        wait_for("the server is loaded", || self.handle.component("server"))
    }

    /// Recent log records whose JSON contains `text`.
    pub(crate) fn logged(&self, text: &str) -> Vec<serde_json::Value> {
        let records = self.handle.logging().recent(&mainspring_logging::RecentFilter::default());
        let records = records.iter().map(|record| serde_json::to_value(record).expect("records are JSON"));
        records.filter(|record| record.to_string().contains(text)).collect()
    }

    /// The value of one sample, by its name and labels as the text format writes them.
    pub(crate) fn metric(&self, series: &str) -> Option<f64> {
        let text = mainspring_metrics::prometheus_text(&self.handle.metrics().snapshot());
        text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    /// Waits until a sample has this value.
    #[track_caller]
    pub(crate) fn wait_for_metric(&self, series: &str, value: f64) {
        wait_for(&format!("`{series}` is {value}"), || (self.metric(series) == Some(value)).then_some(()));
    }

    /// Tells it to stop, waits, and says how it went.
    pub(crate) fn stop(mut self) -> Result<StopReport, ServiceError> {
        self.handle.stop("the test is over");
        self.join()
    }

    /// Waits for its end.
    pub(crate) fn join(&mut self) -> Result<StopReport, ServiceError> {
        let thread = self.thread.take().expect("joined once");
        wait_for("the service ends", || thread.is_finished().then_some(()));
        thread.join().expect("the service does not panic")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.handle.force_stop();
            // A failed test has said why already.
            let _ended = thread.join().is_ok();
        }
    }
}

/// Checks a configuration whose `components` are `logging` and these.
pub(crate) fn check(list: &ComponentList, sections: &str) -> Result<Service, Problems> {
    check_with(list, sections, &Settings::default())
}

/// What differs between the services of the tests besides their components.
pub(crate) struct Settings<'a> {
    pub(crate) log_file: &'a str,
    pub(crate) graceful_shutdown_interval: &'a str,
}

impl Default for Settings<'_> {
    fn default() -> Self {
        Self { log_file: "@null", graceful_shutdown_interval: "0s" }
    }
}

fn check_with(list: &ComponentList, sections: &str, settings: &Settings<'_>) -> Result<Service, Problems> {
    let Settings { log_file, graceful_shutdown_interval } = settings;
    let text = format!(
        "components_manager:
    default_task_processor: main-task-processor
    component_stop_timeout: 20s
    graceful_shutdown_interval: {graceful_shutdown_interval}
    task_processors:
        main-task-processor: {{worker_threads: 2}}
        monitor-task-processor: {{worker_threads: 1}}
        other-task-processor: {{worker_threads: 1}}
    components:
        logging: {{loggers: {{default: {{file_path: '{log_file}', level: debug}}}}}}{sections}
"
    );
    let surroundings = FakeSurroundings::default();
    let root =
        mainspring_config::load(&Source::new("test.yaml", text), &VarsOptions::default(), &surroundings)?;
    Service::new(list, &root, ServiceOptions::default())
}

/// An answer as it came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("the body is text")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.headers.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// A request without a body.
pub(crate) fn get(address: SocketAddr, target: &str) -> Reply {
    request(address, &format!("GET {target}"), "", "")
}

/// A request with further header lines, each ending in `\r\n`, and a body.
pub(crate) fn request(address: SocketAddr, method_and_target: &str, headers: &str, body: &str) -> Reply {
    let mut stream = connect(address);
    let length = body.len();
    let head = format!("{method_and_target} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{headers}");
    let length = if body.is_empty() { String::new() } else { format!("content-length: {length}\r\n") };
    write!(stream, "{head}{length}\r\n{body}").expect("the service reads");
    read(&mut stream)
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, LIMIT).expect("the service listens");
    stream.set_read_timeout(Some(LIMIT)).expect("the limit is not 0");
    stream
}

/// Reads until the service closes the connection.
pub(crate) fn read(stream: &mut TcpStream) -> Reply {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("the service answers in time");
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no head in {:?}", String::from_utf8_lossy(&bytes)));
    let head = String::from_utf8(bytes[..end].to_vec()).expect("the head is text");
    let (status_line, headers) = head.split_once("\r\n").unwrap_or((&head, ""));
    let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok());
    Reply {
        status: status.unwrap_or_else(|| panic!("no status in {status_line}")),
        headers: headers.to_owned(),
        body: bytes[end + 4..].to_vec(),
    }
}

/// Asks until there is an answer.
pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited too long until {what}");
        std::thread::park_timeout(POLL_INTERVAL);
    }
}

fn local(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() { (Ipv4Addr::LOCALHOST, address.port()).into() } else { address }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        tokio::time::timeout(LIMIT, future).await.expect("the service gets there in time")
    })
}
