//! The component that drives the others: it measures one thing, prints the result and ends the service.

use std::convert::Infallible;

use mainspring::ServiceHandle;
use mainspring::kafka::{ConsumerScope, KafkaConsumerComponent, KafkaProducerComponent, Producer};
use mainspring::prelude::*;
use mainspring_bench::Op;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{consume, latency, produce};

/// Why the service stops when all went well.
pub(crate) const MEASURED: &str = "measured";

/// Component `bench`.
pub(crate) struct Bench {
    work: Work,
    producers: Vec<Producer>,
    consumers: Vec<ConsumerScope>,
    cx: ComponentContext,
}

/// Section `bench`: what to measure.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Work {
    /// What to measure.
    op: String,
    /// Where records go, or come from.
    pub(crate) topic: String,
    /// How many.
    pub(crate) messages: usize,
    /// Bytes of each payload.
    pub(crate) size: usize,
    /// Records per second of `latency`.
    pub(crate) rate: u32,
    /// How many different keys records have.
    pub(crate) keys: usize,
    /// Whether `produce` sends from many tasks.
    by_tasks: bool,
    /// Nanoseconds of work on each message of `consume`.
    pub(crate) work_ns: u64,
    /// Names of producers.
    producers: Vec<String>,
    /// Names of consumers.
    consumers: Vec<String>,
}

impl Work {
    fn is(&self, op: Op) -> bool {
        self.op == op.to_string()
    }
}

impl Component for Bench {
    const DEFAULT_NAME: &'static str = "bench";
    type Config = Work;

    fn dependencies(work: &Work, _service: &ServiceOutline) -> Dependencies {
        Dependencies::of(work.producers.iter().chain(&work.consumers))
    }

    async fn load(work: Work, cx: &ComponentContext) -> Result<Self, LoadError> {
        let (mut producers, mut consumers) = (Vec::new(), Vec::new());
        for name in &work.producers {
            producers.push(cx.find::<KafkaProducerComponent>(name).await?.producer());
        }
        for name in &work.consumers {
            consumers.push(cx.find::<KafkaConsumerComponent>(name).await?.consumer()?);
        }
        Ok(Self { work, producers, consumers, cx: cx.clone() })
    }

    async fn on_all_components_loaded(&self) -> Result<(), LoadError> {
        let work = self.work.clone();
        match (&self.producers[..], &self.consumers[..]) {
            ([producer], []) if work.is(Op::ProduceBatch) => {
                self.drive(produce::in_batches(work, producer.clone()));
            }
            ([producer], []) if work.by_tasks => {
                self.drive(produce::by_tasks(work, producer.clone(), self.cx.clone()));
            }
            ([producer], []) => self.drive(produce::one_by_one(work, producer.clone())),
            ([], [consumer]) => consume::start(work, consumer, self.cx.service().clone())?,
            ([producer], [consumer]) if work.is(Op::Latency) => {
                latency::start(work, producer.clone(), consumer, &self.cx)?;
            }
            (_, consumers) => {
                for consumer in consumers {
                    consumer.start(|_batch| std::future::ready(Ok::<(), Infallible>(())))?;
                }
            }
        }
        Ok(())
    }

    async fn stop(&self) {
        for consumer in &self.consumers {
            consumer.stop().await;
        }
    }
}

impl Bench {
    /// Runs a measurement to its end.
    fn drive<R: Serialize, E: std::fmt::Display + Send + 'static>(
        &self,
        measurement: impl Future<Output = Result<R, E>> + Send + 'static,
    ) {
        let service = self.cx.service().clone();
        // It ends the service, and with it all tasks; nobody needs to wait for it.
        drop(self.cx.spawn("measurement", async move {
            match measurement.await {
                Ok(report) => finish(&service, &report),
                Err(error) => service.stop(error.to_string()),
            }
        }));
    }
}

/// Prints the result and ends the service.
#[expect(clippy::print_stdout, reason = "the result is its output")]
pub(crate) fn finish(service: &ServiceHandle, report: &impl Serialize) {
    match serde_json::to_string(report) {
        Ok(line) => {
            println!("{line}");
            service.stop(MEASURED);
        }
        Err(error) => service.stop(error.to_string()),
    }
}
