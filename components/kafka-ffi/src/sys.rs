//! Raw bindings: what the crate uses of librdkafka, with error codes as plain integers.
//!
//! The generated bindings return error codes as a Rust enum. Brokers newer than the library send codes the enum lacks, and
//! such a value would be undefined behaviour, so every function that returns or takes a code is declared here again with
//! `c_int`, and codes inside C structs are read with [`code_at`].

use std::ffi::{CStr, c_char, c_int, c_void};

pub(crate) use rdkafka::bindings::*;

/// The error code as C sees it.
pub(crate) type Code = c_int;

type CommitCallback =
    Option<unsafe extern "C" fn(*mut rd_kafka_t, Code, *mut rd_kafka_topic_partition_list_t, *mut c_void)>;

/// The prototypes of the header with `rd_kafka_resp_err_t` spelled as the integer it is.
pub(crate) mod int {
    use super::{
        Code, CommitCallback, c_char, c_int, c_void, rd_kafka_error_t, rd_kafka_event_t, rd_kafka_headers_t,
        rd_kafka_message_t, rd_kafka_metadata_t, rd_kafka_mock_cluster_t, rd_kafka_queue_t, rd_kafka_t,
        rd_kafka_topic_partition_list_t, rd_kafka_topic_t,
    };

    unsafe extern "C" {
        // Safe for codes of 16 bits, and `KafkaCode` passes no others.
        pub(crate) safe fn rd_kafka_err2name(err: Code) -> *const c_char;
        pub(crate) safe fn rd_kafka_err2str(err: Code) -> *const c_char;
        pub(crate) safe fn rd_kafka_last_error() -> Code;
        pub(crate) fn rd_kafka_error_code(error: *const rd_kafka_error_t) -> Code;
        pub(crate) fn rd_kafka_fatal_error(rk: *mut rd_kafka_t, text: *mut c_char, size: usize) -> Code;
        pub(crate) fn rd_kafka_event_error(event: *mut rd_kafka_event_t) -> Code;
        pub(crate) fn rd_kafka_message_headers(
            message: *const rd_kafka_message_t,
            headers: *mut *mut rd_kafka_headers_t,
        ) -> Code;
        pub(crate) fn rd_kafka_header_get_all(
            headers: *const rd_kafka_headers_t,
            idx: usize,
            name: *mut *const c_char,
            value: *mut *const c_void,
            size: *mut usize,
        ) -> Code;
        pub(crate) fn rd_kafka_header_add(
            headers: *mut rd_kafka_headers_t,
            name: *const c_char,
            name_size: isize,
            value: *const c_void,
            value_size: isize,
        ) -> Code;
        pub(crate) fn rd_kafka_set_log_queue(rk: *mut rd_kafka_t, queue: *mut rd_kafka_queue_t) -> Code;
        pub(crate) fn rd_kafka_poll_set_consumer(rk: *mut rd_kafka_t) -> Code;
        pub(crate) fn rd_kafka_flush(rk: *mut rd_kafka_t, timeout_ms: c_int) -> Code;
        pub(crate) fn rd_kafka_purge(rk: *mut rd_kafka_t, flags: c_int) -> Code;
        pub(crate) fn rd_kafka_metadata(
            rk: *mut rd_kafka_t,
            all_topics: c_int,
            only: *mut rd_kafka_topic_t,
            metadata: *mut *const rd_kafka_metadata_t,
            timeout_ms: c_int,
        ) -> Code;
        pub(crate) fn rd_kafka_subscribe(
            rk: *mut rd_kafka_t,
            topics: *const rd_kafka_topic_partition_list_t,
        ) -> Code;
        pub(crate) fn rd_kafka_unsubscribe(rk: *mut rd_kafka_t) -> Code;
        pub(crate) fn rd_kafka_assign(
            rk: *mut rd_kafka_t,
            list: *const rd_kafka_topic_partition_list_t,
        ) -> Code;
        pub(crate) fn rd_kafka_assignment(
            rk: *mut rd_kafka_t,
            list: *mut *mut rd_kafka_topic_partition_list_t,
        ) -> Code;
        pub(crate) fn rd_kafka_pause_partitions(
            rk: *mut rd_kafka_t,
            list: *mut rd_kafka_topic_partition_list_t,
        ) -> Code;
        pub(crate) fn rd_kafka_resume_partitions(
            rk: *mut rd_kafka_t,
            list: *mut rd_kafka_topic_partition_list_t,
        ) -> Code;
        pub(crate) fn rd_kafka_commit_queue(
            rk: *mut rd_kafka_t,
            offsets: *const rd_kafka_topic_partition_list_t,
            queue: *mut rd_kafka_queue_t,
            callback: CommitCallback,
            opaque: *mut c_void,
        ) -> Code;
        pub(crate) fn rd_kafka_committed(
            rk: *mut rd_kafka_t,
            list: *mut rd_kafka_topic_partition_list_t,
            timeout_ms: c_int,
        ) -> Code;
        pub(crate) fn rd_kafka_position(
            rk: *mut rd_kafka_t,
            list: *mut rd_kafka_topic_partition_list_t,
        ) -> Code;
        pub(crate) fn rd_kafka_query_watermark_offsets(
            rk: *mut rd_kafka_t,
            topic: *const c_char,
            partition: i32,
            low: *mut i64,
            high: *mut i64,
            timeout_ms: c_int,
        ) -> Code;
        pub(crate) fn rd_kafka_offsets_for_times(
            rk: *mut rd_kafka_t,
            offsets: *mut rd_kafka_topic_partition_list_t,
            timeout_ms: c_int,
        ) -> Code;
        pub(crate) fn rd_kafka_oauthbearer_set_token(
            rk: *mut rd_kafka_t,
            token: *const c_char,
            expires_at_ms: i64,
            principal: *const c_char,
            extensions: *mut *const c_char,
            extension_count: usize,
            text: *mut c_char,
            text_size: usize,
        ) -> Code;
        pub(crate) fn rd_kafka_oauthbearer_set_token_failure(
            rk: *mut rd_kafka_t,
            text: *const c_char,
        ) -> Code;
        pub(crate) fn rd_kafka_test_fatal_error(
            rk: *mut rd_kafka_t,
            err: Code,
            reason: *const c_char,
        ) -> Code;
        pub(crate) fn rd_kafka_mock_topic_create(
            cluster: *mut rd_kafka_mock_cluster_t,
            topic: *const c_char,
            partitions: c_int,
            replication: c_int,
        ) -> Code;
        pub(crate) fn rd_kafka_mock_push_request_errors_array(
            cluster: *mut rd_kafka_mock_cluster_t,
            api_key: i16,
            count: usize,
            errors: *const Code,
        );
        pub(crate) fn rd_kafka_mock_broker_set_down(
            cluster: *mut rd_kafka_mock_cluster_t,
            broker: i32,
        ) -> Code;
        pub(crate) fn rd_kafka_mock_broker_set_up(cluster: *mut rd_kafka_mock_cluster_t, broker: i32)
        -> Code;
        pub(crate) fn rd_kafka_mock_broker_set_rtt(
            cluster: *mut rd_kafka_mock_cluster_t,
            broker: i32,
            rtt_ms: c_int,
        ) -> Code;
    }
}

