//! The measurements: every client in every round, one after the other, so that whatever else the machine does hits all.

use std::collections::BTreeMap;

use anyhow::anyhow;
use mainspring_bench::{LatencyReport, Op, Report};
use mainspring_kafka_broker::{Broker, unique_name};

use crate::Flags;
use crate::clients::{Client, Clients};
use crate::table::Series;

/// What is measured, with what.
pub(crate) struct Plan<'run> {
    pub(crate) flags: &'run Flags,
    pub(crate) clients: &'run Clients,
    pub(crate) broker: &'run Broker,
}

/// One way to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) size: usize,
    pub(crate) codec: String,
}

/// By operation and client.
pub(crate) type Rates = BTreeMap<(String, &'static str), Series>;

const PARTITIONS: i32 = 4;

/// A topic that is deleted when dropped.
pub(crate) struct Topic<'run> {
    broker: &'run Broker,
    pub(crate) name: String,
}

impl Drop for Topic<'_> {
    fn drop(&mut self) {
        // What is left goes with the broker.
        let _left = self.broker.delete_topic(&self.name).is_err();
    }
}

impl Plan<'_> {
    pub(crate) fn topic(&self, partitions: i32) -> anyhow::Result<Topic<'_>> {
        let name = unique_name("bench");
        self.broker.create_topic(&name, partitions).map_err(|error| anyhow!(error.with_causes()))?;
        Ok(Topic { broker: self.broker, name })
    }

    /// As many bytes, whatever the size.
    fn messages(&self, size: usize) -> usize {
        (self.flags.messages * 100).div_ceil(size)
    }

    /// The arguments of one measurement.
    fn arguments(&self, op: Op, setting: &Setting, topic: &str, messages: usize) -> Vec<String> {
        let brokers = self.broker.bootstrap_servers();
        let mut arguments = vec![op.to_string()];
        for (flag, value) in [
            ("--brokers", brokers),
            ("--topic", topic),
            ("--messages", &messages.to_string()),
            ("--size", &setting.size.to_string()),
            ("--codec", &setting.codec),
        ] {
            arguments.extend([flag.to_owned(), value.to_owned()]);
        }
        arguments
    }

    /// One measurement, with a line to pass the time. One that fails is taken once more, so that a broker that was away for
    /// a moment does not cost all the others.
    #[expect(clippy::print_stderr, reason = "a command-line tool speaks to its user")]
    fn measure(&self, client: &Client, arguments: &[String], more: &[&str]) -> anyhow::Result<Report> {
        let arguments: Vec<_> = arguments.iter().map(|text| &**text).chain(more.iter().copied()).collect();
        let report = client.report(&arguments).or_else(|error| {
            eprintln!("{error:#}; once more");
            client.report(&arguments)
        })?;
        eprintln!("{}", serde_json::to_string(&report)?);
        Ok(report)
    }

    /// A broker that has just started is slow at first.
    pub(crate) fn warm_up(&self) -> anyhow::Result<()> {
        let topic = self.topic(PARTITIONS)?;
        let setting = Setting { size: 100, codec: "none".to_owned() };
        for op in [Op::ProduceBatch, Op::Consume] {
            let arguments = self.arguments(op, &setting, &topic.name, self.flags.messages);
            self.measure(&self.clients.c, &arguments, &[])?;
        }
        Ok(())
    }

    /// `produce`, `produce-batch` and `consume` of every client.
    pub(crate) fn rates(&self, setting: &Setting, rounds: usize) -> anyhow::Result<Rates> {
        let mut rates = Rates::new();
        let clients = self.clients.all();
        let messages = self.messages(setting.size);
        for round in 0..rounds {
            let topic = self.topic(PARTITIONS)?;
            for op in [Op::Produce, Op::ProduceBatch, Op::Consume] {
                // All have left twice as many records as one of them sent, and each reads half of that.
                let messages = if op == Op::Consume { messages * clients.len() } else { messages };
                let arguments = self.arguments(op, setting, &topic.name, messages);
                for place in 0..clients.len() {
                    let client = clients[(round + place) % clients.len()];
                    let report = self.measure(client, &arguments, &[])?;
                    rates.entry((op.to_string(), client.name)).or_default().0.push(report);
                }
            }
        }
        Ok(rates)
    }

    /// One operation of Mainspring or plain C in different ways, each a name, a client and further arguments.
    pub(crate) fn ways<'way>(
        &self,
        op: Op,
        messages: usize,
        ways: &[(&'way str, &Client, &[&str])],
        fill: &[&str],
    ) -> anyhow::Result<Vec<(&'way str, Series)>> {
        let setting = Setting { size: 100, codec: "none".to_owned() };
        let topic = self.topic(PARTITIONS)?;
        if op == Op::Consume {
            for _ in 0..messages.div_ceil(self.flags.messages) {
                let arguments = self.arguments(Op::ProduceBatch, &setting, &topic.name, self.flags.messages);
                self.measure(&self.clients.mainspring, &arguments, fill)?;
            }
        }
        let arguments = self.arguments(op, &setting, &topic.name, messages);
        let mut measured: Vec<_> = ways.iter().map(|(name, ..)| (*name, Series::default())).collect();
        for round in 0..self.flags.rounds {
            for place in 0..ways.len() {
                let way = (round + place) % ways.len();
                let (_name, client, more) = ways[way];
                measured[way].1.0.push(self.measure(client, &arguments, more)?);
            }
        }
        Ok(measured)
    }

    /// Latencies of every client that has them.
    pub(crate) fn latencies(
        &self,
        rounds: usize,
    ) -> anyhow::Result<BTreeMap<&'static str, Vec<LatencyReport>>> {
        let topic = self.topic(1)?;
        let setting = Setting { size: 100, codec: "none".to_owned() };
        let mut arguments = self.arguments(Op::Latency, &setting, &topic.name, 10_000);
        arguments.extend(["--linger-ms", "0"].map(str::to_owned));
        let arguments: Vec<_> = arguments.iter().map(|text| &**text).collect();
        let clients: Vec<_> =
            [&self.clients.c, &self.clients.mainspring].into_iter().chain(&self.clients.go).collect();
        let mut latencies = BTreeMap::<_, Vec<_>>::new();
        for round in 0..rounds {
            for place in 0..clients.len() {
                let client = clients[(round + place) % clients.len()];
                latencies.entry(client.name).or_default().push(client.latencies(&arguments)?);
            }
        }
        Ok(latencies)
    }
}
