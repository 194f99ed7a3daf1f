//! The forms a callback may have: all become one that is given a batch.
//!
//! Callbacks that block run inside [`tokio::task::block_in_place`]: their thread becomes one of the blocking ones, and the
//! runtime takes another for everything else on the task processor.

use std::sync::Arc;

use tokio::task::block_in_place;

use crate::consumer::batch::{self, Batch, Committer, Handed};
use crate::consumer::crew::Lent;
use crate::consumer::ledger::BatchEnd;
use crate::consumer::message::{ConsumedMessage, Message};
use crate::consumer::run::{Call, Callback, CallbackError};

/// One that is given batches.
pub(crate) fn of_batches<F, Fut, E>(callback: F) -> Callback
where
    F: Fn(Batch) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<CallbackError> + 'static,
{
    Arc::new(move |batch, call: &mut Call| {
        let processing = callback(batch);
        call.set(async move { processing.await.map_err(Into::into) });
    })
}

/// One that is given batches and may block.
pub(crate) fn blocking<F, E>(callback: F) -> Callback
where
    F: Fn(Batch) -> Result<(), E> + Send + Sync + 'static,
    E: Into<CallbackError> + 'static,
{
    let callback = Arc::new(callback);
    Arc::new(move |batch, call: &mut Call| {
        let callback = Arc::clone(&callback);
        call.set(async move { block_in_place(|| callback(batch)).map_err(Into::into) });
    })
}

/// One that is given messages one by one, in order.
pub(crate) fn of_messages<F, Fut, E>(callback: F) -> Callback
where
    F: Fn(ConsumedMessage) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<CallbackError> + 'static,
{
    let callback = Arc::new(callback);
    Arc::new(move |batch: Batch, call: &mut Call| {
        let callback = Arc::clone(&callback);
        call.set(async move {
            let mut progress = Progress::of(&batch);
            for message in batch.into_messages() {
                let end = progress.end_of(&message);
                callback(message).await.map_err(Into::into)?;
                progress.reached(end);
            }
            progress.finish();
            Ok(())
        });
    })
}

/// One that is given messages one by one, in order, and may block.
pub(crate) fn of_messages_blocking<F, E>(callback: F) -> Callback
where
    F: Fn(ConsumedMessage) -> Result<(), E> + Send + Sync + 'static,
    E: Into<CallbackError> + 'static,
{
    // One hand-over for the batch, not one for each message.
    blocking(move |batch: Batch| {
        let mut progress = Progress::of(&batch);
        for message in batch.into_messages() {
            let end = progress.end_of(&message);
            callback(message).map_err(Into::<CallbackError>::into)?;
            progress.reached(end);
        }
        progress.finish();
        Ok::<_, CallbackError>(())
    })
}

/// How far the messages of a batch are processed; told when it is dropped before the end, be it by a panic or because the
/// callback is cancelled.
struct Progress {
    committer: Committer,
    ends: Arc<[BatchEnd]>,
    /// The batch, if it is one of several under way.
    lent: Option<Lent>,
    /// As far as it has come, in the order of `ends`; nothing where it has not begun.
    reached: Vec<Option<BatchEnd>>,
    /// Messages in a row are mostly of one partition.
    latest: usize,
}

impl Progress {
    fn of(batch: &Batch) -> Progress {
        let (ends, lent) = match batch.handed() {
            Handed::Ends(ends) => (Arc::clone(ends), None),
            Handed::Lot(lent) => (Arc::new([lent.lot().end()]) as Arc<[BatchEnd]>, Some(lent.clone())),
        };
        let reached = vec![None; ends.len()];
        Progress { committer: batch.committer().clone(), reached, ends, lent, latest: 0 }
    }

    /// What will be reached with this message, which the callback is about to see.
    fn end_of(&mut self, message: &Message) -> Option<BatchEnd> {
        let is_of = |end: &BatchEnd| end.is_of(message.topic(), message.partition());
        if !self.ends.get(self.latest).is_some_and(is_of) {
            self.latest = self.ends.iter().position(is_of)?;
        }
        let before = self.reached[self.latest].as_ref().map_or(0, |end| end.messages);
        let end = BatchEnd { messages: before + 1, ..self.ends[self.latest].up_to(message) };
        batch::sees(&end);
        Some(end)
    }

    fn reached(&mut self, end: Option<BatchEnd>) {
        if let Some(end) = end {
            self.reached[self.latest] = Some(end);
        }
    }

    /// All of the batch is processed, which its end says.
    fn finish(mut self) {
        self.reached.clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let reached: Vec<_> = self.reached.drain(..).flatten().collect();
        match (&self.lent, &*reached) {
            (_, []) => {}
            (Some(lent), [end, ..]) => lent.done_below(end.next),
            (None, _) => self.committer.processed(reached),
        }
    }
}
