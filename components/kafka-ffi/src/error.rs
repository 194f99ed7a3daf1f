//! Errors with everything librdkafka says about them, as data.

use std::error::Error;
use std::fmt;
use std::ptr::NonNull;

use crate::code::KafkaCode;
use crate::sys;

/// What a call or an error event reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaError {
    /// The code to branch on. For a fatal error the cause, not [`KafkaCode::FATAL`].
    pub code: KafkaCode,
    /// librdkafka's text for a person.
    pub text: String,
    /// The client is unusable from here on: create a new one.
    pub fatal: bool,
    /// Trying the same call again may help.
    pub retriable: bool,
    /// The running transaction must be aborted.
    pub txn_requires_abort: bool,
}

impl KafkaError {
    /// An error of which only the code is known.
    #[must_use]
    pub fn from_code(code: KafkaCode) -> KafkaError {
        KafkaError {
            code,
            text: code.description(),
            fatal: code == KafkaCode::FATAL,
            retriable: false,
            txn_requires_abort: false,
        }
    }

    pub(crate) fn from_text(code: KafkaCode, text: String) -> KafkaError {
        KafkaError { text, ..KafkaError::from_code(code) }
    }

    /// Turns the returned code of a call into a result.
    pub(crate) fn check(code: sys::Code) -> Result<(), KafkaError> {
        KafkaCode::from_raw(code).ok().map_err(KafkaError::from_code)
    }

    /// Takes over the error object a call returned; null means success.
    ///
    /// # Safety
    /// `error` is null or an error object that the caller owns and does not use again.
    pub(crate) unsafe fn take(error: *mut sys::rd_kafka_error_t) -> Result<(), KafkaError> {
        let Some(error) = NonNull::new(error) else { return Ok(()) };
        let error = OwnedError(error);
        Err(error.read())
    }
}

impl fmt::Display for KafkaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (`{}`)", self.text, self.code)
    }
}

impl Error for KafkaError {}

/// A client could not be created: librdkafka refused the configuration as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateError {
    /// The code librdkafka reported.
    pub code: KafkaCode,
    /// Its text, which names the properties that do not fit together.
    pub text: String,
}

impl fmt::Display for CreateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for CreateError {}

impl From<KafkaError> for CreateError {
    fn from(error: KafkaError) -> CreateError {
        CreateError { code: error.code, text: error.text }
    }
}

/// An `rd_kafka_error_t` and the duty to free it.
struct OwnedError(NonNull<sys::rd_kafka_error_t>);

impl OwnedError {
    fn read(&self) -> KafkaError {
        let error = self.0.as_ptr();
        // SAFETY: `self` owns the live error; reading its code changes nothing.
        let code = KafkaCode::from_raw(unsafe { sys::int::rd_kafka_error_code(error) });
        // SAFETY: as above; the string belongs to the error.
        let text = unsafe { sys::rd_kafka_error_string(error) };
        // SAFETY: the string lives as long as the error and ends with a zero byte.
        let text = unsafe { sys::text(text) };
        // SAFETY: as for the code.
        let fatal = unsafe { sys::rd_kafka_error_is_fatal(error) } != 0;
        // SAFETY: as for the code.
        let retriable = unsafe { sys::rd_kafka_error_is_retriable(error) } != 0;
        // SAFETY: as for the code.
        let txn_requires_abort = unsafe { sys::rd_kafka_error_txn_requires_abort(error) } != 0;
        KafkaError { code, text, fatal, retriable, txn_requires_abort }
    }
}

impl Drop for OwnedError {
    fn drop(&mut self) {
        // SAFETY: `self` owns the error and this is the only place that frees it.
        unsafe { sys::rd_kafka_error_destroy(self.0.as_ptr()) };
    }
}
