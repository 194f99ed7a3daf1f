//! Starts a broker for trying things out: `mainspring-kafka-broker [topic[:partitions]…]`.
//!
//! Prints where it listens and runs until Enter, Ctrl-C or the end of its input; then the broker and its data are gone.

use std::io;

use mainspring_kafka_broker::{Broker, BrokerError, BrokerOptions};

#[expect(clippy::print_stdout, reason = "the user waits for these lines")]
fn main() -> Result<(), Failure> {
    let broker = Broker::start(BrokerOptions::default())?;
    for argument in std::env::args().skip(1) {
        let (topic, partitions) = argument.split_once(':').unwrap_or((&argument, "1"));
        let partitions = partitions
            .parse()
            .map_err(|_error| Failure(format!("expected `topic:partitions`, found `{argument}`")))?;
        broker.create_topic(topic, partitions)?;
        println!("created topic {topic} with {partitions} partitions");
    }
    println!("kafka process {}", broker.pid().unwrap_or_default());
    println!("log {}", broker.log_path().display());
    println!("listening on {}; Enter ends it", broker.bootstrap_servers());
    let mut line = String::new();
    io::stdin().read_line(&mut line).map_err(|error| Failure(error.to_string()))?;
    Ok(())
}

/// What `main` reports: the text for a person instead of `Debug`'s.
struct Failure(String);

impl From<BrokerError> for Failure {
    fn from(error: BrokerError) -> Self {
        Self(error.with_causes())
    }
}

impl std::fmt::Debug for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
