//! The client handle that everything else shares, and the calls both kinds of client have.

use std::ffi::{CString, c_char};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::code::KafkaCode;
use crate::config::ClientConfig;
use crate::error::{CreateError, KafkaError};
use crate::sys;
use crate::teardown::{Destroyed, OpenOnDrop, Reaped, Teardown};

/// The version of librdkafka linked in, such as `2.12.1`.
#[must_use]
pub fn version() -> String {
    // SAFETY: no preconditions; returns a static string.
    let version = unsafe { sys::rd_kafka_version_str() };
    // SAFETY: a static string ended by a zero byte.
    unsafe { sys::text(version) }
}

/// What librdkafka says it was built with, such as `gzip`, `zstd` or `ssl`.
#[must_use]
pub fn builtin_features() -> Vec<String> {
    let features = ClientConfig::new().get("builtin.features").unwrap_or_default();
    features.split(',').map(str::to_owned).collect()
}

/// Which kind of client to create.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Producer,
    Consumer,
}

/// A live `rd_kafka_t`, shared by all handles that need it to outlive them.
#[derive(Clone)]
pub(crate) struct Client(Arc<Reaped<Handle>>);

struct Handle {
    rk: NonNull<sys::rd_kafka_t>,
    done: OpenOnDrop,
}

// SAFETY: `rd_kafka_t` is documented as fully thread-safe (INTRODUCTION.md, "Threads and callbacks").
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Teardown for Handle {
    fn teardown(self) {
        // A consumer has left its group by now or could not; closing here would wait without a bound.
        let flags = sys::RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE;
        // SAFETY: this is the last owner; every queue, topic, message, event and list held the client and is gone. The
        // thread is one of ours, not librdkafka's.
        unsafe { sys::rd_kafka_destroy_flags(self.rk.as_ptr(), flags) };
        drop(self.done);
    }
}

