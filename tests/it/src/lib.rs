//! End-to-end tests against the real broker and the real sample binaries.
