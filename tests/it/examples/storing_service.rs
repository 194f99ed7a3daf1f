//! A service that keeps offsets in a store of its own, together with what it made of the messages, and commits nothing.
//!
//! The store is a file of lines, `partition offset payload`. What a batch comes to is one write, so after a kill it is there as a
//! whole or not at all, and so are the offsets. It is for `tests/it/own_store.rs` alone.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use mainspring::kafka::{
    Batch, ConsumerListener, ConsumerScope, KafkaConsumerComponent, StartOffsets, TopicPartition,
};
use mainspring::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;

/// Consumes into the store.
#[derive(Debug)]
struct Keeper {
    scope: ConsumerScope,
}

/// Section `keeper`.
#[derive(Debug, Deserialize, JsonSchema)]
struct KeeperConfig {
    /// The file that is the store.
    store: PathBuf,
}

/// The file.
#[derive(Debug)]
struct Store {
    path: PathBuf,
    file: Mutex<File>,
}

impl Component for Keeper {
    const DEFAULT_NAME: &'static str = "keeper";
    type Config = KeeperConfig;

    async fn load(config: KeeperConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        let scope = cx.find::<KafkaConsumerComponent>("kafka-consumer").await?.consumer()?;
        let file = File::options().create(true).append(true).open(&config.store)?;
        let store = Arc::new(Store { path: config.store, file: Mutex::new(file) });
        scope.set_listener(Bookmarks(Arc::clone(&store)))?;
        scope.start_blocking(move |batch| store.enter(&batch))?;
        Ok(Self { scope })
    }

    async fn stop(&self) {
        self.scope.stop().await;
    }
}

/// Says where to go on.
struct Bookmarks(Arc<Store>);

impl ConsumerListener for Bookmarks {
    async fn on_assigned(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<StartOffsets, Box<dyn std::error::Error + Send + Sync>> {
        let next = self.0.next_offsets()?;
        let start = partitions.iter().fold(StartOffsets::default(), |start, partition| {
            let offset = next.get(&partition.partition).copied().unwrap_or(0);
            start.with_offset(partition, offset)
        });
        Ok(start)
    }
}

impl Store {
    fn enter(&self, batch: &Batch) -> io::Result<()> {
        let mut lines = Vec::new();
        for message in batch.iter() {
            let payload = String::from_utf8_lossy(message.payload().unwrap_or_default());
            writeln!(lines, "{} {} {payload}", message.partition(), message.offset())?;
        }
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&lines)
    }

    /// The offset after the last one of each partition.
    fn next_offsets(&self) -> io::Result<BTreeMap<i32, i64>> {
        let text = fs::read_to_string(&self.path)?;
        let mut next = BTreeMap::new();
        for line in text.lines() {
            let mut words = line.split(' ');
            let mut number = || words.next().and_then(|word| word.parse::<i64>().ok());
            let (Some(partition), Some(offset)) = (number(), number()) else {
                return Err(io::Error::other(format!("no entry: `{line}`")));
            };
            next.insert(i32::try_from(partition).map_err(io::Error::other)?, offset + 1);
        }
        Ok(next)
    }
}

fn main() -> std::process::ExitCode {
    daemon_main(
        ComponentList::common_server()
            .append::<KafkaConsumerComponent>("kafka-consumer")
            .append_default::<Keeper>(),
    )
}
