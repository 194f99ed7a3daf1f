//! The contract of `mainspring-bench` over rust-rdkafka: `FutureProducer` and `StreamConsumer`, as its users know them.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use mainspring_bench::{Arguments, BATCH, CONCURRENCY, IN_FLIGHT_MAX, Meter, Op, Payloads, Report};
use rdkafka::ClientConfig;
use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord};
use rdkafka::util::Timeout;

const CLIENT: &str = "rust-rdkafka";

const COMMIT_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Parser)]
#[command(name = "kafka_bench_rdkafka", about = "Measures rust-rdkafka.")]
struct Flags {
    #[command(flatten)]
    contract: Arguments,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let Flags { contract } = Flags::parse();
    let measured = match contract.op {
        Op::Produce => one_by_one(&contract).await,
        Op::ProduceBatch => in_batches(&contract).await,
        Op::Consume => consume(&contract).await,
        Op::Latency | Op::Idle => return usage("only sending and receiving are compared with rust-rdkafka"),
    };
    match measured {
        Ok(report) => say(&report),
        Err(error) => usage(&error.to_string()),
    }
}

#[expect(clippy::print_stdout, reason = "the result is its output")]
fn say(report: &Report) -> ExitCode {
    println!("{}", serde_json::to_string(report).expect("a report is plain data"));
    ExitCode::SUCCESS
}

#[expect(clippy::print_stderr, reason = "a command-line tool speaks to its user")]
fn usage(problem: &str) -> ExitCode {
    eprintln!("{problem}");
    ExitCode::FAILURE
}

fn producer(contract: &Arguments) -> Result<FutureProducer, KafkaError> {
    let mut config = ClientConfig::new();
    config.extend(contract.producer_properties().map(|(name, value)| (name.to_owned(), value)));
    config.create()
}

async fn one_by_one(contract: &Arguments) -> Result<Report, KafkaError> {
    let producer = producer(contract)?;
    let payloads = Payloads::new(contract.size);
    let meter = Meter::start(CLIENT, Op::Produce);
    let (producer, payloads) = (&producer, &payloads);
    let mut senders: FuturesUnordered<_> = (0..CONCURRENCY.min(contract.messages))
        .map(|first| async move {
            for number in (first..contract.messages).step_by(CONCURRENCY) {
                let record = FutureRecord::<(), _>::to(&contract.topic).payload(payloads.slice(number));
                producer.send(record, Timeout::Never).await.map_err(|(error, _record)| error)?;
            }
            Ok::<(), KafkaError>(())
        })
        .collect();
    while let Some(sender) = senders.next().await {
        sender?;
    }
    drop(senders);
    Ok(meter.stop(contract.messages, (contract.messages * contract.size) as u64))
}

/// It has no call for many records; this is how its users do it.
async fn in_batches(contract: &Arguments) -> Result<Report, KafkaError> {
    let producer = producer(contract)?;
    let payloads = Payloads::new(contract.size);
    let meter = Meter::start(CLIENT, Op::ProduceBatch);
    let mut in_flight = std::collections::VecDeque::with_capacity(IN_FLIGHT_MAX);
    for number in 0..contract.messages {
        while IN_FLIGHT_MAX - BATCH <= in_flight.len() {
            acknowledged(in_flight.pop_front()).await?;
        }
        let mut record = FutureRecord::<(), _>::to(&contract.topic).payload(payloads.slice(number));
        loop {
            match producer.send_result(record) {
                Ok(delivery) => break in_flight.push_back(delivery),
                Err((error, refused)) => {
                    if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                        return Err(error);
                    }
                    record = refused;
                    acknowledged(in_flight.pop_front()).await?;
                }
            }
        }
    }
    while let Some(delivery) = in_flight.pop_front() {
        acknowledged(Some(delivery)).await?;
    }
    Ok(meter.stop(contract.messages, (contract.messages * contract.size) as u64))
}

async fn acknowledged(delivery: Option<DeliveryFuture>) -> Result<(), KafkaError> {
    let Some(delivery) = delivery else { return Ok(()) };
    match delivery.await {
        Ok(Ok(_delivery)) => Ok(()),
        Ok(Err((error, _record))) => Err(error),
        Err(_canceled) => Err(KafkaError::Canceled),
    }
}

async fn consume(contract: &Arguments) -> Result<Report, KafkaError> {
    let consumer: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", &contract.brokers)
        .set("group.id", contract.group())
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .create()?;
    consumer.subscribe(&[&contract.topic])?;
    let (mut meter, mut committed) = (None, Instant::now());
    let (mut messages, mut bytes, mut sum) = (0, 0, 0);
    while messages < contract.messages {
        let message = consumer.recv().await?;
        meter.get_or_insert_with(|| Meter::start(CLIENT, Op::Consume));
        let payload = message.payload().unwrap_or_default();
        if let [first, .., last] = payload {
            sum += u64::from(*first) + u64::from(*last);
        }
        bytes += payload.len() as u64;
        messages += 1;
        // The clock is asked for every batch, as elsewhere.
        if messages % BATCH == 0 && COMMIT_INTERVAL <= committed.elapsed() {
            consumer.commit_consumer_state(CommitMode::Async)?;
            committed = Instant::now();
        }
    }
    let report = meter.map(|meter| meter.stop(messages, bytes)).ok_or(KafkaError::Canceled)?;
    assert_ne!(sum, 0, "payloads are text");
    consumer.commit_consumer_state(CommitMode::Async)?;
    Ok(report)
}
