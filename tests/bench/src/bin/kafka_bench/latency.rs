//! `latency`: from `send` to the callback, at a steady rate.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mainspring::kafka::{Batch, ConsumerScope, Producer, Record};
use mainspring::prelude::*;
use mainspring_bench::Latencies;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::bench::{Work, finish};

/// Time between two signs of life until the consumer reads.
const KNOCK: Duration = Duration::from_millis(100);

/// What the messages' times are counted from, and what came of them.
#[derive(Debug)]
struct Measured {
    zero: Instant,
    latencies: Latencies,
    is_reading: bool,
}

/// Starts sender and reader; the reader ends the service.
pub(crate) fn start(
    work: Work,
    producer: Producer,
    scope: &ConsumerScope,
    cx: &ComponentContext,
) -> Result<(), LoadError> {
    let measured = Arc::new(Mutex::new(Measured {
        zero: Instant::now(),
        latencies: Latencies::default(),
        is_reading: false,
    }));
    let (reader, service, messages) = (Arc::clone(&measured), cx.service().clone(), work.messages);
    scope.start(move |batch: Batch| {
        let mut measured = reader.lock().unwrap_or_else(PoisonError::into_inner);
        measured.add(&batch);
        if messages <= measured.latencies.len() {
            finish(&service, &std::mem::take(&mut measured.latencies).report("mainspring"));
        }
        std::future::ready(Ok::<(), Infallible>(()))
    })?;
    let service = cx.service().clone();
    drop(cx.spawn("sender", async move {
        if let Err(error) = send(work, &producer, &measured).await {
            service.stop(error.to_string());
        }
    }));
    Ok(())
}

impl Measured {
    fn now(&self) -> u64 {
        u64::try_from(self.zero.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn add(&mut self, batch: &Batch) {
        let now = self.now();
        for message in batch {
            let Some((sent, _)) = message.payload().and_then(<[u8]>::split_first_chunk) else { continue };
            match u64::from_le_bytes(*sent) {
                0 => self.is_reading = true,
                sent => self.latencies.add(now.saturating_sub(sent)),
            }
        }
    }
}

async fn send(
    work: Work,
    producer: &Producer,
    measured: &Mutex<Measured>,
) -> Result<(), mainspring::kafka::SendError> {
    let topic: &'static str = work.topic.leak();
    let record = |sent: u64| {
        let mut payload = vec![b'.'; work.size.max(size_of::<u64>())];
        payload[..size_of::<u64>()].copy_from_slice(&sent.to_le_bytes());
        Record::to(topic).with_payload(payload)
    };
    while !measured.lock().unwrap_or_else(PoisonError::into_inner).is_reading {
        producer.send(record(0)).await?;
        sleep(KNOCK).await;
    }
    let mut ticks = interval(Duration::from_secs(1) / work.rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for _ in 0..work.messages {
        ticks.tick().await;
        let now = measured.lock().unwrap_or_else(PoisonError::into_inner).now();
        // librdkafka's report is of no interest here; what fails to come back does not let the measurement end.
        drop(producer.send_async(record(now)));
    }
    Ok(())
}
