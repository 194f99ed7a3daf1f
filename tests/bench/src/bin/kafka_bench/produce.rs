//! `produce` and `produce-batch`.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mainspring::kafka::{Producer, Record, SendError};
use mainspring::prelude::*;
use mainspring_bench::{BATCH, CONCURRENCY, IN_FLIGHT_MAX, Meter, Op, Payloads, Report};

use crate::bench::Work;

const CLIENT: &str = "mainspring";

/// Many tasks, as many requests would be, each of which sends and waits for the acknowledgement, again and again.
pub(crate) async fn one_by_one(
    work: Work,
    producer: Producer,
    cx: ComponentContext,
) -> Result<Report, String> {
    let Work { topic, messages, size, .. } = work;
    // It lives as long as the service anyway.
    let topic: &'static str = topic.leak();
    let payloads = Arc::new(Payloads::new(size));
    let meter = Meter::start(CLIENT, Op::Produce);
    let senders: Vec<_> = (0..CONCURRENCY.min(messages))
        .map(|first| {
            let (producer, payloads) = (producer.clone(), Arc::clone(&payloads));
            cx.spawn("sender", async move {
                for number in (first..messages).step_by(CONCURRENCY) {
                    producer.send(Record::to(topic).with_payload(payloads.get(number))).await?;
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
pub(crate) async fn in_batches(work: Work, producer: Producer) -> Result<Report, SendError> {
    let Work { topic, messages, size, .. } = work;
    let topic: &'static str = topic.leak();
    let payloads = Payloads::new(size);
    let meter = Meter::start(CLIENT, Op::ProduceBatch);
    stream::iter((0..messages).step_by(BATCH))
        .map(|first| {
            let numbers = first..messages.min(first + BATCH);
            let records = numbers.map(|number| Record::to(topic).with_payload(payloads.get(number)));
            let sent: Vec<_> = records.map(|record| producer.send_async(record)).collect();
            Ok(async move {
                for answer in sent {
                    answer.await?;
                }
                Ok(())
            })
        })
        .try_buffer_unordered(IN_FLIGHT_MAX / BATCH)
        .try_collect::<()>()
        .await?;
    Ok(meter.stop(messages, (messages * size) as u64))
}
