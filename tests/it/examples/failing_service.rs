//! A service whose callback fails, panics and forgets to commit, and keeps an exact ledger of it.
//!
//! No sample does that, and one that did would be worse to copy, so this one is for `tests/it/failing_callback.rs` alone.
//! The ledger is a file and no log: each line is written before the callback answers, so that whoever sees a commit
//! finds in it what was committed.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use mainspring::kafka::{Batch, ConsumerScope, KafkaConsumerComponent};
use mainspring::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;

/// Batches that may go wrong. The rest is in order, so that everything is committed in the end.
const N_WRONG_MAX: usize = 60;

/// Consumes, and keeps the ledger.
#[derive(Debug)]
struct Accountant {
    scope: ConsumerScope,
}

/// Section `accountant`.
#[derive(Debug, Deserialize, JsonSchema)]
struct AccountantConfig {
    /// The file that the ledger is appended to.
    ledger: PathBuf,
}

/// What was handed to the callback so far.
#[derive(Debug)]
struct Ledger {
    n_batches: usize,
    file: File,
}

/// What becomes of a batch.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Committed,
    NotCommitted,
    Failed,
    Panicked,
}

impl Fate {
    /// Each kind comes often, also several in a row.
    fn of(batch: usize) -> Self {
        match batch {
            N_WRONG_MAX.. => Self::Committed,
            _ if batch % 11 == 3 => Self::Panicked,
            _ if batch % 3 == 1 => Self::Failed,
            _ if batch % 4 == 2 => Self::NotCommitted,
            _ => Self::Committed,
        }
    }
}

impl Component for Accountant {
    const DEFAULT_NAME: &'static str = "accountant";
    type Config = AccountantConfig;

    async fn load(config: AccountantConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        let scope = cx.find::<KafkaConsumerComponent>("kafka-consumer").await?.consumer()?;
        let file = File::options().create(true).append(true).open(config.ledger)?;
        let ledger = Arc::new(Mutex::new(Ledger { n_batches: 0, file }));
        scope.start(move |batch| handle(batch, Arc::clone(&ledger)))?;
        Ok(Self { scope })
    }

    async fn stop(&self) {
        self.scope.stop().await;
    }
}

async fn handle(batch: Batch, ledger: Arc<Mutex<Ledger>>) -> Result<(), io::Error> {
    let fate = ledger.lock().unwrap_or_else(PoisonError::into_inner).enter(&batch)?;
    match fate {
        Fate::Committed => drop(batch.commit()),
        Fate::NotCommitted => {}
        Fate::Failed => return Err(io::Error::other("on purpose")),
        Fate::Panicked => panic!("on purpose"),
    }
    Ok(())
}

impl Ledger {
    /// Writes a line for each message: fate, partition, offset, payload.
    fn enter(&mut self, batch: &Batch) -> io::Result<Fate> {
        let fate = Fate::of(self.n_batches);
        self.n_batches += 1;
        let mut lines = Vec::new();
        for message in batch.iter() {
            let payload = String::from_utf8_lossy(message.payload().unwrap_or_default());
            writeln!(lines, "{fate:?} {} {} {payload}", message.partition(), message.offset())?;
        }
        self.file.write_all(&lines)?;
        Ok(fate)
    }
}

fn main() -> std::process::ExitCode {
    daemon_main(
        ComponentList::common_server()
            .append::<KafkaConsumerComponent>("kafka-consumer")
            .append_default::<Accountant>(),
    )
}
