//! Repository automation and tidy checks.
fn main() {}
