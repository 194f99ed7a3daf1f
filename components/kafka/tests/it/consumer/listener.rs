//! What a listener is told, in which order, and that it can do no harm.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainspring_kafka::{
    ClientError, ConsumerError, ConsumerListener, ConsumerScope, ErrorScope, Position, Recovery,
    StartOffsets, TopicPartition,
};
use mainspring_kafka_ffi::KafkaCode;
use tokio::sync::Notify;

use crate::consumer::support::{DEADLINE, Kafka, hand_out, until, within};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Writes down what it is told.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    fn note(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    async fn has(&self, line: &str) -> Vec<String> {
        until(line, || self.lines(), |lines| lines.iter().any(|found| found == line)).await
    }
}

fn show(partitions: &[TopicPartition]) -> String {
    let mut names: Vec<_> = partitions.iter().map(ToString::to_string).collect();
    names.sort_unstable();
    names.join(" ")
}

impl ConsumerListener for Diary {
    async fn on_assigned(&self, partitions: &[TopicPartition]) -> Result<StartOffsets, BoxError> {
        self.note(format!("assigned {}", show(partitions)));
        Ok(StartOffsets::default())
    }

    async fn on_revoked(&self, partitions: &[TopicPartition]) {
        self.note(format!("revoked {}", show(partitions)));
    }

    async fn on_lost(&self, partitions: &[TopicPartition]) {
        self.note(format!("lost {}", show(partitions)));
    }

    fn wants_partition_end(&self) -> bool {
        true
    }

    async fn on_partition_end(&self, partition: &TopicPartition, offset: i64) {
        self.note(format!("end {partition} {offset}"));
    }

    async fn on_error(&self, error: &ClientError) {
        let recovery = match error.recovery {
            Recovery::Client => "client",
            Recovery::Consumer => "consumer",
            _ => "operator",
        };
        let scope = match &error.scope {
            ErrorScope::Broker(_) => "broker".to_owned(),
            ErrorScope::Partition(partition) => partition.to_string(),
            _ => "client".to_owned(),
        };
        self.note(format!("error {scope} {} {recovery}", error.kafka_name()));
    }

    async fn on_statistics(&self, json: &str) {
        let statistics: serde_json::Value = serde_json::from_str(json).unwrap();
        self.note(format!("statistics of a {}", statistics["type"].as_str().unwrap()));
    }
}

#[tokio::test]
async fn it_is_told_of_assignments_ends_statistics_and_revocations_in_order() {
    let kafka = Kafka::new(2);
    let service = kafka.service("statistics_interval: 100ms").await;
    let (diary, scope) = (Diary::default(), service.scope());
    scope.set_listener(diary.clone()).unwrap();
    let mut batches = hand_out(&scope);
    diary.has("assigned `t`[0] `t`[1]").await;
    diary.has("end `t`[0] 0").await;
    diary.has("end `t`[1] 0").await;
    kafka.fill(0..2).await;
    for _ in 0..2 {
        within("batch", batches.recv()).await.unwrap();
    }
    diary.has("end `t`[0] 1").await;
    diary.has("statistics of a consumer").await;
    let component = "kafka-consumer".to_owned();
    let refused = scope.set_listener(Diary::default());
    assert_eq!(refused, Err(ConsumerError::Running { component }), "not while it runs");
    within("stop", scope.stop()).await;
    let lines = diary.lines();
    assert_eq!(lines[0], "assigned `t`[0] `t`[1]", "{lines:#?}");
    let revoked = lines.iter().rposition(|line| line == "revoked `t`[0] `t`[1]");
    assert!(revoked.is_some(), "{lines:#?}");
    assert_eq!(service.metric("kafka_consumer_read_errors", &[]), 0.0, "the end is no error");
}

#[tokio::test]
async fn it_is_told_when_partitions_are_lost() {
    let kafka = Kafka::new(1);
    let classic = "fetch.wait.max.ms: '10', session.timeout.ms: '6000', heartbeat.interval.ms: '100'";
    let service = kafka.service(&format!("rd_kafka_custom_options: {{{classic}}}")).await;
    let (diary, scope) = (Diary::default(), service.scope());
    scope.set_listener(diary.clone()).unwrap();
    let _batches = hand_out(&scope);
    diary.has("assigned `t`[0]").await;
    // Heartbeats: the coordinator has forgotten the member.
    kafka.cluster.push_request_errors(12, &[KafkaCode::UNKNOWN_MEMBER_ID]);
    diary.has("lost `t`[0]").await;
    until(
        "the second assignment",
        || diary.lines(),
        |lines| lines.iter().filter(|line| *line == "assigned `t`[0]").count() == 2,
    )
    .await;
}

#[tokio::test]
async fn it_is_told_of_errors_of_brokers_and_of_partitions_and_how_they_end() {
    let kafka = Kafka::new(1);
    let options = "rd_kafka_custom_options: {group.protocol: consumer, fetch.wait.max.ms: '10', reconnect.backoff.max.ms: '200'}\nauto_offset_reset: error";
    let service = kafka.service(options).await;
    let (diary, scope) = (Diary::default(), service.scope());
    scope.set_listener(diary.clone()).unwrap();
    let _batches = hand_out(&scope);
    diary.has("error `t`[0] _AUTO_OFFSET_RESET operator").await;
    kafka.cluster.set_broker_down(1).unwrap();
    diary.has("error broker _TRANSPORT client").await;
    diary.has("error client _ALL_BROKERS_DOWN client").await;
}

/// Keeps where to begin.
struct Store {
    offset: Mutex<i64>,
    scope: Mutex<Option<Arc<ConsumerScope>>>,
}

