//! From bytes to values: the typed layer over batches and messages.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::slice;
use std::sync::Arc;
use std::vec;

use bytes::Bytes;
use mainspring_engine::catch_panic;
use mainspring_logging::Chain;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::error::Category;

use crate::consumer::batch::{Batch, CommitFuture, Committer, Handed, What};
use crate::consumer::events;
use crate::consumer::message::{ConsumedMessage, Message};
use crate::consumer::run::{Call, Callback, CallbackError};
use crate::consumer::status::Status;

/// Makes values of messages.
///
/// It is called on the callback's task processor, once for each message, and should not block. What it refuses, and what it
/// panics over, is undecodable; `undecodable` in the configuration says what becomes of it.
///
/// ```
/// use mainspring_kafka::{Decoder, Message};
///
/// /// The length of the payload.
/// struct Length;
///
/// impl Decoder for Length {
///     type Value = usize;
///
///     fn decode(&self, message: &Message) -> Result<usize, Box<dyn std::error::Error + Send + Sync>> {
///         Ok(message.payload().ok_or("a tombstone has no length")?.len())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` makes no values of messages",
    note = "use `JsonDecoder`, `TextDecoder` or `BytesDecoder`, or implement `Decoder`"
)]
pub trait Decoder: Send + Sync + 'static {
    /// What becomes of a message.
    type Value: Send + 'static;

    /// Makes a value of a message.
    ///
    /// # Errors
    /// Why that is not possible; it is logged, so it should not show secrets.
    fn decode(&self, message: &Message) -> Result<Self::Value, Box<dyn std::error::Error + Send + Sync>>;
}

/// Payloads as JSON, into any type that serde reads. A null payload is undecodable, unless in [`NullableDecoder`].
pub struct JsonDecoder<T>(PhantomData<fn() -> T>);

/// Payloads as UTF-8 text. A null payload is undecodable, unless in [`NullableDecoder`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TextDecoder;

/// Payloads as they are, without copying them; each pins the fetch buffer that it came in. A null payload is undecodable,
/// unless in [`NullableDecoder`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BytesDecoder;

/// Another decoder, and `None` for tombstones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NullableDecoder<D>(pub D);

/// What becomes of messages that cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Undecodable {
    /// Its batch fails and comes again, until somebody repairs the decoder or moves the group on.
    #[default]
    Fail,
    /// It is logged, counted, and left out; it counts as processed.
    Skip,
}

impl<T> JsonDecoder<T> {
    /// A decoder for this type.
    #[must_use]
    pub const fn new() -> JsonDecoder<T> {
        JsonDecoder(PhantomData)
    }
}

impl<T> Default for JsonDecoder<T> {
    fn default() -> JsonDecoder<T> {
        JsonDecoder::new()
    }
}

impl<T> fmt::Debug for JsonDecoder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JsonDecoder")
    }
}

/// A payload was asked for and there is none.
#[derive(Debug, thiserror::Error)]
#[error("the payload is null")]
struct NullPayload;

impl<T: DeserializeOwned + Send + 'static> Decoder for JsonDecoder<T> {
    type Value = T;

    fn decode(&self, message: &Message) -> Result<T, CallbackError> {
        let payload = message.payload().ok_or(NullPayload)?;
        Ok(serde_json::from_slice(payload).map_err(|error| NotJson::from(&error))?)
    }
}

/// Why a payload is not the JSON that is wanted, and where. What stands there is not shown: payloads stay out of the log.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at line {line} column {column}")]
pub(crate) struct NotJson {
    what: &'static str,
    line: usize,
    column: usize,
}

impl From<&serde_json::Error> for NotJson {
    fn from(error: &serde_json::Error) -> NotJson {
        let what = match error.classify() {
            Category::Syntax | Category::Io => "malformed JSON",
            Category::Eof => "JSON that ends too early",
            Category::Data => "JSON of another shape",
        };
        NotJson { what, line: error.line(), column: error.column() }
    }
}

impl Decoder for TextDecoder {
    type Value = String;

    fn decode(&self, message: &Message) -> Result<String, CallbackError> {
        Ok(std::str::from_utf8(message.payload().ok_or(NullPayload)?)?.to_owned())
    }
}

impl Decoder for BytesDecoder {
    type Value = Bytes;

    fn decode(&self, message: &Message) -> Result<Bytes, CallbackError> {
        Ok(message.payload_bytes().ok_or(NullPayload)?)
    }
}

impl<D: Decoder> Decoder for NullableDecoder<D> {
    type Value = Option<D::Value>;

    fn decode(&self, message: &Message) -> Result<Self::Value, CallbackError> {
        message.payload().is_some().then(|| self.0.decode(message)).transpose()
    }
}

/// A message and the value made of it; everything else is that of [`ConsumedMessage`].
pub struct TypedMessage<T> {
    message: ConsumedMessage,
    value: T,
}

impl<T> TypedMessage<T> {
    /// The value.
    pub fn value(&self) -> &T {
        &self.value
    }

