//! Plain C over librdkafka, see `c/kafka_bench.c`: cargo links it with the very library that the others use.
//!
//! There is no Rust in it: `main` is the C program's.

#![no_main]

use rdkafka_sys as _;
