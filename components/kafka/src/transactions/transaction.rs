//! A transaction that is open, and its end.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use mainspring_kafka_ffi::{self as ffi, KafkaCode};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::consumer::Batch;
use crate::consumer::transactional::{GroupOffsets, Outcome, PendingOffsets};
use crate::producer::{
    Deliveries, Delivery, Live, Producer, Record, SendBatchError, SendError, SendFuture, Unsent,
};
use crate::transactions::error::{TransactionError, TransactionErrorClass, TransactionStep};
use crate::transactions::producer::Shared;

/// A transaction that is open. Dropping it aborts it, in the background, before the next one begins.
///
/// One record that is not stored makes it one that can only be aborted, even if nobody looks at the error.
#[must_use = "a transaction that is dropped is aborted"]
pub struct Transaction {
    /// Taken when it ends.
    open: Option<Open>,
}

/// Everything that lives as long as a transaction does.
pub(crate) struct Open {
    shared: Arc<Shared>,
    live: Arc<Live>,
    producer: Producer,
    began: Instant,
    /// The first thing that went wrong.
    failure: Mutex<Option<TransactionError>>,
    pending: Mutex<Vec<PendingOffsets>>,
    /// Given back when the transaction has ended, not before.
    _turn: OwnedSemaphorePermit,
}

impl Transaction {
    pub(crate) fn new(open: Open) -> Transaction {
        Transaction { open: Some(open) }
    }

    pub(crate) async fn begin(&self) -> Result<(), TransactionError> {
        let open = self.open();
        let begin = |client: &ffi::Producer, _| client.begin_transaction_blocking();
        open.shared.call(TransactionStep::Begin, &open.live, open.deadline(), begin).await
    }

    fn open(&self) -> &Open {
        self.open.as_ref().expect("it is taken only by what consumes the transaction")
    }

    /// Sends a record as part of the transaction and waits until brokers have it; readers see it after the commit.
    ///
    /// It waits for others to share a batch with, up to `queue_buffering_max`. Who sends several is done sooner with
    /// [`Transaction::send_async`], as the commit waits for all of them.
    ///
    /// # Errors
    /// [`SendError`]. Whichever it is, the transaction can only be aborted afterwards.
    ///
    /// # Cancel safety
    /// Dropping it leaves open whether the record is sent. When it was not, the transaction can only be aborted.
    pub async fn send(&self, record: Record) -> Result<Delivery, SendError> {
        self.send_async(record).await
    }

