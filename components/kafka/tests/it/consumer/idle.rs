//! What a consumer costs that has nothing to do, and what statistics do to one that is slow.

use std::time::Duration;

use mainspring_kafka::{Batch, CommitError};

use crate::consumer::support::{Journal, Kafka, until};

/// How often threads with this name gave up the processor so far: each wake-up ends with that.
fn switches(thread_name: &str) -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let of_thread = |path: std::path::PathBuf| {
        let read = |file| std::fs::read_to_string(path.join(file)).unwrap_or_default();
        let status = read("status");
        let switches = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        (read("comm").trim() == thread_name).then(|| switches?.trim().parse::<u64>().ok()).flatten()
    };
    tasks.filter_map(|task| of_thread(task.path())).sum()
}

/// Its threads bear a name that no other test's do, as tests of one process run side by side.
#[tokio::test]
async fn an_idle_consumer_sleeps() {
    let kafka = Kafka::new(4);
    let service = kafka.service("task_processor: idle-task-processor").await;
    let (_scope, journal) = service.consume();
    kafka.fill(0..1).await;
    journal.reached(1).await;
    let commits = || service.metric("kafka_consumer_commits", &[]);
    until("commit", commits, |count| *count == 1.0).await;

    // Wake-ups are counted over a span of time; nothing announces their absence.
    let before = switches("idle-worker");
    assert!(0 < before, "the thread is found by its name");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let wake_ups = switches("idle-worker") - before;
    assert!(wake_ups <= 6, "{wake_ups} wake-ups in 3 s");
}

/// rust-rdkafka#638: events that arrive while nobody takes messages must not swallow the wake-up for the messages.
#[tokio::test]
async fn statistics_do_not_stall_a_consumer_with_a_slow_callback() {
    let kafka = Kafka::new(1);
    let service = kafka.service("statistics_interval: 1ms\nmax_batch_size: 5").await;
    let journal = Journal::default();
    let noted = journal.clone();
    let scope = service.scope();
    scope
        .start(move |batch: Batch| {
            noted.note(&batch);
            async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                batch.commit().await?;
                Ok::<(), CommitError>(())
            }
        })
        .unwrap();
    for round in 0..5_usize {
        let first = i32::try_from(round * 10).unwrap();
        kafka.fill(first..first + 10).await;
        journal.reached((round + 1) * 10).await;
    }
    assert!(journal.numbers().into_iter().eq(0..50));
    let lag = || service.metric("kafka_consumer_lag_messages", &[("topic", "t")]);
    until("no lag", lag, |lag| *lag == 0.0).await;
    let end = || service.metric("kafka_consumer_high_watermark_offset", &[]);
    until("the end", end, |offset| *offset == 50.0).await;
}
