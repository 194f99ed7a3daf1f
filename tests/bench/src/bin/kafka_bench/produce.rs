//! `produce` and `produce-batch`.

use std::future::ready;
use std::sync::Arc;

use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mainspring::kafka::{Producer, Record, SendBatchError, SendError};
use mainspring::prelude::*;
use mainspring_bench::{BATCH, CONCURRENCY, IN_FLIGHT_MAX, Meter, Op, Payloads, Report};

use crate::bench::Work;

const CLIENT: &str = "mainspring";

/// One task with many senders, each of which sends and waits, again and again.
pub(crate) async fn one_by_one(work: Work, producer: Producer) -> Result<Report, SendError> {
    let (messages, size, records) = (work.messages, work.size, Records::new(work));
    let meter = Meter::start(CLIENT, Op::Produce);
    let (producer, records) = (&producer, &records);
    let senders: FuturesUnordered<_> = (0..CONCURRENCY.min(messages))
        .map(|first| async move {
            for number in (first..messages).step_by(CONCURRENCY) {
                producer.send(records.get(number)).await?;
            }
            Ok(())
        })
        .collect();
    senders.try_for_each(|()| ready(Ok(()))).await?;
    Ok(meter.stop(messages, (messages * size) as u64))
}

/// As many tasks, as if each were a request.
pub(crate) async fn by_tasks(work: Work, producer: Producer, cx: ComponentContext) -> Result<Report, String> {
    let (messages, size, records) = (work.messages, work.size, Arc::new(Records::new(work)));
    let meter = Meter::start(CLIENT, Op::Produce);
    let senders: Vec<_> = (0..CONCURRENCY.min(messages))
        .map(|first| {
            let (producer, records) = (producer.clone(), Arc::clone(&records));
            cx.spawn("sender", async move {
                for number in (first..messages).step_by(CONCURRENCY) {
                    producer.send(records.get(number)).await?;
                }
                Ok::<(), SendError>(())
            })
        })
        .collect();
    for sender in senders {
        sender.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    }
    Ok(meter.stop(messages, (messages * size) as u64))
}

/// One task that keeps as many batches in flight as may be.
pub(crate) async fn in_batches(work: Work, producer: Producer) -> Result<Report, SendBatchError> {
    let (messages, size, records) = (work.messages, work.size, Records::new(work));
    let meter = Meter::start(CLIENT, Op::ProduceBatch);
    stream::iter((0..messages).step_by(BATCH))
        .map(|first| {
            let numbers = first..messages.min(first + BATCH);
            Ok(producer.send_batch(numbers.map(|number| records.get(number))))
        })
        .try_buffer_unordered(IN_FLIGHT_MAX / BATCH)
        .try_for_each(|_deliveries| ready(Ok(())))
        .await?;
    Ok(meter.stop(messages, (messages * size) as u64))
}

/// What is sent.
struct Records {
    topic: &'static str,
    payloads: Payloads,
    /// How many different keys there are; without any, librdkafka chooses partitions as it likes.
    keys: usize,
}

impl Records {
    fn new(work: Work) -> Self {
        // The topic lives as long as the service anyway.
        Self { topic: work.topic.leak(), payloads: Payloads::new(work.size), keys: work.keys }
    }

    fn get(&self, number: usize) -> Record {
        let record = Record::to(self.topic).with_payload(self.payloads.get(number));
        match number.checked_rem(self.keys) {
            Some(key) => record.with_key(key.to_le_bytes().to_vec()),
            None => record,
        }
    }
}
