//! A configuration service that says what a test tells it to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use serde_json::Value;

use crate::support::DEADLINE;

/// What it answers.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Json(Value),
    Status(u16),
    /// These bytes and the end of the connection.
    Raw(Vec<u8>),
    /// Nothing, and the connection stays open.
    Silence,
}

/// It runs until it is dropped.
pub(crate) struct ConfigService {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    answer: Mutex<Answer>,
    questions: Mutex<Vec<Question>>,
    ends: AtomicBool,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) request_line: String,
    pub(crate) body: Value,
}

impl ConfigService {
    pub(crate) fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the system has a port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            answer: Mutex::new(answer),
            questions: Mutex::default(),
            ends: AtomicBool::new(false),
        });
        let serves = Arc::clone(&shared);
        let thread = std::thread::Builder::new().spawn(move || serve(&listener, &serves));
        Self { address, shared, thread: Some(thread.expect("the system has threads")) }
    }

    /// From now on.
    pub(crate) fn answers(&self, answer: Answer) {
        *lock(&self.shared.answer) = answer;
    }

    pub(crate) fn questions(&self) -> Vec<Question> {
        lock(&self.shared.questions).clone()
    }
}

impl Drop for ConfigService {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        // Wakes it; when it cannot be reached it has ended.
        let _woken = TcpStream::connect(self.address).is_ok();
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join().is_ok();
        }
    }
}

fn serve(listener: &TcpListener, shared: &Shared) {
    let mut silent = Vec::new();
    for stream in listener.incoming() {
        if shared.ends.load(Ordering::SeqCst) {
            return;
        }
        let Ok(mut stream) = stream else { continue };
        let Some(question) = read(&stream) else { continue };
        lock(&shared.questions).push(question);
        let bytes = match lock(&shared.answer).clone() {
            Answer::Json(json) => response(200, &json.to_string()),
            Answer::Status(status) => response(status, ""),
            Answer::Raw(bytes) => bytes,
            Answer::Silence => {
                silent.push(stream);
                continue;
            }
        };
        // A client that has had enough is what some tests are about.
        let _written = stream.write_all(&bytes).is_ok();
    }
}

fn response(status: u16, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} Whatever\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// `None` when the client goes away first.
fn read(stream: &TcpStream) -> Option<Question> {
    stream.set_read_timeout(Some(DEADLINE)).ok()?;
    let mut reader = BufReader::new(stream);
    let mut request_line = String::new();
    reader.read_line(&mut request_line).ok()?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Question { request_line: request_line.trim().to_owned(), body: serde_json::from_slice(&body).ok()? })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
