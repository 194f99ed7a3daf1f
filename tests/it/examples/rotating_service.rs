//! A service that produces without a pause, consumes what it produces, and writes both down, for
//! `tests/it/credentials.rs`.
//!
//! The ledger is a file and no log: a line `sent` is written once the broker has acknowledged a record, a line `got`
//! before its batch is committed.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use mainspring::kafka::{
    Batch, ConsumerScope, KafkaConsumerComponent, KafkaProducerComponent, Producer, Record,
};
use mainspring::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;

/// Produces and consumes.
#[derive(Debug)]
struct Traffic {
    scope: ConsumerScope,
}

/// Section `traffic`.
#[derive(Debug, Deserialize, JsonSchema)]
struct TrafficConfig {
    /// The file that the ledger is appended to.
    ledger: PathBuf,
    /// The topic that is written to.
    topic: String,
}

/// The file of the ledger.
#[derive(Debug, Clone)]
struct Ledger(Arc<Mutex<File>>);

impl Ledger {
    /// Appends whole lines at once, so that whoever reads sees no halves.
    fn append(&self, lines: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(lines)
    }
}

impl Component for Traffic {
    const DEFAULT_NAME: &'static str = "traffic";
    type Config = TrafficConfig;

    async fn load(config: TrafficConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        let producer = cx.find_default::<KafkaProducerComponent>().await?.producer();
        let scope = cx.find_default::<KafkaConsumerComponent>().await?.consumer()?;
        let file = File::options().create(true).append(true).open(config.ledger)?;
        let ledger = Ledger(Arc::new(Mutex::new(file)));
        let received = ledger.clone();
        scope.start(move |batch| receive(batch, received.clone()))?;
        // The task ends with the component, so its handle is not kept.
        drop(cx.spawn("traffic", send(producer, config.topic, ledger)));
        Ok(Self { scope })
    }

    async fn stop(&self) {
        self.scope.stop().await;
    }
}

/// Sends numbers, for ever; those that fail are passed over.
async fn send(producer: Producer, topic: String, ledger: Ledger) {
    for number in 0_u64.. {
        let record = Record::to(topic.clone()).with_key(number.to_string()).with_payload(number.to_string());
        let line = match producer.send(record).await {
            Ok(_) => format!("sent {number}\n"),
            Err(_) => format!("failed {number}\n"),
        };
        ledger.append(line.as_bytes()).expect("the disk is not full");
    }
}

async fn receive(batch: Batch, ledger: Ledger) -> Result<(), io::Error> {
    let mut lines = Vec::new();
    for message in &batch {
        let payload = String::from_utf8_lossy(message.payload().unwrap_or_default());
        writeln!(lines, "got {payload} {} {}", message.partition(), message.offset())?;
    }
    ledger.append(&lines)?;
    drop(batch.commit());
    Ok(())
}

fn main() -> std::process::ExitCode {
    daemon_main(
        ComponentList::common_server()
            .append_default::<KafkaProducerComponent>()
            .append_default::<KafkaConsumerComponent>()
            .append_default::<Traffic>(),
    )
}
