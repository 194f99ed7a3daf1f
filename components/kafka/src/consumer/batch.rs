//! What a callback is given, and how it says that the batch is done with.

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::slice;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::{mpsc, oneshot};

use crate::consumer::control::Command;
use crate::consumer::crew::Lent;
use crate::consumer::error::CommitError;
use crate::consumer::ledger::{BatchEnd, Key};
use crate::consumer::message::{ConsumedMessage, Message};
use crate::consumer::transactional::{GroupOffsets, Outcome, TransactionRequest};

/// Commits that may wait for the consumer's task, and as many again for the coordinator's answer. The task takes them as
/// they come, so this many means that it is stuck, or that somebody keeps committing while the coordinator is silent.
pub(crate) const COMMITS_WAITING_MAX: usize = 1024;

/// Messages that arrived together, in order within each partition.
///
/// A batch holds whatever arrived, up to `max_batch_size`, at the latest `poll_timeout` after its first message. With
/// `concurrency` it holds what has arrived when there is a callback free for it, of one partition or one key.
pub struct Batch {
    messages: Messages,
    committer: Committer,
    handed: Handed,
}

enum Messages {
    Ours(Vec<Message>),
    /// They may come again.
    Lent(Lent),
}

/// What a callback was given, as far as commits are concerned.
#[derive(Debug, Clone)]
pub(crate) enum Handed {
    /// The only batch under way, up to its ends.
    Ends(Arc<[BatchEnd]>),
    /// One of several.
    Lot(Lent),
}

impl Batch {
    pub(crate) fn new(messages: Vec<Message>, committer: Committer, ends: Arc<[BatchEnd]>) -> Batch {
        Batch { messages: Messages::Ours(messages), committer, handed: Handed::Ends(ends) }
    }

    pub(crate) fn of_lot(lent: Lent, committer: Committer) -> Batch {
        Batch { messages: Messages::Lent(lent.clone()), committer, handed: Handed::Lot(lent) }
    }

    fn messages(&self) -> &[Message] {
        match &self.messages {
            Messages::Ours(messages) => messages,
            Messages::Lent(lent) => lent.messages(),
        }
    }

    /// The messages.
    pub fn iter(&self) -> slice::Iter<'_, Message> {
        self.messages().iter()
    }

    /// How many messages there are; at least one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages().len()
    }

    /// Whether there are none; never so for a batch that a callback is given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages().is_empty()
    }

    /// Commits this batch up to its end, so that nobody of the group is given its messages again. Call it once they are
    /// processed.
    ///
    /// The commit is under way when this returns; await the result or drop it. It stands even if the callback fails
    /// afterwards. It stays allowed after the callback has returned, but not after the batch has failed. What the group
    /// refuses for a while, such as during a rebalance, is asked for again for up to a minute, as long as the partition stays
    /// with this member.
    ///
    /// With `concurrency` the batch counts as processed from here on, and its partition is committed up to the first message
    /// that is not processed, which may be before this batch: the result is that of this commit, and `Ok` when there was
    /// nothing to commit yet. What it leaves out is covered by later commits.
    pub fn commit(&self) -> CommitFuture {
        self.committer.commit(What::Batch(self.handed.clone()))
    }

    /// Commits the partition of `message`, one of this batch, up to and including it; otherwise as [`Batch::commit`].
    ///
    /// It is refused with [`CommitError::Revoked`] when the message comes from another batch's partition.
    pub fn commit_through(&self, message: &Message) -> CommitFuture {
        self.committer.commit_through(&self.handed, message)
    }

    /// The messages, each with the means to commit it.
    pub fn into_messages(self) -> impl ExactSizeIterator<Item = ConsumedMessage> {
        let Batch { messages, committer, handed } = self;
        let messages = match messages {
            Messages::Ours(messages) => messages,
            Messages::Lent(lent) => lent.into_messages(),
        };
        messages
            .into_iter()
            .map(move |message| ConsumedMessage::new(message, committer.clone(), handed.clone()))
    }

    pub(crate) fn committer(&self) -> &Committer {
        &self.committer
    }

    pub(crate) fn handed(&self) -> &Handed {
        &self.handed
    }

    /// The messages apart, and the batch without them, which still knows where it ends.
    pub(crate) fn split(mut self) -> (Vec<Message>, Batch) {
        let messages = match std::mem::replace(&mut self.messages, Messages::Ours(Vec::new())) {
            Messages::Ours(messages) => messages,
            Messages::Lent(lent) => lent.into_messages(),
        };
        (messages, self)
    }

    /// The end of this batch, to become part of a transaction.
    pub(crate) async fn for_transaction(&self) -> Result<GroupOffsets, CommitError> {
        match &self.handed {
            Handed::Ends(ends) => self.committer.for_transaction(Arc::clone(ends)).await,
            // Its end may lie behind messages that nobody is done with.
            Handed::Lot(_) => Err(CommitError::Concurrent),
        }
    }
}