impl ConsumerListener for Store {
    async fn on_assigned(&self, _: &[TopicPartition]) -> Result<StartOffsets, BoxError> {
        let scope = self.scope.lock().unwrap().take();
        if let Some(scope) = scope {
            scope.seek("t", 1, Position::Offset(7)).await?;
        }
        let offset = *self.offset.lock().unwrap();
        Ok(StartOffsets::default().with_offset(&TopicPartition::new("t", 0), offset))
    }
}

#[tokio::test]
async fn it_says_where_reading_begins_by_its_answer_and_by_a_seek() {
    let kafka = Kafka::new(2);
    kafka.fill(0..20).await;
    let service = kafka.service("").await;
    let scope = Arc::new(service.scope());
    let store = Store { offset: Mutex::new(8), scope: Mutex::new(Some(Arc::clone(&scope))) };
    scope.set_listener(store).unwrap();
    let journal = crate::consumer::support::Journal::default();
    let written = journal.clone();
    scope
        .start(move |batch| {
            written.note(&batch);
            std::future::ready(Ok::<_, std::convert::Infallible>(()))
        })
        .unwrap();
    journal.reached(5).await;
    let offsets = journal.offsets();
    assert_eq!((&offsets[&0][..], &offsets[&1][..]), (&[8, 9][..], &[7, 8, 9][..]));
}

/// Does not know where to begin the first few times.
struct Forgetful {
    calls: Arc<AtomicUsize>,
}

impl ConsumerListener for Forgetful {
    async fn on_assigned(&self, _: &[TopicPartition]) -> Result<StartOffsets, BoxError> {
        match self.calls.fetch_add(1, Ordering::SeqCst) {
            0 => Err("the store does not answer".into()),
            1 => panic!("the store is on fire"),
            _ => Ok(StartOffsets::default()),
        }
    }
}

#[tokio::test]
async fn nothing_is_read_as_long_as_it_does_not_know_where_to_begin() {
    let kafka = Kafka::new(1);
    kafka.fill(0..3).await;
    let service = kafka.service("").await;
    let calls = Arc::new(AtomicUsize::new(0));
    let scope = service.scope();
    scope.set_listener(Forgetful { calls: Arc::clone(&calls) }).unwrap();
    let mut batches = hand_out(&scope);
    let batch = within("batch", batches.recv()).await.unwrap();
    assert_eq!(batch.iter().next().unwrap().offset(), 0);
    assert_eq!(calls.load(Ordering::SeqCst), 3, "the third time it knew");
    assert_eq!(service.metric("kafka_consumer_restarts", &[("reason", "fatal")]), 2.0);
    assert!(service.has_logged("Listener failed"));
}

/// Panics and stalls wherever it can without being asked for anything.
struct Nuisance {
    hangs: Arc<AtomicBool>,
    release: Arc<Notify>,
    told: Arc<AtomicUsize>,
}

impl ConsumerListener for Nuisance {
    async fn on_statistics(&self, _: &str) {
        self.told.fetch_add(1, Ordering::SeqCst);
        if self.hangs.swap(false, Ordering::SeqCst) {
            self.release.notified().await;
        }
        panic!("a bad day");
    }
}

#[tokio::test]
async fn one_that_panics_or_stalls_on_statistics_keeps_no_message_back() {
    let kafka = Kafka::new(1);
    kafka.fill(0..100).await;
    let service = kafka.service("statistics_interval: 20ms\nmax_batch_size: 1").await;
    let (release, told) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let hangs = Arc::new(AtomicBool::new(false));
    let scope = service.scope();
    let nuisance =
        Nuisance { hangs: Arc::clone(&hangs), release: Arc::clone(&release), told: Arc::clone(&told) };
    scope.set_listener(nuisance).unwrap();
    let mut batches = hand_out(&scope);
    for _ in 0..50 {
        within("batch", batches.recv()).await.unwrap();
    }
    // Only now: an assignment would have to wait for it.
    hangs.store(true, Ordering::SeqCst);
    until("statistics", || hangs.load(Ordering::SeqCst), |hangs| !hangs).await;
    let told_before = told.load(Ordering::SeqCst);
    for _ in 50..100 {
        within("batch", batches.recv()).await.unwrap();
    }
    assert_eq!(told.load(Ordering::SeqCst), told_before, "it hangs, and everything else goes on");
    release.notify_one();
    until("more statistics", || told.load(Ordering::SeqCst), |told| told_before + 5 <= *told).await;
    assert_eq!(service.metric("kafka_consumer_restarts", &[]), 0.0);
    let stopping = tokio::time::timeout(DEADLINE.min(Duration::from_secs(15)), scope.stop());
    stopping.await.expect("a stop is bounded");
}

#[tokio::test]
async fn a_resume_behind_the_end_of_a_partition_leaves_no_message_out() {
    // librdkafka 2.12.1 moves its position past the end-of-partition entry (librdkafka#4844): a pause and a resume there would
    // go on one message too far.
    let kafka = Kafka::new(1);
    kafka.fill(0..3).await;
    let service = kafka.service("").await;
    let (diary, scope) = (Diary::default(), service.scope());
    scope.set_listener(diary.clone()).unwrap();
    let mut batches = hand_out(&scope);
    for _ in 0..3 {
        within("batch", batches.recv()).await.unwrap();
    }
    diary.has("end `t`[0] 3").await;
    within("pause", scope.pause("t", 0)).await.unwrap();
    kafka.fill(3..6).await;
    within("resume", scope.resume("t", 0)).await.unwrap();
    let mut offsets = Vec::new();
    while offsets.len() < 3 {
        let batch = within("the rest", batches.recv()).await.unwrap();
        offsets.extend(batch.iter().map(mainspring_kafka::Message::offset));
    }
    assert_eq!(offsets, [3, 4, 5]);
}
