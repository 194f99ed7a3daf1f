//! A consumer whose callback fails, panics and forgets to commit: nothing is lost, nothing is out of order, and nothing
//! is committed that was not processed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mainspring::kafka::{Batch, ConsumerScope, KafkaConsumerComponent};
use mainspring::prelude::*;
use mainspring_kafka_broker::{Client, shared, unique_name};
use mainspring_testsuite::{DEADLINE, TestService, eventually};

const N_RECORDS: usize = 1000;

/// Batches that may go wrong. The rest is in order, so that everything is committed in the end.
const N_WRONG_MAX: usize = 60;

/// Consumes, and keeps account of it.
#[derive(Debug)]
struct Accountant {
    scope: ConsumerScope,
    account: Arc<Mutex<Account>>,
}

/// What the callback was given and what it answered.
#[derive(Debug, Default)]
struct Account {
    n_batches: usize,
    partitions: BTreeMap<i32, PartitionAccount>,
}

#[derive(Debug, Default)]
struct PartitionAccount {
    /// Every offset handed out, in order.
    given: Vec<i64>,
    /// The offset up to which, without a gap, batches succeeded.
    processed: i64,
    /// The first offset of each payload's place, to find payloads that moved.
    payloads: BTreeMap<i64, Vec<u8>>,
}

/// What becomes of a batch.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Committed,
    NotCommitted,
    Failed,
    Panicked,
}

impl Fate {
    /// Each kind comes often, also several in a row.
    fn of(batch: usize) -> Self {
        match batch {
            N_WRONG_MAX.. => Self::Committed,
            _ if batch % 11 == 3 => Self::Panicked,
            _ if batch % 3 == 1 => Self::Failed,
            _ if batch % 4 == 2 => Self::NotCommitted,
            _ => Self::Committed,
        }
    }
}

impl Component for Accountant {
    const DEFAULT_NAME: &'static str = "accountant";
    const CONFIG_MODE: ConfigMode = ConfigMode::NotRequired;
    type Config = NoConfig;

    async fn load(_config: NoConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        let scope = cx.find::<KafkaConsumerComponent>("kafka-consumer").await?.consumer()?;
        let account = Arc::new(Mutex::new(Account::default()));
        let shared = Arc::clone(&account);
        scope.start(move |batch| handle(batch, Arc::clone(&shared)))?;
        Ok(Self { scope, account })
    }

    async fn stop(&self) {
        self.scope.stop().await;
    }
}

impl Accountant {
    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn processed(&self) -> BTreeMap<i32, i64> {
        self.account().partitions.iter().map(|(partition, account)| (*partition, account.processed)).collect()
    }
}

async fn handle(batch: Batch, account: Arc<Mutex<Account>>) -> Result<(), &'static str> {
    let fate = account.lock().unwrap_or_else(PoisonError::into_inner).enter(&batch);
    match fate {
        Fate::Committed => drop(batch.commit()),
        Fate::NotCommitted => {}
        Fate::Failed => return Err("on purpose"),
        Fate::Panicked => panic!("on purpose"),
    }
    Ok(())
}

impl Account {
    fn enter(&mut self, batch: &Batch) -> Fate {
        let fate = Fate::of(self.n_batches);
        self.n_batches += 1;
        for message in batch.iter() {
            let partition = self.partitions.entry(message.partition()).or_default();
            partition.given.push(message.offset());
            let payload = message.payload().unwrap_or_default().to_vec();
            let first = partition.payloads.entry(message.offset()).or_insert_with(|| payload.clone());
            assert_eq!(*first, payload, "another payload at the same place");
            let succeeded = matches!(fate, Fate::Committed | Fate::NotCommitted);
            if succeeded && message.offset() == partition.processed {
                partition.processed += 1;
            }
        }
        fate
    }
}

fn ends(client: &Client, topic: &str) -> BTreeMap<i32, i64> {
    let mut ends = BTreeMap::new();
    for record in client.read_all(topic, N_RECORDS, DEADLINE).expect("everything was acknowledged") {
        ends.insert(record.partition, record.offset + 1);
    }
    ends
}

#[test]
fn failing_callback_sees_its_batch_again_and_nothing_is_lost() {
    let client: &Client = shared();
    let (topic, group) = (unique_name("orders"), unique_name("accountants"));
    client.create_topic(&topic, 2).expect("the topic is new");
    client.write_all(&topic, (0..N_RECORDS).map(|n| (n.to_string(), n.to_string()))).expect("it is written");
    let ends = ends(client, &topic);

    let components = ComponentList::common()
        .append::<KafkaConsumerComponent>("kafka-consumer")
        .append_default::<Accountant>();
    let brokers = client.bootstrap_servers();
    let secdist = format!(r#"{{"kafka_settings": {{"kafka-consumer": {{"brokers": "{brokers}"}}}}}}"#);
    let service = TestService::new(components)
        .with_env("SECDIST_CONFIG", secdist)
        .with_component("default-secdist-provider", "environment-secrets-key: SECDIST_CONFIG")
        .with_component(
            "kafka-consumer",
            &format!(
                "{{group_id: {group}, topics: [{topic}], max_batch_size: 7, poll_timeout: 100ms, \
                 restart_after_failure_delay: 20ms, security_protocol: PLAINTEXT}}"
            ),
        )
        .start();
    let accountant = service.component::<Accountant>("accountant");

    // Asked in this order, what is committed may not be ahead of what was processed.
    let look = || (client.committed(&group, &topic).expect("the group is known"), accountant.processed());
    let is_done = |(committed, processed): &(BTreeMap<i32, i64>, BTreeMap<i32, i64>)| {
        for (partition, committed) in committed {
            let processed = processed.get(partition).copied().unwrap_or_default();
            assert!(*committed <= processed, "{committed} committed, {processed} processed in {partition}");
        }
        *committed == ends
    };
    eventually("everything to be committed", look, is_done);
    assert_eq!(accountant.processed(), ends);
    check_order(&accountant.account());

    assert_eq!(service.stop().unfinished, Vec::<String>::new());
    assert_eq!(client.committed(&group, &topic).expect("the group is known"), ends);
}

/// In each partition offsets come one after another, but for steps back to what was not committed.
#[track_caller]
fn check_order(account: &Account) {
    assert!(N_WRONG_MAX < account.n_batches, "the callback did not fail often enough");
    for (partition, PartitionAccount { given, .. }) in &account.partitions {
        assert_eq!(given[0], 0, "reading of {partition} did not begin at its beginning");
        let gap = given.windows(2).find(|pair| pair[0] + 1 < pair[1]);
        assert_eq!(gap, None, "offsets of {partition} were passed over");
        let n_steps_back = given.windows(2).filter(|pair| pair[1] <= pair[0]).count();
        assert!(0 < n_steps_back, "no batch of {partition} was seen again");
    }
}
