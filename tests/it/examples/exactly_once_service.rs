//! A service that copies records from one topic to another in transactions, for `tests/it/exactly_once.rs`: by the pipeline,
//! or by the same steps by hand, which can be made to stand still between two of them.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mainspring::kafka::{
    Batch, ConsumerScope, ExactlyOncePipeline, Input, KafkaConsumerComponent, KafkaExactlyOnceComponent,
    KafkaTransactionalProducerComponent, Message, Record, TransactionError, TransactionErrorClass,
    TransactionalProducer,
};
use mainspring::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;

/// The batch, counted from 0, at which it may stand still: others were committed before.
const STANDSTILL_BATCH: usize = 2;

/// Copies.
#[derive(Debug)]
struct Copier {
    running: Running,
}

#[derive(Debug)]
enum Running {
    Pipeline(ExactlyOncePipeline),
    ByHand(ConsumerScope),
}

/// Section `copier`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
struct CopierConfig {
    /// The topic that is written to.
    to: String,
    /// Where to stand still. Default: nowhere, and the pipeline does the work.
    #[serde(default)]
    standstill: Option<Point>,
    /// The file that is made when it stands still; it goes on when that is gone.
    mark: PathBuf,
}

/// Between two steps of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Point {
    BeforeSend,
    AfterSend,
    AfterSendOffsets,
    AfterCommit,
}

impl Component for Copier {
    const DEFAULT_NAME: &'static str = "copier";
    type Config = CopierConfig;

    async fn load(config: CopierConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        if config.standstill.is_none() {
            let pipeline = cx.find_default::<KafkaExactlyOnceComponent>().await?.pipeline()?;
            pipeline.start(move |input: Input| {
                let copies: Vec<_> = input.iter().map(|message| copy(message, &config.to)).collect();
                async move { Ok::<_, io::Error>(copies) }
            })?;
            return Ok(Self { running: Running::Pipeline(pipeline) });
        }
        let producer = cx.find_default::<KafkaTransactionalProducerComponent>().await?.producer();
        let scope = cx.find_default::<KafkaConsumerComponent>().await?.consumer()?;
        let service = cx.service().clone();
        let by_hand = Arc::new(ByHand { config, producer, n_batches: AtomicUsize::new(0) });
        scope.start(move |batch: Batch| {
            let (by_hand, service) = (Arc::clone(&by_hand), service.clone());
            async move {
                let result = by_hand.transact(batch).await;
                let error = result.as_ref().err().and_then(|error| error.downcast_ref::<TransactionError>());
                if error.is_some_and(|error| error.class() == TransactionErrorClass::Fatal) {
                    // Nobody else would read its partitions.
                    service.stop("there are no more transactions");
                }
                result
            }
        })?;
        Ok(Self { running: Running::ByHand(scope) })
    }

    async fn stop(&self) {
        match &self.running {
            Running::Pipeline(pipeline) => pipeline.stop().await,
            Running::ByHand(scope) => scope.stop().await,
        }
    }
}

fn copy(message: &Message, to: &str) -> Record {
    let payload = message.payload().unwrap_or_default().to_vec();
    Record::to(to.to_owned()).with_key(message.key().unwrap_or_default().to_vec()).with_payload(payload)
}

/// The steps of the pipeline, one by one.
#[derive(Debug)]
struct ByHand {
    config: CopierConfig,
    producer: TransactionalProducer,
    n_batches: AtomicUsize,
}

impl ByHand {
    async fn transact(&self, batch: Batch) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let n = self.n_batches.fetch_add(1, Ordering::Relaxed);
        let transaction = self.producer.begin().await?;
        self.pass(Point::BeforeSend, n).await?;
        for message in &batch {
            transaction.send_async(copy(message, &self.config.to)).enqueued().await;
        }
        // So that all of them are stored when it stands still.
        transaction.send(Record::to(self.config.to.clone()).with_payload("")).await?;
        self.pass(Point::AfterSend, n).await?;
        transaction.send_offsets(&batch).await?;
        self.pass(Point::AfterSendOffsets, n).await?;
        transaction.commit().await?;
        self.pass(Point::AfterCommit, n).await?;
        Ok(())
    }

    /// Stands still here, or not.
    async fn pass(&self, point: Point, n: usize) -> io::Result<()> {
        if self.config.standstill == Some(point) && n == STANDSTILL_BATCH {
            File::create(&self.config.mark)?;
            while self.config.mark.exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        Ok(())
    }
}

fn main() -> std::process::ExitCode {
    daemon_main(
        ComponentList::common_server()
            .append_default::<KafkaTransactionalProducerComponent>()
            .append_default::<KafkaConsumerComponent>()
            .append_default::<KafkaExactlyOnceComponent>()
            .append_default::<Copier>(),
    )
}