impl Client {
    pub(crate) fn new(kind: Kind, mut config: ClientConfig, events: i32) -> Result<Client, CreateError> {
        config.set_events(events);
        let kind = match kind {
            Kind::Producer => sys::rd_kafka_type_t::RD_KAFKA_PRODUCER,
            Kind::Consumer => sys::rd_kafka_type_t::RD_KAFKA_CONSUMER,
        };
        let mut text = sys::TextBuffer::new();
        let mut rk = ptr::null_mut();
        config.hand_over(|config| {
            // SAFETY: the configuration is live and ours to give; the buffer is as long as said. librdkafka takes the
            // configuration over exactly when it returns a client.
            rk = unsafe { sys::rd_kafka_new(kind, config, text.as_mut_ptr(), text.len()) };
            !rk.is_null()
        });
        let Some(rk) = NonNull::new(rk) else {
            let code = KafkaCode::from_raw(sys::int::rd_kafka_last_error());
            return Err(CreateError { code, text: text.text() });
        };
        Ok(Client(Arc::new(Reaped::new(Handle { rk, done: OpenOnDrop::default() }))))
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::rd_kafka_t {
        self.0.rk.as_ptr()
    }

    pub(crate) fn is_same(&self, other: &Client) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn destroyed(&self) -> Destroyed {
        self.0.done.destroyed()
    }

    pub(crate) fn name(&self) -> String {
        // SAFETY: the client is live; the name belongs to it and never changes.
        let name = unsafe { sys::rd_kafka_name(self.as_ptr()) };
        // SAFETY: as above, ended by a zero byte.
        unsafe { sys::text(name) }
    }

    pub(crate) fn cluster_id(&self) -> Option<String> {
        // SAFETY: the client is live; with timeout 0 only what is already known is returned, as a string we own.
        let id = unsafe { sys::rd_kafka_clusterid(self.as_ptr(), 0) };
        if id.is_null() {
            return None;
        }
        // SAFETY: not null, ended by a zero byte, ours.
        let text = unsafe { sys::text(id) };
        // SAFETY: `id` came from this client and is freed once.
        unsafe { sys::rd_kafka_mem_free(self.as_ptr(), id.cast()) };
        Some(text)
    }

    /// The reason of a fatal error, once there is one.
    pub(crate) fn fatal_error(&self) -> Option<KafkaError> {
        let mut text = sys::TextBuffer::new();
        // SAFETY: the client is live and the buffer is as long as said.
        let code = unsafe { sys::int::rd_kafka_fatal_error(self.as_ptr(), text.as_mut_ptr(), text.len()) };
        let code = KafkaCode::from_raw(code);
        (!code.is_ok()).then(|| KafkaError { fatal: true, ..KafkaError::from_text(code, text.text()) })
    }

    pub(crate) fn trigger_fatal_error(&self, code: KafkaCode, reason: &str) -> Result<(), KafkaError> {
        let reason = c_string(reason)?;
        // SAFETY: the client is live; the reason is copied.
        KafkaError::check(unsafe {
            sys::int::rd_kafka_test_fatal_error(self.as_ptr(), code.as_raw(), reason.as_ptr())
        })
    }

    pub(crate) fn partition_ids(&self, topic: &str, timeout: Duration) -> Result<Vec<i32>, KafkaError> {
        let topic = TopicRef::new(self, topic)?;
        self.metadata(Some(&topic), timeout)?.partition_ids()
    }

    pub(crate) fn n_brokers(&self, timeout: Duration) -> Result<usize, KafkaError> {
        self.metadata(None, timeout).map(|metadata| metadata.n_brokers())
    }

    /// Metadata of the cluster, and of one topic or of those the client has used.
    fn metadata(&self, topic: Option<&TopicRef>, timeout: Duration) -> Result<Metadata, KafkaError> {
        let topic = topic.map_or_else(ptr::null_mut, TopicRef::as_ptr);
        let mut metadata: *const sys::rd_kafka_metadata_t = ptr::null();
        // SAFETY: the client is live, and so is the topic unless it is null; on success `metadata` becomes ours.
        KafkaError::check(unsafe {
            sys::int::rd_kafka_metadata(self.as_ptr(), 0, topic, &raw mut metadata, sys::timeout_ms(timeout))
        })?;
        Ok(Metadata(metadata))
    }

    pub(crate) fn set_credentials(&self, username: &str, password: &str) -> Result<(), KafkaError> {
        let zero_byte =
            |what| KafkaError::from_text(KafkaCode::INVALID_ARG, format!("the {what} contains a zero byte"));
        let username = SecretText::new(username).ok_or_else(|| zero_byte("user name"))?;
        let password = SecretText::new(password).ok_or_else(|| zero_byte("password"))?;
        // SAFETY: the client is live; both strings end with a zero byte and are copied, under a lock of the client's own.
        let error = unsafe {
            sys::rd_kafka_sasl_set_credentials(self.as_ptr(), username.as_ptr(), password.as_ptr())
        };
        // SAFETY: the error object is ours, and is not used again.
        unsafe { KafkaError::take(error) }
    }

    pub(crate) fn set_oauth_token(
        &self,
        token: &str,
        expires_at_ms: i64,
        principal: &str,
    ) -> Result<(), KafkaError> {
        let token = c_string(token)?;
        let principal = c_string(principal)?;
        let mut text = sys::TextBuffer::new();
        // SAFETY: the client is live, the strings are copied, no extensions are passed, the buffer is as long as said.
        let code = unsafe {
            sys::int::rd_kafka_oauthbearer_set_token(
                self.as_ptr(),
                token.as_ptr(),
                expires_at_ms,
                principal.as_ptr(),
                ptr::null_mut(),
                0,
                text.as_mut_ptr(),
                text.len(),
            )
        };
        KafkaCode::from_raw(code).ok().map_err(|code| KafkaError::from_text(code, text.text()))
    }

    pub(crate) fn set_oauth_failure(&self, reason: &str) -> Result<(), KafkaError> {
        let reason = c_string(reason)?;
        // SAFETY: the client is live; the reason is copied.
        KafkaError::check(unsafe {
            sys::int::rd_kafka_oauthbearer_set_token_failure(self.as_ptr(), reason.as_ptr())
        })
    }
}

/// A C string that is overwritten when it is dropped.
pub(crate) struct SecretText(Zeroizing<Vec<u8>>);

impl SecretText {
    /// Nothing when the text has a zero byte in it.
    pub(crate) fn new(text: &str) -> Option<SecretText> {
        if text.contains('\0') {
            return None;
        }
        // Allocated once: growing would leave a copy behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() + 1));
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
        Some(SecretText(bytes))
    }

