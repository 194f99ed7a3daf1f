//! Every client of the benchmarks works, and prints what the contract says.

mod clients;
