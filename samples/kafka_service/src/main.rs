//! HTTP to Kafka and back: a producing handler and a consumer component.
fn main() {}
