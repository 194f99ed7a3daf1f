//! The static configuration and the secrets, made from flags.

use clap::Parser;
use mainspring_bench::{Arguments, BATCH, IN_FLIGHT_MAX, Op};
use serde_json::{Value, json};

/// The environment variable that holds the secrets.
pub(crate) const SECRETS: &str = "SECDIST_CONFIG";

/// The contract's flags, and those that vary what is Mainspring's own.
#[derive(Debug, Parser)]
#[command(name = "kafka_bench", about = "Measures Mainspring's Kafka components.")]
pub(crate) struct Flags {
    #[command(flatten)]
    pub(crate) contract: Arguments,
    /// A librdkafka property of the client that is measured, `name=value`; may be repeated.
    #[arg(long = "option", value_parser = name_and_value)]
    options: Vec<(String, String)>,
    /// A key of the measured client's section, `name=<YAML>`; may be repeated.
    #[arg(long = "key", value_parser = name_and_value)]
    section_keys: Vec<(String, String)>,
    /// How many different keys the records of `produce` and `produce-batch` have; 0 for none.
    #[arg(long, default_value_t = 0)]
    keys: usize,
    /// `produce` sends from as many tasks instead of waiting for many sends in one.
    #[arg(long)]
    by_tasks: bool,
    /// Nanoseconds that `consume` works on each message, to be slower than librdkafka fetches.
    #[arg(long, default_value_t = 0)]
    work_ns: u64,
    /// Consumers, and as many producers, of `idle`.
    #[arg(long, default_value_t = 20)]
    pub(crate) clients: usize,
}

impl Flags {
    /// The names of the producers.
    pub(crate) fn producers(&self) -> Vec<String> {
        match self.contract.op {
            Op::Consume => Vec::new(),
            Op::Idle => (0..self.clients).map(|n| format!("kafka-producer-{n}")).collect(),
            Op::Produce | Op::ProduceBatch | Op::Latency => vec!["kafka-producer".to_owned()],
        }
    }

    /// The names of the consumers.
    pub(crate) fn consumers(&self) -> Vec<String> {
        match self.contract.op {
            Op::Consume | Op::Latency => vec!["kafka-consumer".to_owned()],
            Op::Idle => (0..self.clients).map(|n| format!("kafka-consumer-{n}")).collect(),
            Op::Produce | Op::ProduceBatch => Vec::new(),
        }
    }
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected `name=value`")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The static configuration. JSON is YAML too.
pub(crate) fn text(flags: &Flags) -> String {
    let Arguments { op, topic, messages, size, acks, linger_ms, codec, rate, .. } = &flags.contract;
    let options = |own: &[(&str, &str)]| {
        let mut options = serde_json::Map::new();
        for (name, value) in own.iter().copied().chain(flags.options.iter().map(|(n, v)| (&**n, &**v))) {
            options.insert(name.to_owned(), Value::String(value.to_owned()));
        }
        Value::Object(options)
    };
    let producer = json!({
        "security_protocol": "PLAINTEXT",
        "delivery_timeout": "60s",
        "queue_buffering_max": format!("{linger_ms}ms"),
        "queue_buffering_max_messages": IN_FLIGHT_MAX,
        "compression": codec,
        "rd_kafka_custom_options": options(&[("acks", acks)]),
    });
    let consumer = json!({
        "security_protocol": "PLAINTEXT",
        "group_id": flags.contract.group(),
        "topics": [topic],
        "max_batch_size": BATCH,
        "poll_timeout": if *op == Op::Latency { "0s" } else { "100ms" },
        "commit_policy": "periodic",
        "commit_interval": "1s",
        "auto_offset_reset": if *op == Op::Latency { "end" } else { "beginning" },
        "rd_kafka_custom_options": options(&[]),
    });
    let with_keys = |mut section: Value| {
        for (name, value) in &flags.section_keys {
            // What is no JSON is a text.
            section[name] = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.clone()));
        }
        section
    };
    let mut components = json!({
        "logging": {"loggers": {"default": {"file_path": "@stderr", "level": "warning"}}},
        "default-secdist-provider": {"environment-secrets-key": SECRETS},
        "bench": {
            "op": op.to_string(),
            "topic": topic,
            "messages": messages,
            "size": size,
            "rate": rate,
            "keys": flags.keys,
            "by_tasks": flags.by_tasks,
            "work_ns": flags.work_ns,
            "producers": flags.producers(),
            "consumers": flags.consumers(),
        },
    });
    let (producer, consumer) = (with_keys(producer), with_keys(consumer));
    for name in flags.producers() {
        components[name] = producer.clone();
    }
    for name in flags.consumers() {
        components[name] = consumer.clone();
    }
    let manager = json!({
        "task_processors": {
            "main-task-processor": {"worker_threads": 2},
            "producer-task-processor": {"worker_threads": 1},
            "consumer-task-processor": {"worker_threads": 1},
        },
        "default_task_processor": "main-task-processor",
        "components": components,
    });
    json!({ "components_manager": manager }).to_string()
}

/// Where the brokers are, as secdist wants it.
pub(crate) fn secrets(flags: &Flags) -> String {
    let names = flags.producers().into_iter().chain(flags.consumers());
    let brokers = |name| (name, json!({"brokers": flags.contract.brokers}));
    json!({"kafka_settings": names.map(brokers).collect::<serde_json::Map<_, _>>()}).to_string()
}
