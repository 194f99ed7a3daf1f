//! Unit tests that need no broker.
