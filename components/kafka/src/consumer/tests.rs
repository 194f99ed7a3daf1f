//! Tests of what needs no broker: the configuration, the ledger, the queue of commits.

mod commits;
mod config;
mod ledger;
