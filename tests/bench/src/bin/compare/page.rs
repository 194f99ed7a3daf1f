//! The page: what was measured, in the order in which a reader asks.

use std::fmt::Write as _;

use mainspring_bench::{CONCURRENCY, LatencyReport, Op};

use crate::idle::CLIENTS;
use crate::machine;
use crate::rounds::{Plan, Rates, Setting};
use crate::table::{Series, Table, median};

/// librdkafka's own way to wait when enough messages wait to be consumed.
const LIBRDKAFKA_DEFAULTS: &[&str] =
    &["--option", "queued.min.messages=100000", "--option", "fetch.queue.backoff.ms=1000"];

/// Measures, and writes down what came of it.
pub(crate) fn write(plan: &Plan<'_>) -> anyhow::Result<String> {
    let mut page = intro();
    plan.warm_up()?;
    if plan.flags.wants("rates") {
        rates(plan, &mut page)?;
    }
    if plan.flags.wants("modes") {
        modes(plan, &mut page)?;
    }
    if plan.flags.wants("latency") {
        latency(plan, &mut page)?;
    }
    if plan.flags.wants("idle") {
        idle(plan, &mut page)?;
    }
    Ok(page)
}

fn intro() -> String {
    let facts: Vec<_> = machine::facts().into_iter().map(|fact| format!("- {fact}")).collect();
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments = if arguments.is_empty() { String::new() } else { format!(" -- {}", arguments.join(" ")) };
    format!(
        "# Benchmarks

This page is written by one command, which starts a real Kafka broker and runs all clients on it in turns:

    OPENSSL_NO_VENDOR=1 cargo run -p mainspring-bench --bin compare{arguments}

All clients obey the contract of `tests/bench/src/lib.rs`; those in Rust and C run on one build of librdkafka. Processor time
is that of the client's process, start included; a rate is acknowledged or received messages per second, and depends on the
broker too, which shares the machine. `x C` is relative to plain C in the same round. Everything is a median over the rounds.

{}
",
        facts.join("\n")
    )
}

fn rates(plan: &Plan<'_>, page: &mut String) -> anyhow::Result<()> {
    let flags = plan.flags;
    for (size_idx, size) in flags.sizes.iter().enumerate() {
        for (codec_idx, codec) in flags.codecs.iter().enumerate() {
            let setting = Setting { size: *size, codec: codec.clone() };
            // The first setting is the one that goals are about; the others only must not be worse.
            let is_first = size_idx + codec_idx == 0;
            let rounds = if is_first { flags.rounds } else { flags.rounds.div_ceil(2) };
            let rates = plan.rates(&setting, rounds)?;
            if is_first {
                goals(&rates, page)?;
            }
            write!(page, "\n## {size} bytes, compression {codec}\n\n{}", table(&rates))?;
        }
    }
    Ok(())
}

/// The goals and what was reached.
fn goals(rates: &Rates, page: &mut String) -> anyhow::Result<()> {
    let mut table =
        Table::new(&["operation", "CPU per message, x C", "goal at most", "rate, x C", "goal at least"]);
    for (op, what, goal) in [
        (Op::Produce, format!("awaited sends, {CONCURRENCY} at a time"), 1.25),
        (Op::ProduceBatch, "`send_batch`".to_owned(), 1.0),
        (Op::Consume, "consuming in batches of 500".to_owned(), 1.1),
    ] {
        let series = |client| rates.get(&(op.to_string(), client));
        let (Some(ours), Some(c)) = (series("mainspring"), series("c")) else { continue };
        table.row(&[
            what,
            format!("{:.2}", ours.cpu_ratio(c)),
            format!("{goal:.2}"),
            format!("{:.2}", ours.rate_ratio(c)),
            "0.95".to_owned(),
        ]);
    }
    write!(page, "\n## Goals\n\nAt 100 bytes, without compression:\n\n{}", table.text())?;
    Ok(())
}

fn table(rates: &Rates) -> String {
    let mut table = Table::new(&[
        "operation, client",
        "messages/s",
        "x C",
        "CPU per message, us",
        "x C",
        "most memory, MiB",
    ]);
    for op in [Op::Produce, Op::ProduceBatch, Op::Consume] {
        let Some(c) = rates.get(&(op.to_string(), "c")) else { continue };
        for client in ["c", "mainspring", "rust-rdkafka", "franz-go"] {
            let Some(series) = rates.get(&(op.to_string(), client)) else { continue };
            table.row(&cells(&format!("{op}, {client}"), series, c));
        }
    }
    table.text().to_owned()
}

fn cells(name: &str, series: &Series, base: &Series) -> [String; 6] {
    [
        name.to_owned(),
        format!("{:.0}", series.rate()),
        format!("{:.2}", series.rate_ratio(base)),
        format!("{:.3}", series.cpu()),
        format!("{:.2}", series.cpu_ratio(base)),
        format!("{:.0}", series.memory()),
    ]
}

