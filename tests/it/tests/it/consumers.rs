//! Consumers on a real Kafka, each in a service of this process: rebalances of every protocol with exact ledgers, patterns,
//! and control from the scope.

mod control;
mod patterns;
mod protocols;
mod stage;
