//! Facts about the logging crate.
