//! The component that drives the others: it measures one thing, prints the result and ends the service.

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
    producer: Option<Producer>,
    consumer: Option<ConsumerScope>,
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
        let producer = (!work.is(Op::Consume)).then_some("kafka-producer");
        let consumer = (work.is(Op::Consume) || work.is(Op::Latency)).then_some("kafka-consumer");
        Dependencies::of(producer.into_iter().chain(consumer))
    }

    async fn load(work: Work, cx: &ComponentContext) -> Result<Self, LoadError> {
        let producer = cx.find_optional::<KafkaProducerComponent>("kafka-producer").await?;
        let producer = producer.map(|component| component.producer());
        let consumer = cx.find_optional::<KafkaConsumerComponent>("kafka-consumer").await?;
        let consumer = consumer.map(|component| component.consumer()).transpose()?;
        Ok(Self { work, producer, consumer, cx: cx.clone() })
    }

    async fn on_all_components_loaded(&self) -> Result<(), LoadError> {
        let work = self.work.clone();
        match (&self.producer, &self.consumer) {
            (Some(producer), Some(consumer)) => latency::start(work, producer.clone(), consumer, &self.cx)?,
            (None, Some(consumer)) => consume::start(work, consumer, self.cx.service().clone())?,
            (Some(producer), None) if work.is(Op::Produce) => {
                self.drive(produce::one_by_one(work, producer.clone(), self.cx.clone()));
            }
            (Some(producer), None) => self.drive(produce::in_batches(work, producer.clone())),
            (None, None) => return Err(LoadError::message("there is neither a producer nor a consumer")),
        }
        Ok(())
    }

    async fn stop(&self) {
        if let Some(consumer) = &self.consumer {
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