impl<'batch> IntoIterator for &'batch Batch {
    type Item = &'batch Message;
    type IntoIter = slice::Iter<'batch, Message>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("messages", &self.len()).finish_non_exhaustive()
    }
}

/// The result of a commit, once the group's coordinator has answered. Dropping it does not take the commit back.
///
/// # Cancel safety
/// Safe to drop and to poll again until it is ready.
#[derive(Debug)]
pub struct CommitFuture(oneshot::Receiver<Result<(), CommitError>>);

impl Future for CommitFuture {
    type Output = Result<(), CommitError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Without an answer the consumer was stopped.
        Poll::Ready(ready!(Pin::new(&mut self.0).poll(cx)).unwrap_or(Err(CommitError::Stopped)))
    }
}

/// What is to be committed.
#[derive(Debug)]
pub(crate) enum What {
    /// One batch up to its end.
    Batch(Handed),
    /// Whatever callbacks have returned from.
    Processed,
    /// The same, of one partition.
    ProcessedOf(Key),
}

/// Something said to the consumer's task. One way for all of it, so that it comes in the order in which it was said.
#[derive(Debug)]
pub(crate) enum Request {
    Commit(CommitRequest),
    /// A callback that goes on, or fails, is done with its batch up to here.
    Processed(Vec<BatchEnd>),
    Command(Command),
    Transaction(TransactionRequest),
}

/// A commit that somebody wants.
#[derive(Debug)]
pub(crate) struct CommitRequest {
    pub(crate) what: What,
    pub(crate) reply: Reply,
}

/// Where the result of a commit goes.
pub(crate) type Reply = oneshot::Sender<Result<(), CommitError>>;

/// The way to the task of one run of a consumer.
#[derive(Debug, Clone)]
pub(crate) struct Committer(mpsc::Sender<Request>);

tokio::task_local! {
    /// The batch that the callback running in this task was given.
    static CURRENT: Current;
}

/// What the running callback has of a batch.
struct Current {
    committer: Committer,
    handed: Handed,
    /// For one that is given message by message: how far it has come in each partition, the message that it has included. The
    /// rest of the batch it has not seen.
    seen: RefCell<Option<Vec<BatchEnd>>>,
}

impl Current {
    fn what(&self) -> What {
        What::Batch(match (&*self.seen.borrow(), &self.handed) {
            (None, handed) => handed.clone(),
            (Some(seen), Handed::Ends(_)) => Handed::Ends(seen.as_slice().into()),
            (Some(seen), Handed::Lot(lent)) => {
                Handed::Lot(lent.below(seen.iter().map(|end| end.next).max().unwrap_or(0)))
            }
        })
    }
}

/// The callback running in this task is about to see the message that ends here, and has seen nothing behind it.
pub(crate) fn sees(end: &BatchEnd) {
    let _outside_of_a_callback = CURRENT.try_with(|current| {
        let mut seen = current.seen.borrow_mut();
        let seen = seen.get_or_insert_default();
        match seen.iter_mut().find(|it| it.is_of(&end.topic, end.partition)) {
            Some(known) => known.clone_from(end),
            None => seen.push(end.clone()),
        }
    });
}

impl Committer {
    pub(crate) fn new() -> (Committer, mpsc::Receiver<Request>) {
        let (tx, rx) = mpsc::channel(COMMITS_WAITING_MAX);
        (Committer(tx), rx)
    }

    /// Inside a callback of this consumer the batch it was given, or what it has seen of it, elsewhere what was processed: a
    /// commit from some other task never covers a batch whose callback is still at work.
    pub(crate) fn commit_current(&self) -> CommitFuture {
        let batch =
            CURRENT.try_with(|current| current.committer.0.same_channel(&self.0).then(|| current.what()));
        self.commit(batch.ok().flatten().unwrap_or(What::Processed))
    }

