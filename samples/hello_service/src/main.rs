//! One HTTP handler component.
fn main() {}
