//! One record on its way into librdkafka.

use std::ffi::c_void;
use std::ptr::{self, NonNull};

use crate::client::Client;
use crate::code::KafkaCode;
use crate::delivery::Record;
use crate::error::KafkaError;
use crate::producer::Topic;
use crate::sys;

/// `RD_KAFKA_PARTITION_UA`, a macro that the bindings lack: the partitioner chooses.
pub(super) const PARTITION_UNASSIGNED: i32 = -1;

/// Neither COPY nor FREE: librdkafka reads the payload where it is. The key is copied always.
const IN_PLACE: i32 = 0;

/// Where a record goes and where its payload is, to be kept while the payload moves into its cell.
pub(super) struct Arguments<'t> {
    topic: &'t Topic,
    partition: i32,
    payload: (*mut c_void, usize),
}

impl<'t> Arguments<'t> {
    pub(super) fn new(topic: &'t Topic, record: &Record) -> Arguments<'t> {
        let payload = record.payload.as_ref().map_or((ptr::null_mut(), 0), place);
        Arguments { topic, partition: record.partition.unwrap_or(PARTITION_UNASSIGNED), payload }
    }

    /// Hands the record over; whoever calls keeps the payload alive behind `opaque`. `record` has the rest of it.
    pub(super) fn produce(
        &self,
        client: &Client,
        record: &Record,
        opaque: *mut c_void,
    ) -> Result<(), KafkaCode> {
        if record.headers.is_empty() && record.timestamp_ms.is_none() {
            return self.produce_plain(record, opaque);
        }
        let headers = HeaderList::new(&record.headers)?;
        self.tagged(record, headers.as_ref()).produce(client, opaque)?;
        // librdkafka owns the headers now.
        if let Some(headers) = headers {
            headers.release();
        }
        Ok(())
    }

    /// The shortest way: no values to tag and none to look through.
    fn produce_plain(&self, record: &Record, opaque: *mut c_void) -> Result<(), KafkaCode> {
        let key = record.key.as_ref().map_or((ptr::null_mut(), 0), place);
        // SAFETY: the topic and thereby its client are live. The key is copied in the call; the payload lives in the cell
        // behind `opaque` until the delivery report.
        let failed = unsafe {
            sys::rd_kafka_produce(
                self.topic.handle.as_ptr(),
                self.partition,
                IN_PLACE,
                self.payload.0,
                self.payload.1,
                key.0,
                key.1,
                opaque,
            )
        };
        if failed == 0 {
            return Ok(());
        }
        KafkaCode::from_raw(sys::int::rd_kafka_last_error()).ok()
    }

    fn tagged(&self, record: &Record, headers: Option<&HeaderList>) -> Tagged {
        use sys::rd_kafka_vtype_t::{
            RD_KAFKA_VTYPE_HEADERS, RD_KAFKA_VTYPE_KEY, RD_KAFKA_VTYPE_MSGFLAGS, RD_KAFKA_VTYPE_PARTITION,
            RD_KAFKA_VTYPE_RKT, RD_KAFKA_VTYPE_TIMESTAMP, RD_KAFKA_VTYPE_VALUE,
        };
        let mem = |(ptr, size)| Value { mem: sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr, size } };
        let mut tagged = Tagged::new();
        tagged.push(RD_KAFKA_VTYPE_RKT, Value { rkt: self.topic.handle.as_ptr() });
        tagged.push(RD_KAFKA_VTYPE_PARTITION, Value { i32_: self.partition });
        tagged.push(RD_KAFKA_VTYPE_MSGFLAGS, Value { i: IN_PLACE });
        if let Some(timestamp_ms) = record.timestamp_ms {
            tagged.push(RD_KAFKA_VTYPE_TIMESTAMP, Value { i64_: timestamp_ms });
        }
        tagged.push(RD_KAFKA_VTYPE_VALUE, mem(self.payload));
        if let Some(key) = &record.key {
            tagged.push(RD_KAFKA_VTYPE_KEY, mem(place(key)));
        }
        if let Some(headers) = headers {
            tagged.push(RD_KAFKA_VTYPE_HEADERS, Value { headers: headers.0.as_ptr() });
        }
        tagged
    }
}

fn place(bytes: &bytes::Bytes) -> (*mut c_void, usize) {
    (bytes.as_ptr().cast_mut().cast(), bytes.len())
}

type Value = sys::rd_kafka_vu_s__bindgen_ty_1;

/// The tagged arguments of one `rd_kafka_produceva` call.
struct Tagged {
    values: [sys::rd_kafka_vu_t; Tagged::COUNT],
    used: usize,
}

impl Tagged {
    const COUNT: usize = 8;

    fn new() -> Tagged {
        let unused = sys::rd_kafka_vu_t {
            vtype: sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_END,
            u: Value { _pad: [0; 64] },
        };
        Tagged { values: [unused; Tagged::COUNT], used: 0 }
    }

    fn push(&mut self, vtype: sys::rd_kafka_vtype_t, u: Value) {
        self.values[self.used] = sys::rd_kafka_vu_t { vtype, u };
        self.used += 1;
    }

    fn produce(mut self, client: &Client, opaque: *mut c_void) -> Result<(), KafkaCode> {
        self.push(sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_OPAQUE, Value { ptr: opaque });
        // SAFETY: the client and topic are live; each value has the type its tag says. Key and headers are copied or
        // handed over in the call. The payload lives in the cell behind `opaque` until the delivery report.
        let error = unsafe { sys::rd_kafka_produceva(client.as_ptr(), self.values.as_ptr(), self.used) };
        // SAFETY: null or an error object that is ours.
        let result = unsafe { KafkaError::take(error) };
        // `rd_kafka_produce` says only that much.
        result.map_err(|error| if error.fatal { KafkaCode::FATAL } else { error.code })
    }
}

/// Headers on their way into librdkafka.
struct HeaderList(NonNull<sys::rd_kafka_headers_t>);

impl HeaderList {
    fn new(headers: &[(String, Option<bytes::Bytes>)]) -> Result<Option<HeaderList>, KafkaCode> {
        if headers.is_empty() {
            return Ok(None);
        }
        // SAFETY: no preconditions.
        let raw = unsafe { sys::rd_kafka_headers_new(headers.len()) };
        let list = HeaderList(NonNull::new(raw).expect("librdkafka aborts when out of memory"));
        for (name, value) in headers {
            let name_size = isize::try_from(name.len()).map_err(|_| KafkaCode::MSG_SIZE_TOO_LARGE)?;
            let (value, value_size) = match value {
                None => (ptr::null(), 0),
                Some(value) => (value.as_ptr(), value.len()),
            };
            let value_size = isize::try_from(value_size).map_err(|_| KafkaCode::MSG_SIZE_TOO_LARGE)?;
            // SAFETY: the list is live; name and value have the lengths given and are copied.
            let code = unsafe {
                sys::int::rd_kafka_header_add(
                    list.0.as_ptr(),
                    name.as_ptr().cast(),
                    name_size,
                    value.cast(),
                    value_size,
                )
            };
            KafkaCode::from_raw(code).ok()?;
        }
        Ok(Some(list))
    }

    /// librdkafka took the headers over.
    fn release(self) {
        let _released = std::mem::ManuallyDrop::new(self);
    }
}

impl Drop for HeaderList {
    fn drop(&mut self) {
        // SAFETY: `self` owns the list; `release` prevents this when librdkafka took it.
        unsafe { sys::rd_kafka_headers_destroy(self.0.as_ptr()) };
    }
}
