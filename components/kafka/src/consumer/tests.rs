//! Tests of what needs no broker.