/// Reads an error code inside a C struct without ever making the enum of it.
///
/// # Safety
/// `code` points to an initialised, aligned code that nobody writes meanwhile.
pub(crate) unsafe fn code_at(code: *const rd_kafka_resp_err_t) -> Code {
    // SAFETY: the enum is declared with the size and alignment of `c_int`; the caller upholds that it may be read.
    unsafe { code.cast::<Code>().read() }
}

/// Copies a C string; null gives an empty one, and bytes that are not UTF-8 are replaced.
///
/// # Safety
/// `text` is null or points to a string that ends with a zero byte and is not written meanwhile.
pub(crate) unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not null; the caller upholds the rest.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_string_lossy().into_owned()
}

/// Borrows a C string; null or bytes that are not UTF-8 give an empty one.
///
/// # Safety
/// `text` is null or points to a string that ends with a zero byte and stays unchanged for `'a`.
pub(crate) unsafe fn borrowed_text<'a>(text: *const c_char) -> &'a str {
    if text.is_null() {
        return "";
    }
    // SAFETY: not null; the caller upholds the rest.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().unwrap_or_default()
}

/// A buffer of the size that librdkafka's examples use for error texts.
pub(crate) struct TextBuffer([c_char; 512]);

impl TextBuffer {
    pub(crate) fn new() -> TextBuffer {
        TextBuffer([0; 512])
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut c_char {
        self.0.as_mut_ptr()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn text(&self) -> String {
        // SAFETY: the buffer began as zeroes and librdkafka ends what it writes with a zero byte inside it.
        unsafe { text(self.0.as_ptr()) }
    }
}

/// Milliseconds for a C timeout: saturates, so that a huge timeout never turns into the "for ever" of a negative one.
pub(crate) fn timeout_ms(timeout: std::time::Duration) -> c_int {
    c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX)
}
