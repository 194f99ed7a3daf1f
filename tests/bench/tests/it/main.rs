//! Every client of the benchmarks works, and prints what the contract says; idle ones do nothing.

mod clients;
mod idle;
