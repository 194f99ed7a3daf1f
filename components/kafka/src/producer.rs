//! The producer component.
