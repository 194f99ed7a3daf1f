//! The monitor as scrapers, orchestrators and people on call meet it.

mod conformance;
mod exposition;
mod metrics;
mod operators;
#[path = "../../../../framework/metrics/src/tests/parser.rs"]
mod parser;
mod probes;
mod services;
#[path = "../../../server/tests/it/support.rs"]
mod support;