/// What a setting costs, or gains.
fn modes(plan: &Plan<'_>, page: &mut String) -> anyhow::Result<()> {
    let (c, ours) = (&plan.clients.c, &plan.clients.mainspring);
    let messages = plan.flags.messages;
    let consuming = plan.ways(
        Op::Consume,
        4 * messages,
        &[
            ("as it is", ours, &[]),
            ("without librdkafka's statistics", ours, &["--key", "statistics_interval=0s"]),
            ("librdkafka's statistics every second", ours, &["--key", "statistics_interval=1s"]),
            ("`concurrency: {mode: key, max: 8}`", ours, &["--key", r#"concurrency={"mode":"key","max":8}"#]),
        ],
        &["--keys", "10000"],
    )?;
    write!(
        page,
        "\n## Ways to consume\n
100 bytes, 10000 different keys, batches of 500; `x` is relative to the first row. Counters are always on, and part of every
figure of this page; what can be switched off is librdkafka's statistics.\n\n{}",
        relative(&consuming)
    )?;
    let slow = ["--work-ns", "1000"];
    let slow_with = |more: &[&'static str]| [&slow[..], more].concat();
    let (as_it_is, trapped) = (slow_with(&[]), slow_with(LIBRDKAFKA_DEFAULTS));
    let not_trapped = slow_with(&["--option", "fetch.queue.backoff.ms=1"]);
    let starving = plan.ways(
        Op::Consume,
        messages,
        &[
            ("Mainspring as it is", ours, &as_it_is),
            ("Mainspring with librdkafka's two defaults", ours, &trapped),
            ("plain C with librdkafka's two defaults", c, &trapped),
            ("plain C with `fetch.queue.backoff.ms: 1`", c, &not_trapped),
        ],
        &[],
    )?;
    write!(
        page,
        "\n## A consumer that is slower than the fetcher\n
It works 1 us on each message, so that it could take 1000000 of them per second. Once `queued.min.messages` (100000) wait to be
consumed, librdkafka stops fetching for `fetch.queue.backoff.ms`, a second by default, and the consumer runs dry for the rest of
that second, again and again. (Its processor time is mostly that work.)\n\n{}",
        relative(&starving)
    )?;
    let producing = plan.ways(
        Op::Produce,
        messages,
        &[
            ("as it is", ours, &[]),
            ("by 10000 tasks", ours, &["--by-tasks"]),
            ("without librdkafka's statistics", ours, &["--key", "statistics_interval=0s"]),
            ("librdkafka's statistics every second", ours, &["--key", "statistics_interval=1s"]),
        ],
        &[],
    )?;
    write!(
        page,
        "\n## Ways to produce\n
Awaited sends of 100 bytes, by 10000 senders in one task unless said otherwise.\n\n{}",
        relative(&producing)
    )?;
    Ok(())
}

/// Relative to the first.
fn relative(measured: &[(&str, Series)]) -> String {
    let mut table = Table::new(&["way", "messages/s", "x", "CPU per message, us", "x", "most memory, MiB"]);
    for (name, series) in measured {
        table.row(&cells(name, series, &measured[0].1));
    }
    table.text().to_owned()
}

fn latency(plan: &Plan<'_>, page: &mut String) -> anyhow::Result<()> {
    let latencies = plan.latencies(plan.flags.rounds.div_ceil(2))?;
    let mut table = Table::new(&["client", "p50, us", "p99, us", "p99.9, us"]);
    for client in ["c", "mainspring", "franz-go"] {
        let Some(reports) = latencies.get(client) else { continue };
        let of = |quantile: fn(&LatencyReport) -> f64| {
            format!("{:.0}", median(reports.iter().map(quantile).collect()))
        };
        table.row(&[client.to_owned(), of(|it| it.p50_us), of(|it| it.p99_us), of(|it| it.p999_us)]);
    }
    write!(
        page,
        "\n## Latency\n
From handing a record over to being handed it back in the same process, at 1000 records per second, `linger-ms` 0.\n\n{}",
        table.text()
    )?;
    Ok(())
}

fn idle(plan: &Plan<'_>, page: &mut String) -> anyhow::Result<()> {
    let mut table = Table::new(&[
        "a service with nothing to do",
        "our threads",
        "their wake-ups/s",
        "librdkafka's threads",
        "their wake-ups/s",
        "% of a CPU",
        "memory, MiB",
    ]);
    for (name, more) in [
        ("without librdkafka's statistics", &["--key", "statistics_interval=0s"][..]),
        ("as it is (statistics of each client every 5 s)", &[]),
    ] {
        let idle = plan.idle(more)?;
        table.row(&[
            name.to_owned(),
            idle.threads[0].to_string(),
            format!("{:.2}", idle.wakeups[0]),
            idle.threads[1].to_string(),
            format!("{:.1}", idle.wakeups[1]),
            format!("{:.2}", idle.cpu_percent),
            format!("{:.0}", idle.memory),
        ]);
    }
    write!(
        page,
        "\n## Idle\n
{CLIENTS} consumers and {CLIENTS} producers, watched for 30 s; a wake-up is a voluntary context switch. Without statistics our
own threads sleep but for librdkafka's events and the sign of life that each consumer owes it every third of `max.poll.interval.ms`.\n\n{}",
        table.text()
    )?;
    Ok(())
}
