//! Client configuration: librdkafka's own property table, checked property by property.

use std::error::Error;
use std::ffi::{CString, c_char};
use std::fmt;
use std::ptr::{self, NonNull};
use std::slice;

use crate::client::SecretText;
use crate::code::KafkaCode;
use crate::error::CreateError;
use crate::sys;

/// A set of librdkafka properties.
///
/// # Examples
/// ```
/// use mainspring_kafka_ffi::{ClientConfig, ConfigErrorKind};
///
/// let mut config = ClientConfig::new();
/// config.set("linger.ms", "5")?;
/// assert_eq!(config.get("linger.ms").as_deref(), Some("5"));
///
/// let refused = config.set("linger.seconds", "5").unwrap_err();
/// assert_eq!(refused.kind, ConfigErrorKind::UnknownProperty);
/// # Ok::<(), mainspring_kafka_ffi::ConfigError>(())
/// ```
pub struct ClientConfig {
    raw: NonNull<sys::rd_kafka_conf_t>,
}

// SAFETY: a configuration is plain memory without ties to a thread.
unsafe impl Send for ClientConfig {}
// SAFETY: `&self` only reaches `rd_kafka_conf_get`, `_dump` and `_dup`, which read.
unsafe impl Sync for ClientConfig {}

/// Why a property was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigErrorKind {
    /// librdkafka has no such property.
    UnknownProperty,
    /// The property exists, but not with this value, or not in this build.
    InvalidValue,
}

/// A property was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// What is wrong.
    pub kind: ConfigErrorKind,
    /// librdkafka's text; it names the property and, for a choice, the allowed values.
    pub text: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for ConfigError {}

impl ClientConfig {
    /// librdkafka's defaults.
    ///
    /// # Panics
    /// When memory is exhausted.
    #[must_use]
    pub fn new() -> ClientConfig {
        // SAFETY: no preconditions.
        let raw = unsafe { sys::rd_kafka_conf_new() };
        ClientConfig { raw: NonNull::new(raw).expect("librdkafka aborts when out of memory") }
    }

    /// Sets one property.
    ///
    /// # Errors
    /// [`ConfigError`] when there is no such property or it does not take the value; nothing is changed then.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        let refused = |kind, text| Err(ConfigError { kind, text });
        let Ok(c_key) = CString::new(key) else {
            return refused(
                ConfigErrorKind::UnknownProperty,
                format!("no such configuration property: {key:?}"),
            );
        };
        // It may be a secret.
        let Some(c_value) = SecretText::new(value) else {
            return refused(
                ConfigErrorKind::InvalidValue,
                format!("the value of `{key}` contains a zero byte"),
            );
        };
        let mut text = sys::TextBuffer::new();
        // SAFETY: `self` owns the live configuration and is borrowed mutably; the strings live across the call, which
        // copies them; the buffer is as long as said.
        let result = unsafe {
            sys::rd_kafka_conf_set(
                self.raw.as_ptr(),
                c_key.as_ptr(),
                c_value.as_ptr(),
                text.as_mut_ptr(),
                text.len(),
            )
        };
        match result {
            sys::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK => Ok(()),
            sys::rd_kafka_conf_res_t::RD_KAFKA_CONF_UNKNOWN => {
                refused(ConfigErrorKind::UnknownProperty, text.text())
            }
            sys::rd_kafka_conf_res_t::RD_KAFKA_CONF_INVALID => {
                refused(ConfigErrorKind::InvalidValue, text.text())
            }
        }
    }

    /// The value of a property as librdkafka prints it, secrets included; `None` for one it does not know.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<String> {
        let key = CString::new(key).ok()?;
        let mut size = 0;
        // SAFETY: the configuration is live and only read; with a null destination just the size is written.
        let result = unsafe {
            sys::rd_kafka_conf_get(self.raw.as_ptr(), key.as_ptr(), ptr::null_mut(), &raw mut size)
        };
        if result != sys::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK {
            return None;
        }
        let mut value = vec![0_u8; size.max(1)];
        // SAFETY: as above; the destination holds the `size` bytes asked for.
        let result = unsafe {
            sys::rd_kafka_conf_get(
                self.raw.as_ptr(),
                key.as_ptr(),
                value.as_mut_ptr().cast::<c_char>(),
                &raw mut size,
            )
        };
        if result != sys::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK {
            return None;
        }
        let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
        value.truncate(end);
        Some(String::from_utf8_lossy(&value).into_owned())
    }

    /// Every property with its value. Secrets are shown as they are: do not log the result.
    #[must_use]
    pub fn dump(&self) -> Vec<(String, String)> {
        let mut count = 0;
        // SAFETY: the configuration is live; the function reads it and returns a new array of `count` strings.
        let strings = unsafe { sys::rd_kafka_conf_dump(self.raw.as_ptr(), &raw mut count) };
        if strings.is_null() {
            return Vec::new();
        }
        // SAFETY: `strings` points to `count` initialised string pointers until it is freed below.
        let pairs = unsafe { slice::from_raw_parts(strings, count) };
        let pairs = pairs
            .chunks_exact(2)
            .map(|pair| {
                // SAFETY: each entry is null or a string ended by a zero byte that lives as long as the array.
                let read = |text: *const c_char| unsafe { sys::text(text) };
                (read(pair[0]), read(pair[1]))
            })
            .collect();
        // SAFETY: `strings` and `count` are what the dump returned, freed once; the copies above do not borrow it.
        unsafe { sys::rd_kafka_conf_dump_free(strings, count) };
        pairs
    }

    /// Has log lines queued as events instead of printed to stderr.
    pub(crate) fn queue_logs(&mut self) -> Result<(), CreateError> {
        self.set("log.queue", "true")
            .map_err(|error| CreateError { code: KafkaCode::INVALID_ARG, text: error.text })
    }

    /// Chooses which things arrive as events instead of callbacks.
    pub(crate) fn set_events(&mut self, events: i32) {
        // SAFETY: `self` owns the live configuration and is borrowed mutably.
        unsafe { sys::rd_kafka_conf_set_events(self.raw.as_ptr(), events) };
    }

    /// Calls `take`, which returns whether it took the configuration over.
    pub(crate) fn hand_over(self, take: impl FnOnce(*mut sys::rd_kafka_conf_t) -> bool) {
        let config = std::mem::ManuallyDrop::new(self);
        if !take(config.raw.as_ptr()) {
            drop(std::mem::ManuallyDrop::into_inner(config));
        }
    }
}

impl Default for ClientConfig {
    fn default() -> ClientConfig {
        ClientConfig::new()
    }
}

impl Clone for ClientConfig {
    fn clone(&self) -> ClientConfig {
        // SAFETY: the configuration is live and only read; the copy is ours.
        let raw = unsafe { sys::rd_kafka_conf_dup(self.raw.as_ptr()) };
        ClientConfig { raw: NonNull::new(raw).expect("librdkafka aborts when out of memory") }
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be secrets, and librdkafka does not say which.
        f.debug_struct("ClientConfig").finish_non_exhaustive()
    }
}

impl Drop for ClientConfig {
    fn drop(&mut self) {
        // SAFETY: `self` owns the configuration; `hand_over` prevents this when a client took it.
        unsafe { sys::rd_kafka_conf_destroy(self.raw.as_ptr()) };
    }
}
