//! Offsets that are committed by the transactions of a producer.

use std::sync::Arc;

use mainspring_kafka_ffi::TopicPartition;

use crate::consumer::batch::Committer;
use crate::consumer::error::CommitError;
use crate::consumer::events;
use crate::consumer::ledger::{Admitted, BatchEnd};
use crate::consumer::run::ClientFailure;
use crate::consumer::session::Session;
use crate::consumer::transactional::{GroupOffsets, Outcome, PendingOffsets, TransactionRequest};

impl Session<'_> {
    pub(super) fn on_transaction(&mut self, request: TransactionRequest) {
        match request {
            TransactionRequest::Offsets { ends, committer, reply } => {
                // Whoever is gone by now drops them unsent, which tells so.
                drop(reply.send(self.offsets_of(&ends, committer)));
            }
            TransactionRequest::Ended { id, outcome, noted } => {
                self.on_transaction_ended(id, outcome);
                if let Some(noted) = noted {
                    // The callback may have been cancelled meanwhile.
                    let _nobody_waits = noted.send(());
                }
            }
        }
    }

    /// Taken together with the generation, here where partitions are given back: so the generation is never newer than what
    /// the ledger says we own, and the coordinator refuses offsets of partitions that have moved on since.
    fn offsets_of(&mut self, ends: &[BatchEnd], committer: Committer) -> Result<GroupOffsets, CommitError> {
        let Admitted { commits, refused } = self.run.status.ledger().admit(ends);
        if let Some((topic, partition)) = refused.first() {
            events::commit_refused(&self.run.status, topic, *partition);
            return Err(CommitError::revoked(topic, *partition));
        }
        let group = self.consumer.group_metadata().ok_or(CommitError::Stopped)?;
        let offset_of =
            |((topic, partition), commit): (&(Arc<str>, i32), &crate::consumer::ledger::Commit)| {
                let offset = TopicPartition::new(Arc::clone(topic), *partition).with_offset(commit.next);
                TopicPartition { leader_epoch: commit.leader_epoch, ..offset }
            };
        let offsets = commits.iter().map(offset_of).collect();
        self.run.n_transactions += 1;
        let id = self.run.n_transactions;
        self.in_transactions.begin(id, commits);
        Ok(GroupOffsets { offsets, group, pending: PendingOffsets::new(id, committer) })
    }

    fn on_transaction_ended(&mut self, id: u64, outcome: Outcome) {
        let Some(commits) = self.in_transactions.end(id) else { return };
        match outcome {
            Outcome::Aborted => {}
            Outcome::Unknown => self.on_unresolved(),
            Outcome::Committed => {
                let mut ledger = self.run.status.ledger();
                for (key, commit) in &commits {
                    ledger.committed(key, commit);
                }
                drop(ledger);
                self.run.status.client.on_answer();
                events::committed_by_transaction(&self.run.status, &self.run.settings, &commits);
            }
        }
    }

    /// Where to read again depends on the end of a transaction that is not known. A new client is told by the coordinator,
    /// which lets it wait for that end.
    pub(super) fn on_unresolved(&mut self) {
        events::transaction_unresolved(&self.run.status);
        self.failure.get_or_insert(ClientFailure::Broken);
    }
}