    /// Hands a record over at once, as part of the transaction, and returns the future of its acknowledgement.
    ///
    /// The future need not be awaited: the commit waits for the record, and fails when it was not stored. But a record that
    /// waits for space in a full queue is taken back when its future is dropped, and then the transaction can only be
    /// aborted; [`TransactionalSend::enqueued`] waits for just that space.
    pub fn send_async(&self, record: Record) -> TransactionalSend<'_> {
        let open = self.open();
        let topic = record.topic().into();
        TransactionalSend { open, topic, send: Some(open.producer.send_async(record)) }
    }

    /// Sends many records as part of the transaction and waits until brokers have them, as
    /// [`Producer::send_batch`](crate::Producer::send_batch).
    ///
    /// # Errors
    /// [`SendBatchError`](crate::SendBatchError) names each record that was not stored. The transaction can only be aborted afterwards.
    ///
    /// # Cancel safety
    /// Dropped before it is done, the transaction can only be aborted.
    pub async fn send_batch<I>(&self, records: I) -> Result<Deliveries, SendBatchError>
    where
        I: IntoIterator<Item = Record, IntoIter: ExactSizeIterator>,
    {
        let open = self.open();
        let mut step = UnfinishedStep { open, step: TransactionStep::Send, is_done: false };
        let sent = open.producer.send_batch(records).await;
        step.is_done = true;
        if let Some((_, error)) = sent.as_ref().err().and_then(|error| error.failures().first()) {
            open.fail(&TransactionError::Record(error.clone()));
        }
        sent
    }

    /// Makes the end of a consumed batch part of the transaction, in place of [`Batch::commit`]: the group goes on after it
    /// once the transaction is committed, and at it when it is aborted.
    ///
    /// The group's coordinator refuses a member that has lost the partitions since (KIP-447), so instances need not share out
    /// partitions and `transactional_id`s in the same way. The consumer must read what is committed only, which is the
    /// default (`isolation.level`).
    ///
    /// # Errors
    /// [`TransactionError::Offsets`] when a partition of the batch was taken back or the batch has failed, and
    /// [`TransactionError::Abortable`] when a coordinator refuses or does not answer. Whichever it is, the transaction can
    /// only be aborted afterwards.
    ///
    /// # Cancel safety
    /// Dropping it leaves open whether the offsets are part of the transaction: abort it.
    pub async fn send_offsets(&self, batch: &Batch) -> Result<(), TransactionError> {
        let open = self.open();
        let mut step = UnfinishedStep { open, step: TransactionStep::SendOffsets, is_done: false };
        let sent = open.send_offsets(batch).await.inspect_err(|error| open.fail(error));
        step.is_done = true;
        sent
    }

    /// Commits: waits until all records are stored, and makes them and the offsets visible, all at once.
    ///
    /// # Errors
    /// [`TransactionError::Abortable`], [`TransactionError::Record`] and others of the class
    /// [`Abortable`](crate::TransactionErrorClass::Abortable): it was aborted. [`TransactionError::Unresolved`], and those of
    /// the class [`Fatal`](crate::TransactionErrorClass::Fatal): nobody knows, see there.
    ///
    /// # Cancel safety
    /// The commit goes on when this is dropped.
    pub async fn commit(mut self) -> Result<(), TransactionError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let (shared, stopped) = (Arc::clone(&open.shared), open.shared.stopped());
        let commit = shared.cx.spawn_on(&shared.processor, "kafka-transaction-commit", open.commit());
        commit.await.unwrap_or(Err(stopped))
    }

    /// Aborts: readers of what is committed never see anything of it.
    ///
    /// # Errors
    /// [`TransactionError::Fenced`] and [`TransactionError::Stopped`]; what is not committed is aborted all the same. When the
    /// coordinator does not answer within `transaction_timeout`, another client takes over, and the abort is its first deed.
    ///
    /// # Cancel safety
    /// The abort goes on when this is dropped.
    pub async fn abort(mut self) -> Result<(), TransactionError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let (shared, stopped) = (Arc::clone(&open.shared), open.shared.stopped());
        let abort = shared.cx.spawn_on(&shared.processor, "kafka-transaction-abort", open.abort());
        abort.await.unwrap_or(Err(stopped))
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        let Some(open) = self.open.take() else { return };
        let shared = Arc::clone(&open.shared);
        let abort = async move {
            // What went wrong was told when it did.
            let _reported = open.abort().await;
        };
        // The next one to begin waits for it, so its handle is not kept.
        drop(shared.cx.spawn_on(&shared.processor, "kafka-transaction-abort", abort));
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("transactional_id", &self.open().shared.id)
            .finish_non_exhaustive()
    }
}

impl Open {
    pub(crate) fn new(shared: Arc<Shared>, live: Arc<Live>, turn: OwnedSemaphorePermit) -> Open {
        let producer = Producer { inner: Arc::clone(&shared.producer) };
        let (failure, pending) = (Mutex::new(None), Mutex::default());
        Open { shared, live, producer, began: Instant::now(), failure, pending, _turn: turn }
    }

    /// When the cluster gives it up.
    fn deadline(&self) -> Instant {
        self.began + self.shared.timeout
    }

