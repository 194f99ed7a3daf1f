//! What a consumer and the transactions of a producer have to do with each other.
//!
//! A transaction commits offsets in place of the consumer, so the consumer has to know how it ended before it reads anything
//! again: a batch that was committed must not come twice, and one that was aborted must. As long as nobody knows, the only
//! way on is another client, which the group's coordinator makes wait for the end of the transaction (KIP-447).

use std::collections::BTreeMap;

use mainspring_kafka_ffi::{GroupMetadata, TopicPartition};
use tokio::sync::oneshot;

use crate::consumer::batch::Committer;
use crate::consumer::error::CommitError;
use crate::consumer::ledger::{BatchEnd, Commit, Key};

/// Something a transaction asks or tells the consumer's task.
#[derive(Debug)]
pub(crate) enum TransactionRequest {
    /// The end of a batch is to become part of a transaction.
    Offsets {
        ends: std::sync::Arc<[BatchEnd]>,
        committer: Committer,
        reply: oneshot::Sender<Result<GroupOffsets, CommitError>>,
    },
    /// A transaction with offsets of this consumer has ended.
    Ended { id: u64, outcome: Outcome, noted: Option<oneshot::Sender<()>> },
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Committed,
    Aborted,
    Unknown,
}

/// What a transaction needs to commit a batch.
#[derive(Debug)]
pub(crate) struct GroupOffsets {
    pub(crate) offsets: Vec<TopicPartition>,
    pub(crate) group: GroupMetadata,
    pub(crate) pending: PendingOffsets,
}

/// Offsets that depend on how a transaction ends. Dropping this leaves that open, unless they were never sent.
#[derive(Debug)]
pub(crate) struct PendingOffsets {
    id: u64,
    /// None once the end was told.
    committer: Option<Committer>,
    sent: bool,
}

impl PendingOffsets {
    pub(crate) fn new(id: u64, committer: Committer) -> PendingOffsets {
        PendingOffsets { id, committer: Some(committer), sent: false }
    }

    /// A coordinator may have them from now on.
    pub(crate) fn are_sent(&mut self) {
        self.sent = true;
    }

    /// Tells the consumer, and waits until it has noted it.
    ///
    /// # Cancel safety
    /// Dropped before it is done, the consumer takes the transaction for one whose end nobody knows.
    pub(crate) async fn ended(mut self, outcome: Outcome) {
        if let Some(committer) = self.committer.clone() {
            committer.transaction_ended(self.id, outcome).await;
            self.committer = None;
        }
    }
}

impl Drop for PendingOffsets {
    fn drop(&mut self) {
        if let Some(committer) = &self.committer {
            let outcome = if self.sent { Outcome::Unknown } else { Outcome::Aborted };
            committer.transaction_abandoned(self.id, outcome);
        }
    }
}

/// Offsets of one client that were given to transactions which have not ended.
#[derive(Debug, Default)]
pub(crate) struct InTransactions(BTreeMap<u64, BTreeMap<Key, Commit>>);

impl InTransactions {
    pub(crate) fn begin(&mut self, id: u64, commits: BTreeMap<Key, Commit>) {
        self.0.insert(id, commits);
    }

    /// What was given to this transaction; nothing when that was by an earlier client, or the end is told a second time.
    pub(crate) fn end(&mut self, id: u64) -> Option<BTreeMap<Key, Commit>> {
        self.0.remove(&id)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