    /// The value alone.
    pub fn into_value(self) -> T {
        self.value
    }

    /// The message and the value.
    pub fn into_parts(self) -> (ConsumedMessage, T) {
        (self.message, self.value)
    }
}

impl<T> Deref for TypedMessage<T> {
    type Target = ConsumedMessage;

    fn deref(&self) -> &ConsumedMessage {
        &self.message
    }
}

impl<T> fmt::Debug for TypedMessage<T> {
    /// Where it comes from; never what it says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message.fmt(f)
    }
}

/// The messages of a [`Batch`] that could be decoded, with their values.
pub struct TypedBatch<T> {
    messages: Vec<TypedMessage<T>>,
    committer: Committer,
    handed: Handed,
}

impl<T> TypedBatch<T> {
    /// The messages.
    pub fn iter(&self) -> slice::Iter<'_, TypedMessage<T>> {
        self.messages.iter()
    }

    /// How many messages there are; at least one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether there are none; never so for a batch that a callback is given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Commits the whole batch, including what was skipped; as [`Batch::commit`].
    pub fn commit(&self) -> CommitFuture {
        self.committer.commit(What::Batch(self.handed.clone()))
    }

    /// Commits the partition of `message` up to and including it; as [`Batch::commit_through`].
    pub fn commit_through(&self, message: &Message) -> CommitFuture {
        self.committer.commit_through(&self.handed, message)
    }
}

impl<T> IntoIterator for TypedBatch<T> {
    type Item = TypedMessage<T>;
    type IntoIter = vec::IntoIter<TypedMessage<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.messages.into_iter()
    }
}

impl<'batch, T> IntoIterator for &'batch TypedBatch<T> {
    type Item = &'batch TypedMessage<T>;
    type IntoIter = slice::Iter<'batch, TypedMessage<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T> fmt::Debug for TypedBatch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedBatch").field("messages", &self.len()).finish_non_exhaustive()
    }
}

/// A message could not be decoded.
#[derive(Debug, thiserror::Error)]
#[error("`{topic}`[{partition}]@{offset} cannot be decoded: {reason}")]
struct UndecodableError {
    topic: String,
    partition: i32,
    offset: i64,
    reason: String,
}

/// A decoder and what to do where it fails.
struct Decoding<D> {
    decoder: D,
    policy: Undecodable,
    status: Arc<Status>,
}

impl<D: Decoder> Decoding<D> {
    /// The message with its value; `None` when it is to be skipped.
    fn decode(&self, message: ConsumedMessage) -> Result<Option<TypedMessage<D::Value>>, CallbackError> {
        // What a user's decoder panics over is as undecodable as what it refuses.
        let decoded =
            catch_panic(|| self.decoder.decode(&message).map_err(|error| Chain(&*error).to_string()));
        let reason = match decoded {
            Ok(Ok(value)) => return Ok(Some(TypedMessage { message, value })),
            Ok(Err(reason)) => reason,
            Err(panic) => format!("the decoder panicked: {}", panic.message),
        };
        events::undecodable(&self.status, self.policy, &message, &reason);
        match self.policy {
            Undecodable::Skip => Ok(None),
            Undecodable::Fail => {
                let (partition, offset) = (message.partition(), message.offset());
                Err(UndecodableError { topic: message.topic().to_owned(), partition, offset, reason }.into())
            }
        }
    }
}

/// A callback that is given values in batches.
pub(crate) fn of_batches<D, F, Fut, E>(
    decoder: D,
    policy: Undecodable,
    status: Arc<Status>,
    callback: F,
) -> Callback
where
    D: Decoder,
    F: Fn(TypedBatch<D::Value>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<CallbackError> + 'static,
{
    let shared = Arc::new((Decoding { decoder, policy, status }, callback));
    Arc::new(move |batch: Batch, call: &mut Call| {
        let shared = Arc::clone(&shared);
        call.set(async move {
            let (decoding, callback) = &*shared;
            let (committer, handed) = (batch.committer().clone(), batch.handed().clone());
            let mut messages = Vec::with_capacity(batch.len());
            for message in batch.into_messages() {
                messages.extend(decoding.decode(message)?);
            }
            if messages.is_empty() {
                return Ok(());
            }
            callback(TypedBatch { messages, committer, handed }).await.map_err(Into::into)
        });
    })
}

/// A callback that is given values one by one, in order.
pub(crate) fn of_messages<D, F, Fut, E>(
    decoder: D,
    policy: Undecodable,
    status: Arc<Status>,
    callback: F,
) -> Callback
where
    D: Decoder,
    F: Fn(TypedMessage<D::Value>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<CallbackError> + 'static,
{
    let shared = Arc::new((Decoding { decoder, policy, status }, callback));
    super::callbacks::of_messages(move |message| {
        let shared = Arc::clone(&shared);
        async move {
            let (decoding, callback) = &*shared;
            match decoding.decode(message)? {
                Some(message) => callback(message).await.map_err(Into::into),
                None => Ok::<_, CallbackError>(()),
            }
        }
    })
}