    pub(crate) fn commit(&self, what: What) -> CommitFuture {
        if let What::Batch(Handed::Lot(lent)) = &what {
            // From now on, so that it does not come again if its callback fails a moment later.
            lent.note();
        }
        let (reply, answer) = oneshot::channel();
        let request = Request::Commit(CommitRequest { what, reply });
        if let Err(mpsc::error::TrySendError::Full(Request::Commit(refused))) = self.0.try_send(request) {
            answer_with(refused.reply, Err(CommitError::QueueFull { limit: COMMITS_WAITING_MAX }));
        }
        CommitFuture(answer)
    }

    /// Commits one partition of a batch up to and including a message of it.
    pub(crate) fn commit_through(&self, handed: &Handed, message: &Message) -> CommitFuture {
        let (topic, partition) = (message.topic(), message.partition());
        let through = match handed {
            Handed::Ends(ends) => {
                let end = ends.iter().find(|end| end.is_of(topic, partition));
                end.map(|end| Handed::Ends(Arc::new([end.up_to(message)])))
            }
            Handed::Lot(lent) => lent.up_to(message).map(Handed::Lot),
        };
        match through {
            Some(through) => self.commit(What::Batch(through)),
            None => refused(CommitError::revoked(topic, partition)),
        }
    }

    /// A callback is done with its batch up to these ends. What cannot be said is as if it was not processed.
    pub(crate) fn processed(&self, ends: Vec<BatchEnd>) {
        let _repeated_when_lost = self.0.try_send(Request::Processed(ends));
    }

    /// Whether the task took it.
    pub(crate) fn command(&self, command: Command) -> Result<(), mpsc::error::TrySendError<Request>> {
        self.0.try_send(Request::Command(command))
    }

    async fn for_transaction(&self, ends: Arc<[BatchEnd]>) -> Result<GroupOffsets, CommitError> {
        let (reply, answer) = oneshot::channel();
        let request = TransactionRequest::Offsets { ends, committer: self.clone(), reply };
        self.0.send(Request::Transaction(request)).await.map_err(|_| CommitError::Stopped)?;
        answer.await.unwrap_or(Err(CommitError::Stopped))
    }

    /// Says how a transaction with offsets of this consumer has ended, and waits until it is noted. A consumer that is stopped
    /// has no use for it.
    pub(crate) async fn transaction_ended(&self, id: u64, outcome: Outcome) {
        let (noted, answer) = oneshot::channel();
        let request = TransactionRequest::Ended { id, outcome, noted: Some(noted) };
        if self.0.send(Request::Transaction(request)).await.is_ok() {
            let _noted_or_stopped = answer.await;
        }
    }

    /// Says the same of a transaction that nobody cares for any more. When this gets lost the consumer takes the transaction
    /// for open, which is safe.
    pub(crate) fn transaction_abandoned(&self, id: u64, outcome: Outcome) {
        let request = TransactionRequest::Ended { id, outcome, noted: None };
        drop(self.0.try_send(Request::Transaction(request)));
    }

    /// Runs a callback so that [`Committer::commit_current`] knows its batch.
    pub(crate) async fn inside<F: Future>(self, handed: Handed, callback: F) -> F::Output {
        let current = Current { committer: self, handed, seen: RefCell::new(None) };
        CURRENT.scope(current, callback).await
    }
}

/// The commit that was answered so may have been forgotten by whoever asked for it.
pub(crate) fn answer_with(reply: Reply, result: Result<(), CommitError>) {
    drop(reply.send(result));
}

/// A commit that is refused before it reaches any task.
pub(crate) fn refused(error: CommitError) -> CommitFuture {
    let (reply, answer) = oneshot::channel();
    answer_with(reply, Err(error));
    CommitFuture(answer)
}

/// The next request; pending for ever when nobody can ask any more.
pub(crate) async fn next_request(requests: &mut mpsc::Receiver<Request>) -> Request {
    poll_fn(|cx| match requests.poll_recv(cx) {
        Poll::Ready(Some(request)) => Poll::Ready(request),
        Poll::Ready(None) | Poll::Pending => Poll::Pending,
    })
    .await
}
