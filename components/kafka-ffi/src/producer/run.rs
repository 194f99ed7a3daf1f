//! Records of a batch on their way into librdkafka, many in one call.

use std::mem::MaybeUninit;
use std::ptr;

use crate::batch::BatchSender;
use crate::client::Client;
use crate::code::KafkaCode;
use crate::delivery::Record;
use crate::producer::Topic;
use crate::producer::arguments::{Arguments, PARTITION_UNASSIGNED};
use crate::sys;

/// Most records in one call: enough to share its costs, few enough to stay in the processor's nearest cache.
pub const RUN_MAX: usize = 64;

pub(super) fn send(
    client: &Client,
    topic: &Topic,
    records: &mut Vec<Record>,
    batch: &mut BatchSender,
    refused: &mut dyn FnMut(Option<i32>, KafkaCode),
) -> Result<(), KafkaCode> {
    let mut n_done = 0;
    let mut result = Ok(());
    while n_done < records.len() {
        let left = &mut records[n_done..];
        let partition = left[0].partition;
        let taken = if is_plain(&left[0]) {
            let run = left.iter().take(RUN_MAX).take_while(|record| fits(record, partition)).count();
            produce_run(topic, partition, &mut left[..run], batch, refused)
        } else {
            produce_one(client, topic, &mut left[0], batch, refused)
        };
        n_done += taken.n_done;
        if let Some(code) = taken.stopped_by {
            result = Err(code);
            break;
        }
    }
    records.drain(..n_done);
    result
}

struct Taken {
    n_done: usize,
    stopped_by: Option<KafkaCode>,
}

/// Whether it is about the producer, and not about the record: then all that follow fare the same.
fn stops(code: KafkaCode) -> bool {
    matches!(code, KafkaCode::QUEUE_FULL | KafkaCode::FATAL)
}

/// Whether `rd_kafka_produce_batch` can take it: it knows neither headers nor timestamps.
fn is_plain(record: &Record) -> bool {
    record.headers.is_empty() && record.timestamp_ms.is_none()
}

/// Whether it may share a run. librdkafka can also be told a partition for each message, but then it loses those whose
/// partition does not exist: `rd_kafka_produce_batch` goes on without destroying or counting them off.
fn fits(record: &Record, partition: Option<i32>) -> bool {
    is_plain(record) && record.partition == partition
}

fn produce_one(
    client: &Client,
    topic: &Topic,
    record: &mut Record,
    batch: &mut BatchSender,
    refused: &mut dyn FnMut(Option<i32>, KafkaCode),
) -> Taken {
    let arguments = Arguments::new(topic, record);
    let opaque = batch.issue(record.payload.take());
    let Err(code) = arguments.produce(client, record, opaque) else {
        return Taken { n_done: 1, stopped_by: None };
    };
    // SAFETY: its slot was issued last, and librdkafka has refused the record.
    record.payload = unsafe { batch.take_back() };
    if stops(code) {
        return Taken { n_done: 0, stopped_by: Some(code) };
    }
    refused(record.partition, code);
    batch.fail(code, record.partition);
    Taken { n_done: 1, stopped_by: None }
}

fn produce_run(
    topic: &Topic,
    partition: Option<i32>,
    records: &mut [Record],
    batch: &mut BatchSender,
    refused: &mut dyn FnMut(Option<i32>, KafkaCode),
) -> Taken {
    let mut messages = [const { MaybeUninit::<sys::rd_kafka_message_t>::uninit() }; RUN_MAX];
    for (message, record) in messages.iter_mut().zip(records.iter_mut()) {
        let payload = record.payload.as_ref().map_or((ptr::null(), 0), |bytes| (bytes.as_ptr(), bytes.len()));
        let key = record.key.as_ref().map_or((ptr::null(), 0), |bytes| (bytes.as_ptr(), bytes.len()));
        message.write(sys::rd_kafka_message_t {
            err: sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR,
            rkt: ptr::null_mut(),
            partition: PARTITION_UNASSIGNED,
            payload: payload.0.cast_mut().cast(),
            len: payload.1,
            key: key.0.cast_mut().cast(),
            key_len: key.1,
            offset: 0,
            // The payload moves, its bytes do not.
            _private: batch.issue(record.payload.take()),
        });
    }
    let first = messages.as_mut_ptr().cast::<sys::rd_kafka_message_t>();
    let count = i32::try_from(records.len()).expect("a run is at most `RUN_MAX` long");
    let partition = partition.unwrap_or(PARTITION_UNASSIGNED);
    // SAFETY: the topic and thereby its client are live; the first `count` messages are initialised. Keys are copied in the
    // call; payloads live in the slots behind the opaques until the delivery reports.
    let n_taken = unsafe { sys::rd_kafka_produce_batch(topic.handle.as_ptr(), partition, 0, first, count) };
    if n_taken == count {
        return Taken { n_done: records.len(), stopped_by: None };
    }
    settle(&messages[..records.len()], records, batch, refused)
}

/// Sorts out a run of which librdkafka has not taken all.
fn settle(
    messages: &[MaybeUninit<sys::rd_kafka_message_t>],
    records: &mut [Record],
    batch: &mut BatchSender,
    refused: &mut dyn FnMut(Option<i32>, KafkaCode),
) -> Taken {
    let code = |idx: usize| {
        // SAFETY: the message is initialised; only the address of a place is taken.
        let code = unsafe { &raw const (*messages[idx].as_ptr()).err };
        // SAFETY: `code` points into the message, which nobody writes any more.
        KafkaCode::from_raw(unsafe { sys::code_at(code) })
    };
    // Once it stops, librdkafka takes none of the rest either.
    let n_done = (0..records.len()).position(|idx| stops(code(idx))).unwrap_or(records.len());
    for record in records[n_done..].iter_mut().rev() {
        // SAFETY: the slot was issued last but those taken back already, and librdkafka has refused the record.
        record.payload = unsafe { batch.take_back() };
    }
    for (idx, record) in records[..n_done].iter().enumerate() {
        let code = code(idx);
        if !code.is_ok() {
            refused(record.partition, code);
            // SAFETY: librdkafka has refused the record, so it will not report this opaque.
            let opaque = unsafe { (*messages[idx].as_ptr())._private };
            // SAFETY: as above.
            unsafe { batch.refuse(opaque, code, record.partition) };
        }
    }
    Taken { n_done, stopped_by: (n_done < records.len()).then(|| code(n_done)) }
}
