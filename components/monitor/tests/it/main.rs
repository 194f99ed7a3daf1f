//! The monitor as scrapers, orchestrators and people on call meet it.

mod conformance;
mod metrics;
mod operators;
mod probes;
mod services;
#[path = "../../../server/tests/it/support.rs"]
mod support;