    /// The first failure is the one that counts.
    fn fail(&self, error: &TransactionError) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert_with(|| error.clone());
    }

    async fn send_offsets(&self, batch: &Batch) -> Result<(), TransactionError> {
        let GroupOffsets { offsets, group, mut pending } =
            batch.for_transaction().await.map_err(TransactionError::Offsets)?;
        if offsets.is_empty() {
            return Ok(());
        }
        pending.are_sent();
        // Before the call, so that an end in the middle of it is told all the same.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).push(pending);
        let send = move |client: &ffi::Producer, limit| client.send_offsets_blocking(&offsets, &group, limit);
        self.shared.call(TransactionStep::SendOffsets, &self.live, self.deadline(), send).await
    }

    async fn commit(mut self) -> Result<(), TransactionError> {
        let mut failure = self.failure.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if failure.is_none() && self.deadline() <= Instant::now() {
            let reason = "it has outlasted `transaction_timeout`";
            failure = Some(TransactionError::not_in_time(&self.shared.id, TransactionStep::Commit, reason));
        }
        let result = match failure {
            Some(error) => Err(error),
            None => {
                let commit = ffi::Producer::commit_transaction_blocking;
                self.shared.call(TransactionStep::Commit, &self.live, self.deadline(), commit).await
            }
        };
        let took = self.began.elapsed();
        match result {
            Ok(()) => {
                self.tell(Outcome::Committed).await;
                self.shared.reporter.committed(took);
                Ok(())
            }
            Err(error) if error.class() == TransactionErrorClass::Abortable => {
                self.shared.reporter.failed(&error, took);
                // Whichever way it ends, it is aborted.
                let _reported = self.end_by_abort().await;
                Err(error)
            }
            Err(error) => {
                self.shared.reporter.unresolved(&error, took);
                self.shared.replace(&self.live);
                // What waits for the end is told that there is none, by being dropped.
                Err(error)
            }
        }
    }

    async fn abort(self) -> Result<(), TransactionError> {
        let took = self.began.elapsed();
        self.end_by_abort().await?;
        self.shared.reporter.aborted(took);
        Ok(())
    }

    async fn end_by_abort(&self) -> Result<(), TransactionError> {
        let abort = |client: &ffi::Producer, limit| match client.abort_transaction_blocking(limit) {
            // There is none: it never began.
            Err(error) if error.code == KafkaCode::STATE && !error.fatal => Ok(()),
            result => result,
        };
        // Begun in time or not, the abort gets the time of a transaction.
        let deadline = Instant::now() + self.shared.timeout;
        let result = self.shared.call(TransactionStep::Abort, &self.live, deadline, abort).await;
        let result = match result {
            // Nobody but this client could have committed it, and it never asked for that, so the abort is certain: the next
            // client's first call ends it.
            Err(TransactionError::Retriable(_)) => {
                self.shared.replace(&self.live);
                Ok(())
            }
            result => result,
        };
        self.tell(Outcome::Aborted).await;
        result
    }

    /// Tells the consumers whose offsets are in it.
    async fn tell(&self, outcome: Outcome) {
        let pending = std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner));
        for pending in pending {
            pending.ended(outcome).await;
        }
    }
}

/// Makes the transaction fail when the step is given up in the middle.
struct UnfinishedStep<'open> {
    open: &'open Open,
    step: TransactionStep,
    is_done: bool,
}

impl Drop for UnfinishedStep<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            let id = &self.open.shared.id;
            self.open.fail(&TransactionError::not_in_time(id, self.step, "it was given up before its end"));
        }
    }
}

/// The fate of one record of a transaction; see [`Transaction::send_async`].
///
/// # Cancel safety
/// Dropping a record that waits for space takes it back, so that the transaction can only be aborted. Dropping one that is in
/// flight loses only the answer: the commit finds out.
#[must_use = "a record that waits for space is taken back when this is dropped"]
pub struct TransactionalSend<'transaction> {
    open: &'transaction Open,
    topic: Arc<str>,
    /// None once it was answered.
    send: Option<SendFuture>,
}

impl TransactionalSend<'_> {
    /// Waits until the record is in the producer's queue, or was refused. From then on this need not be kept.
    ///
    /// # Cancel safety
    /// May be given up and taken up again; the record keeps its place in line.
    pub async fn enqueued(&mut self) {
        if let Some(send) = &mut self.send {
            send.enqueued().await;
        }
    }
}

impl Future for TransactionalSend<'_> {
    type Output = Result<Delivery, SendError>;

    /// # Panics
    /// When polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let send = self.send.as_mut().expect("`TransactionalSend` is not polled after it was ready");
        let result = ready!(Pin::new(send).poll(cx));
        self.send = None;
        if let Err(error) = &result {
            self.open.fail(&TransactionError::Record(error.clone()));
        }
        Poll::Ready(result)
    }
}

impl Drop for TransactionalSend<'_> {
    fn drop(&mut self) {
        match self.send.as_ref().and_then(SendFuture::unsent) {
            Some(Unsent::Refused(error)) => self.open.fail(&TransactionError::Record(error.clone())),
            Some(Unsent::Waiting) => {
                self.open.fail(&TransactionError::TakenBack { topic: Arc::clone(&self.topic) });
            }
            None => {}
        }
    }
}

impl fmt::Debug for TransactionalSend<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionalSend").field("topic", &self.topic).finish_non_exhaustive()
    }
}
