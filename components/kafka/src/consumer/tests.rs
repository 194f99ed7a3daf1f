//! Tests of what needs no broker: the configuration, the ledger, the queue of commits, and all of it together.

mod commits;
mod config;
mod decode;
mod ledger;
mod model;