    pub(crate) fn as_ptr(&self) -> *const c_char {
        self.0.as_ptr().cast()
    }
}

/// A C string, or the error librdkafka would give for an argument it cannot take.
pub(crate) fn c_string(text: &str) -> Result<CString, KafkaError> {
    CString::new(text)
        .map_err(|_| KafkaError::from_text(KafkaCode::INVALID_ARG, format!("{text:?} contains a zero byte")))
}

/// A counted reference to an `rd_kafka_topic_t`.
pub(crate) struct TopicRef {
    raw: NonNull<sys::rd_kafka_topic_t>,
    client: Client,
}

// SAFETY: topic handles are thread-safe and reference-counted inside librdkafka.
unsafe impl Send for TopicRef {}
// SAFETY: as above.
unsafe impl Sync for TopicRef {}

impl TopicRef {
    pub(crate) fn new(client: &Client, name: &str) -> Result<TopicRef, KafkaError> {
        if name.is_empty() {
            // librdkafka would take it, and let records time out.
            return Err(KafkaError::from_code(KafkaCode::INVALID_ARG));
        }
        let name = c_string(name)?;
        // SAFETY: the client is live, the name is copied, null asks for the default topic configuration.
        let raw = unsafe { sys::rd_kafka_topic_new(client.as_ptr(), name.as_ptr(), ptr::null_mut()) };
        let Some(raw) = NonNull::new(raw) else {
            return Err(KafkaError::from_code(KafkaCode::from_raw(sys::int::rd_kafka_last_error())));
        };
        Ok(TopicRef { raw, client: client.clone() })
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::rd_kafka_topic_t {
        self.raw.as_ptr()
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }
}

impl Drop for TopicRef {
    fn drop(&mut self) {
        // SAFETY: `self` owns one reference, given back once, while `client` keeps the client alive.
        unsafe { sys::rd_kafka_topic_destroy(self.raw.as_ptr()) };
    }
}

/// Owned metadata of one topic.
struct Metadata(*const sys::rd_kafka_metadata_t);

impl Metadata {
    fn n_brokers(&self) -> usize {
        // SAFETY: `self` owns the live metadata.
        let count = unsafe { (*self.0).broker_cnt };
        usize::try_from(count).unwrap_or(0)
    }

    fn partition_ids(&self) -> Result<Vec<i32>, KafkaError> {
        // SAFETY: `self` owns the live metadata; places are read one by one, so that no reference covers an error code.
        let topic_count = unsafe { (*self.0).topic_cnt };
        // SAFETY: as above.
        let topic = unsafe { (*self.0).topics };
        if topic_count < 1 || topic.is_null() {
            return Err(KafkaError::from_code(KafkaCode::UNKNOWN_TOPIC));
        }
        // SAFETY: there is a first topic; only the address is taken.
        let code = unsafe { &raw const (*topic).err };
        // SAFETY: `code` points into the live metadata.
        KafkaError::check(unsafe { sys::code_at(code) })?;
        // SAFETY: there is a first topic.
        let count = unsafe { (*topic).partition_cnt };
        // SAFETY: there is a first topic.
        let partitions = unsafe { (*topic).partitions };
        let count = usize::try_from(count).unwrap_or(0);
        let ids = (0..count).map(|partition_idx| {
            // SAFETY: the array has `count` elements.
            let partition = unsafe { partitions.add(partition_idx) };
            // SAFETY: the element is initialised; only its id is read.
            unsafe { (*partition).id }
        });
        Ok(ids.collect())
    }
}

impl Drop for Metadata {
    fn drop(&mut self) {
        // SAFETY: `self` owns the metadata and frees it once.
        unsafe { sys::rd_kafka_metadata_destroy(self.0) };
    }
}
