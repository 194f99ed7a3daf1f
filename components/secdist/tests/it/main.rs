//! What is left in this process's memory of secrets that were dropped: nothing.
//!
//! The one test of this binary, because others would read and drop texts of their own at the same time.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;

use mainspring_config::Surroundings;
use mainspring_secdist::{ProviderConfig, Secret, Secrets};

/// The file system as it is.
struct Files;

impl Surroundings for Files {
    fn env_var(&self, _: &str) -> io::Result<Option<String>> {
        Ok(None)
    }

    fn read_file(&self, path: &str) -> io::Result<String> {
        fs::read_to_string(path)
    }
}

/// What is looked for, hidden, so that the search does not find what it searches with.
const HIDDEN: &[u8] = b"urgcjgj.kogcd-Ugjc.iog.g.noe";
const MASK: u8 = 0x07;

/// How many times the hidden text is in the writable memory of this process.
fn n_copies() -> usize {
    let maps = fs::read_to_string("/proc/self/maps").expect("this is Linux");
    let memory = File::open("/proc/self/mem").expect("a process may read its own memory");
    let mut buffer = vec![0; 1 << 20];
    // It is a part of what is read, and holds what was just read.
    let is_ours = |buffer: &[u8], address: u64| {
        let address = usize::try_from(address).expect("an address");
        (buffer.as_ptr().addr()..buffer.as_ptr().addr() + buffer.len()).contains(&address)
    };
    let mut n_copies = 0;
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (range, _) = line.split_once(' ').expect("a range comes first");
        let (from, to) = range.split_once('-').expect("a range has two ends");
        let [mut from, to] = [from, to].map(|end| u64::from_str_radix(end, 16).expect("an address"));
        while from < to {
            buffer.fill(0);
            let length = usize::try_from(to - from).map_or(buffer.len(), |left| left.min(buffer.len()));
            // Pages that cannot be read hold nothing of ours.
            let n_bytes = memory.read_at(&mut buffer[..length], from).unwrap_or(0);
            let found =
                (from..).zip(buffer[..n_bytes].windows(HIDDEN.len())).filter(|(_, window)| is_it(window));
            n_copies += found.filter(|(address, _)| !is_ours(&buffer, *address)).count();
            // Steps overlap, so that a text across their border is found.
            from += u64::try_from(length.max(HIDDEN.len()) - HIDDEN.len() + 1).expect("it is small");
        }
    }
    buffer.fill(0);
    n_copies
}

fn is_it(window: &[u8]) -> bool {
    window.iter().zip(HIDDEN).all(|(byte, hidden)| *byte == hidden ^ MASK)
}

/// Writes a file that holds the text, without a copy of it in this process.
fn write_file(path: &std::path::Path) {
    let file = File::create(path).expect("the directory is there");
    let mut at = 0;
    let mut put = |byte: u8| {
        file.write_all_at(&[byte], at).expect("there is space");
        at += 1;
    };
    // Longer than what an allocator writes into memory that it gets back.
    br#"{"kafka": {"password": ""#.iter().chain(&[b'x'; 64]).for_each(|byte| put(*byte));
    HIDDEN.iter().for_each(|hidden| put(hidden ^ MASK));
    b"\", \"list\": [\"a\"]}}".iter().for_each(|byte| put(*byte));
}

#[test]
fn dropped_secrets_leave_nothing_in_memory() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let path = directory.path().join("secdist.json");
    write_file(&path);
    let path = path.to_str().expect("temporary directories have plain names");
    let config = ProviderConfig { config: path.to_owned(), ..ProviderConfig::default() };
    assert_eq!(n_copies(), 0, "the test itself holds a copy");

    let secrets = Secrets::read(&config, &Files).expect("the file is right");
    let secret: Secret = secrets.get(&["kafka", "password"]).expect("it is there");
    assert_eq!(n_copies(), 2, "one in `secrets`, one in `secret`, and none of the text that was read");
    let copy = secrets.clone();
    drop(secrets);
    drop(secret);
    assert_eq!(n_copies(), 1);
    drop(copy);
    assert_eq!(n_copies(), 0);
}
