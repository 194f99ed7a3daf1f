//! Facts about the metrics crate.
