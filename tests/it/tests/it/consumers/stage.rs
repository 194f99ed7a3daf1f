//! Topics and a group of a test's own, members of that group, and the one ledger that all of them write.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use mainspring::kafka::{Batch, ConsumerScope, KafkaConsumerComponent};
use mainspring::prelude::*;
use mainspring::secdist::{DefaultSecdistProvider, SecdistComponent};
use mainspring_kafka_broker::{Client, shared, unique_name};
use mainspring_testsuite::{TestService, eventually};

pub(crate) const N_PARTITIONS: i32 = 6;

/// Lets time pass where the time itself is what a test is about.
#[expect(clippy::disallowed_methods, reason = "it is a test's own thread, and no outcome is waited for")]
pub(crate) fn wait(time: Duration) {
    thread::sleep(time);
}

/// A message as somebody was given it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) member: &'static str,
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

/// What members were given, in the order in which it happened.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Vec<Entry>>>);

impl Ledger {
    pub(crate) fn enter(&self, member: &'static str, batch: &Batch) {
        let entries = batch.iter().map(|message| Entry {
            member,
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
        });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(entries);
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The offsets of each partition, in the order in which they came, whoever was given them.
    pub(crate) fn offsets(&self) -> BTreeMap<(String, i32), Vec<i64>> {
        let mut offsets: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for entry in self.entries() {
            offsets.entry((entry.topic, entry.partition)).or_default().push(entry.offset);
        }
        offsets
    }

    /// Everything came once, in order, and this many in all.
    #[track_caller]
    pub(crate) fn check_each_once(&self, n_records: usize) {
        for (partition, offsets) in self.offsets() {
            let expected = 0..i64::try_from(offsets.len()).expect("it is small");
            assert!(offsets.iter().copied().eq(expected), "{partition:?}: {offsets:?}");
        }
        assert_eq!(self.len(), n_records);
    }
}

/// One topic, one group.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) client: &'static Client,
    pub(crate) topic: String,
    pub(crate) group: String,
    pub(crate) ledger: Ledger,
    n_written: Arc<AtomicUsize>,
}

impl Stage {
    #[track_caller]
    pub(crate) fn new() -> Self {
        let client: &Client = shared();
        let topic = unique_name("orders");
        client.create_topic(&topic, N_PARTITIONS).expect("the topic is new");
        let n_written = Arc::default();
        Self { client, topic, group: unique_name("readers"), ledger: Ledger::default(), n_written }
    }

    /// Writes so many records, each with a key of its own.
    #[track_caller]
    pub(crate) fn write(&self, n_records: usize) {
        let first = self.n_written.fetch_add(n_records, Ordering::SeqCst);
        let records = (first..first + n_records).map(|number| (number.to_string(), number.to_string()));
        self.client.write_all(&self.topic, records).expect("it is written");
    }

    pub(crate) fn n_written(&self) -> usize {
        self.n_written.load(Ordering::SeqCst)
    }

    /// Writes for as long as `story` goes on, then tells how many records there are.
    #[track_caller]
    pub(crate) fn under_traffic(&self, story: impl FnOnce()) -> usize {
        let (is_over, waits) = std::sync::mpsc::channel::<()>();
        thread::scope(|scope| {
            let writer = scope.spawn(move || {
                while waits.try_recv() != Err(std::sync::mpsc::TryRecvError::Disconnected) {
                    self.write(50);
                }
            });
            // Moved in, so that the writer ends with the story, however that ends.
            let _is_over = is_over;
            story();
            drop(_is_over);
            writer.join().expect("writing goes well");
        });
        self.n_written()
    }

    /// A member that enters what it is given in the ledger; `options` are lines of its section.
    #[track_caller]
    pub(crate) fn member(&self, name: &'static str, options: &str) -> Member {
        let member = self.member_at_rest(options);
        let ledger = self.ledger.clone();
        let scope = member.scope();
        let started = scope.start(move |batch: Batch| {
            ledger.enter(name, &batch);
            std::future::ready(Ok::<_, Infallible>(()))
        });
        started.expect("it is not running yet");
        Member { scope: Some(scope), ..member }
    }

    /// A member that is not started yet.
    #[track_caller]
    pub(crate) fn member_at_rest(&self, options: &str) -> Member {
        let brokers = self.client.bootstrap_servers();
        let list = ComponentList::minimal()
            .append_default::<DefaultSecdistProvider>()
            .append_default::<SecdistComponent>()
            .append_default::<KafkaConsumerComponent>();
        let secdist = format!(r#"{{"kafka_settings": {{"kafka-consumer": {{"brokers": "{brokers}"}}}}}}"#);
        let mut section = format!("security_protocol: PLAINTEXT\ngroup_id: {}\n", self.group);
        for (key, line) in [
            ("topics:", format!("topics: [{}]", self.topic)),
            ("commit_policy:", "commit_policy: after_batch".to_owned()),
            ("poll_timeout:", "poll_timeout: 20ms".to_owned()),
            ("max_batch_size:", "max_batch_size: 40".to_owned()),
        ] {
            if !options.contains(key) {
                section += &format!("{line}\n");
            }
        }
        let service = TestService::new(list)
            .with_env("SECDIST_CONFIG", secdist)
            .with_component("default-secdist-provider", "environment-secrets-key: SECDIST_CONFIG")
            .with_component("kafka-consumer", &format!("{section}{options}"))
            .start();
        Member { scope: None, service }
    }

    /// Waits until the members have these partitions in all, and nobody has none.
    #[track_caller]
    pub(crate) fn until_shared(&self, members: &[&Member]) {
        let counts = || members.iter().map(|member| member.n_assigned()).collect::<Vec<_>>();
        let all = usize::try_from(N_PARTITIONS).expect("it is not negative");
        let is_shared = |counts: &Vec<usize>| !counts.contains(&0) && counts.iter().sum::<usize>() == all;
        eventually("everybody to have partitions", counts, is_shared);
    }

    #[track_caller]
    pub(crate) fn until_all_came(&self, n_records: usize) {
        eventually("all records", || self.ledger.len(), |n| n_records <= *n);
    }
}

/// A member of the group.
#[derive(Debug)]
pub(crate) struct Member {
    scope: Option<ConsumerScope>,
    pub(crate) service: TestService,
}

impl Member {
    /// The scope of a member at rest.
    #[track_caller]
    pub(crate) fn scope(&self) -> ConsumerScope {
        let component: Arc<KafkaConsumerComponent> = self.service.component("kafka-consumer");
        component.consumer().expect("nobody has it")
    }

    /// The scope of a member that runs.
    #[track_caller]
    pub(crate) fn running(&self) -> &ConsumerScope {
        self.scope.as_ref().expect("it was started")
    }

    pub(crate) fn n_assigned(&self) -> usize {
        self.running().assignment().len()
    }

    /// Leaves the group in good order.
    #[track_caller]
    pub(crate) fn leave(self) {
        let Self { scope, service } = self;
        service.block_on(scope.as_ref().expect("it was started").stop());
        drop(scope);
        assert_eq!(service.stop().unfinished, Vec::<String>::new());
    }
}
