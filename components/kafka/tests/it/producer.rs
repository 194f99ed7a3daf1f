//! The producer component in a service: what is acknowledged, what fails and how, and how it stops.

use std::time::{Duration, Instant, SystemTime};

use expect_test::expect;
use futures_util::future::join_all;
use mainspring_core::{ComponentList, Health};
use mainspring_kafka::{KafkaProducerComponent, Record, SendError};
use mainspring_kafka_ffi::MockCluster;
use mainspring_testsuite::{DEADLINE, TestService, conformance, eventually};

use crate::support::{producer, producing, producing_to, read, with_brokers, with_secdist};

/// Nobody listens there.
const NOWHERE: &str = "127.0.0.1:1";

fn cluster(partitions: i32) -> MockCluster {
    let cluster = MockCluster::new(1).expect("a thread and a port are left");
    cluster.create_topic("orders", partitions, 1).expect("the topic is new");
    cluster
}

#[test]
fn an_acknowledgement_says_where_the_record_is() {
    let cluster = cluster(4);
    let service = producing(&cluster, "queue_buffering_max: 0s");
    let producer = producer(&service);
    service.block_on(async {
        for offset in 0..3 {
            let record = Record::to("orders").with_key("17").with_payload("paid").with_partition(3);
            let delivery = producer.send(record).await.unwrap();
            assert_eq!(&*delivery.topic, "orders");
            assert_eq!((delivery.partition, delivery.offset), (3, Some(offset)));
            // The mock cluster says a constant; that there is one is all it can show.
            assert!(delivery.timestamp.is_some());
        }
    });
    assert_eq!(producer.in_flight(), 0);
}

#[test]
fn everything_of_a_record_arrives() {
    let cluster = cluster(1);
    let service = producing(&cluster, "queue_buffering_max: 0s");
    let producer = producer(&service);
    let created = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    service.block_on(async {
        let full = Record::to("orders")
            .with_key("17")
            .with_payload(vec![0, 255])
            .with_header("trace", "abc")
            .with_header("trace", String::from("def"))
            .with_timestamp(created);
        producer.send(full).await.unwrap();
        producer.send(Record::to("orders").with_key("")).await.unwrap();
        producer.send(Record::to("orders").with_payload(&b""[..])).await.unwrap();

        let messages = read(&cluster, "orders", 0, 3).await;
        assert_eq!(messages[0].key(), Some(&b"17"[..]));
        assert_eq!(messages[0].payload(), Some(&[0, 255][..]));
        assert_eq!(messages[0].timestamp().map(|stamp| stamp.millis()), Some(1_700_000_000_123));
        let headers: Vec<_> = messages[0].headers().collect();
        assert_eq!(headers, [("trace", Some(&b"abc"[..])), ("trace", Some(&b"def"[..]))]);
        assert_eq!((messages[1].key(), messages[1].payload()), (Some(&b""[..]), None));
        assert_eq!((messages[2].key(), messages[2].payload()), (None, Some(&b""[..])));
        drop(messages);
    });
}

#[test]
fn an_unknown_partition_is_refused() {
    let cluster = cluster(2);
    let service = producing(&cluster, "queue_buffering_max: 0s");
    let producer = producer(&service);
    service.block_on(async {
        producer.send(Record::to("orders").with_payload("paid").with_partition(1)).await.unwrap();
        let error = producer.send(Record::to("orders").with_partition(100_500)).await.unwrap_err();
        assert!(matches!(error, SendError::UnknownPartition { .. }), "{error}");
        assert_eq!(error.to_string(), "send to `orders`[100500] failed: the partition is unknown");
        producer.send(Record::to("orders").with_payload("paid").with_partition(0)).await.unwrap();
    });
}

#[test]
fn a_topic_without_a_name_is_refused() {
    let service = producing_to(NOWHERE, "");
    let error = service.block_on(producer(&service).send(Record::to(""))).unwrap_err();
    assert_eq!(error.kafka_code(), Some(-186), "{error}");
}

#[test]
fn a_record_of_the_largest_size_arrives_and_one_byte_more_is_refused() {
    let cluster = cluster(1);
    let service = producing(&cluster, "queue_buffering_max: 0s\nmessage_max_bytes: 1000");
    let producer = producer(&service);
    service.block_on(async {
        let mut accepted = Vec::new();
        for size in 900..=1000 {
            match producer.send(Record::to("orders").with_payload(vec![b'x'; size])).await {
                Ok(_) => accepted.push(size),
                Err(error) => {
                    assert!(matches!(error, SendError::MessageTooLarge { .. }), "{error}");
                    assert!(!error.is_retryable());
                }
            }
        }
        // librdkafka counts the overhead of a message at its largest.
        let largest = *accepted.last().expect("a record below the limit is accepted");
        assert_eq!(accepted, (900..=largest).collect::<Vec<_>>());
        assert!((900..1000).contains(&largest), "{largest}");
    });
}

#[test]
fn a_full_queue_makes_senders_wait_for_space() {
    let cluster = cluster(1);
    let keys = "queue_buffering_max_messages: 7\nqueue_buffering_max: 0s\ndelivery_timeout: 60s";
    let service = producing(&cluster, keys);
    let producer = producer(&service);
    service.block_on(async {
        // Until it is back nothing leaves the queue.
        cluster.set_broker_down(1).unwrap();
        let mut sent: Vec<_> = (0..20)
            .map(|number| producer.send_async(Record::to("orders").with_payload(number.to_string())))
            .collect();
        let waiting = sent.iter().filter(|sent| format!("{sent:?}").contains("waiting for space")).count();
        assert_eq!(waiting, 13);
        cluster.set_broker_up(1).unwrap();
        // They go in the order in which they were handed over, whichever is looked at first.
        sent.reverse();
        for (answer, offset) in join_all(sent).await.into_iter().rev().zip(0..) {
            assert_eq!(answer.unwrap().offset, Some(offset));
        }
    });
    let metrics = service.metrics();
    let met = "kafka_producer_queue_full_total{component=\"kafka-producer\",topic=\"orders\"} 13";
    assert!(metrics.contains(met), "{metrics}");
}

#[test]
fn no_broker_means_a_delivery_timeout_and_a_fallback() {
    let service = producing_to(NOWHERE, "delivery_timeout: 100ms");
    let producer = producer(&service);
    let error = service.block_on(producer.send(Record::to("orders").with_payload("paid"))).unwrap_err();
    assert_eq!(error.to_string(), "send to `orders` failed: no acknowledgement within 100ms (retryable)");
    let component = service.component::<KafkaProducerComponent>("kafka-producer");
    let health = || mainspring_core::Component::health(&*component);
    eventually("all brokers are down", health, |health| {
        *health == Health::fallback("no broker can be reached")
    });
    let down = || service.log().iter().filter(|line| *line == "All brokers are down").count();
    eventually("it is told once", down, |down| *down == 1);
    let metrics = service.metrics();
    assert!(metrics.contains("kafka_client_all_brokers_down{component=\"kafka-producer\"} 1"), "{metrics}");
    drop(component);
}

#[test]
fn brokers_that_come_back_end_the_fallback() {
    let cluster = cluster(1);
    let service = producing(&cluster, "delivery_timeout: 30s\nqueue_buffering_max: 0s");
    let producer = producer(&service);
    let component = service.component::<KafkaProducerComponent>("kafka-producer");
    let health = || mainspring_core::Component::health(&*component);
    service.block_on(producer.send(Record::to("orders").with_payload("before"))).unwrap();
    cluster.set_broker_down(1).unwrap();
    eventually("all brokers are down", health, |health| *health != Health::Ok);
    let waiting = producer.send_async(Record::to("orders").with_payload("meanwhile"));
    cluster.set_broker_up(1).unwrap();
    assert_eq!(service.block_on(waiting).unwrap().offset, Some(1));
    assert_eq!(health(), Health::Ok);
    drop(component);
}

#[test]
fn a_send_given_up_leaves_nothing_behind() {
    let cluster = cluster(1);
    let service = producing(&cluster, "queue_buffering_max: 0s");
    let producer = producer(&service);
    service.block_on(async {
        for _ in 0..100 {
            drop(producer.send_async(Record::to("orders").with_payload("unattended")));
        }
        let last = producer.send(Record::to("orders").with_payload("last")).await.unwrap();
        // Nobody awaited the others, and they were sent all the same.
        assert_eq!(last.offset, Some(100));
    });
    eventually("nothing is in flight", || producer.in_flight(), |in_flight| *in_flight == 0);
}

#[test]
fn ten_thousand_records_at_once_arrive_exactly_once() {
    let cluster = cluster(1);
    let service = producing(
        &cluster,
        "enable_idempotence: true\nqueue_buffering_max_messages: 1000\ndelivery_timeout: 120s",
    );
    let producer = producer(&service);
    service.block_on(async {
        let sent = (0..10_000).map(|number| {
            let producer = producer.clone();
            async move { producer.send(Record::to("orders").with_payload(number.to_string())).await }
        });
        for answer in join_all(sent).await {
            answer.unwrap();
        }
        let messages = read(&cluster, "orders", 0, 10_000).await;
        let text = |payload: Option<&[u8]>| String::from_utf8(payload.unwrap().to_vec()).unwrap();
        let mut numbers: Vec<u32> =
            messages.iter().map(|message| text(message.payload()).parse().unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..10_000).collect::<Vec<_>>());
    });
}

#[test]
fn a_stop_sends_at_once_what_is_in_flight_and_waits_for_it() {
    let cluster = cluster(1);
    // Left alone, the records would wait ten minutes for others to share a batch with.
    let service = producing(&cluster, "queue_buffering_max: 10m\ndelivery_timeout: 1h");
    let producer = producer(&service);
    let sent: Vec<_> =
        (0..100).map(|_| producer.send_async(Record::to("orders").with_payload("paid"))).collect();
    assert_eq!(producer.in_flight(), 100);
    let began = Instant::now();
    assert_eq!(service.stop().unfinished, Vec::<String>::new());
    assert!(began.elapsed() < DEADLINE, "{:?}", began.elapsed());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for answer in join_all(sent).await {
            answer.unwrap();
        }
        let error = producer.send(Record::to("orders").with_payload("late")).await.unwrap_err();
        assert!(matches!(error, SendError::ShutDown { .. }), "{error}");
        assert_eq!(error.to_string(), "send to `orders` failed: the producer has stopped");
    });
    assert_eq!(producer.in_flight(), 0);
}

#[test]
fn a_stop_without_brokers_is_bounded_and_names_what_was_lost() {
    let list = with_secdist(ComponentList::minimal()).append_default::<KafkaProducerComponent>();
    let keys = "{security_protocol: PLAINTEXT, delivery_timeout: 1h, queue_buffering_max_messages: 3}";
    let service = with_brokers(TestService::new(list), NOWHERE, &["kafka-producer"])
        .with_manager_key("component_stop_timeout: 10s")
        .with_component("kafka-producer", keys)
        .start();
    let producer = producer(&service);
    let handle = service.handle().clone();
    let mut sent: Vec<_> =
        (0..3).map(|_| producer.send_async(Record::to("orders").with_payload("paid"))).collect();
    sent.push(producer.send_async(Record::to("payments").with_payload("paid")));
    let began = Instant::now();
    assert_eq!(service.stop().unfinished, Vec::<String>::new());
    let took = began.elapsed();
    assert!(took < DEADLINE, "{took:?}");
    let records = handle.logging().recent(&mainspring_logging::RecentFilter::default());
    let lost: Vec<_> = records
        .iter()
        .filter(|record| record.text() == "Producer stopped with records not delivered")
        .map(|record| format!("{record:?}"))
        .collect();
    assert_eq!(lost.len(), 1, "{records:#?}");
    assert!(lost[0].contains("orders: 3, payments: 1"), "{lost:?}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for answer in runtime.block_on(join_all(sent)) {
        answer.unwrap_err();
    }
}

#[test]
fn two_producers_of_one_service_do_not_mix() {
    let (left, right) = (cluster(1), cluster(1));
    let list = with_secdist(ComponentList::minimal())
        .append::<KafkaProducerComponent>("left")
        .append::<KafkaProducerComponent>("right");
    let secrets = format!(
        r#"{{"kafka_settings": {{"left": {{"brokers": "{}"}}, "elsewhere": {{"brokers": "{}"}}}}}}"#,
        left.bootstrap_servers(),
        right.bootstrap_servers()
    );
    let service = TestService::new(list)
        .with_file("secdist.json", secrets)
        .with_component("default-secdist-provider", "config: secdist.json")
        .with_component("left", "security_protocol: PLAINTEXT")
        .with_component("right", "{security_protocol: PLAINTEXT, secdist_key: elsewhere}")
        .start();
    for (name, cluster) in [("left", &left), ("right", &right)] {
        let producer = service.component::<KafkaProducerComponent>(name).producer();
        service.block_on(async {
            producer.send(Record::to("orders").with_payload(name)).await.unwrap();
            let messages = read(cluster, "orders", 0, 1).await;
            assert_eq!(messages[0].payload(), Some(name.as_bytes()));
        });
    }
}

#[test]
fn custom_options_reach_the_client() {
    let cluster = cluster(1);
    let service = producing(&cluster, "rd_kafka_custom_options: {acks: '0'}");
    let producer = producer(&service);
    let delivery = service.block_on(producer.send(Record::to("orders").with_payload("paid"))).unwrap();
    // Without acknowledgements there is no offset to tell.
    assert_eq!(delivery.offset, None);
}

#[test]
fn a_wrong_custom_option_is_found_before_anything_starts() {
    let list = with_secdist(ComponentList::minimal()).append_default::<KafkaProducerComponent>();
    let section = "security_protocol: PLAINTEXT\nrd_kafka_custom_options:\n    linger.minutes: '1'";
    let problems = with_brokers(TestService::new(list), NOWHERE, &["kafka-producer"])
        .with_component("kafka-producer", section)
        .check()
        .unwrap_err();
    let problems = problems.to_string();
    // The line depends on what the test service puts before the section.
    let (_file_and_line, problem) = problems.split_once(":33: ").expect("the value is in column 33");
    expect![[r#"kafka-producer.rd_kafka_custom_options.linger.minutes: No such configuration property: "linger.minutes""#]].assert_eq(problem);
}

#[test]
fn brokers_that_secdist_does_not_know_are_named() {
    let list = with_secdist(ComponentList::minimal()).append_default::<KafkaProducerComponent>();
    let error = with_brokers(TestService::new(list), NOWHERE, &["somebody-else"])
        .with_component("kafka-producer", "security_protocol: PLAINTEXT")
        .try_start()
        .unwrap_err();
    assert!(format!("{error:#}").contains("kafka_settings.kafka-producer"), "{error:#}");
}

#[test]
fn credentials_are_asked_for_with_sasl_only() {
    let list = with_secdist(ComponentList::minimal()).append_default::<KafkaProducerComponent>();
    let error = with_brokers(TestService::new(list), NOWHERE, &["kafka-producer"])
        .with_component("kafka-producer", "{security_protocol: SASL_PLAINTEXT, sasl_mechanisms: PLAIN}")
        .try_start()
        .unwrap_err();
    assert!(format!("{error:#}").contains("kafka_settings.kafka-producer.username"), "{error:#}");
}

#[test]
fn figures_follow_the_traffic() {
    let cluster = cluster(1);
    let service =
        producing(&cluster, "queue_buffering_max: 0s\nmessage_max_bytes: 1000\nstatistics_interval: 50ms");
    let producer = producer(&service);
    service.block_on(async {
        for _ in 0..3 {
            producer.send(Record::to("orders").with_key("17").with_payload("paid")).await.unwrap();
        }
        producer.send(Record::to("orders").with_payload(vec![0; 1001])).await.unwrap_err();
    });
    let metrics = eventually(
        "statistics are there",
        || service.metrics(),
        |metrics| {
            metrics.contains("kafka_client_broker_up{")
                && metrics.contains("kafka_producer_queue_limit_messages")
        },
    );
    let chosen = [
        "messaging_client_sent_messages_total",
        "messaging_client_operation_duration_seconds_count",
        "kafka_producer_sent_bytes_total",
        "kafka_producer_errors_total",
        "kafka_producer_in_flight_messages",
        "kafka_producer_queue_limit",
        "kafka_client_all_brokers_down",
        "kafka_client_connection_errors",
    ];
    let lines = metrics.lines().filter(|line| chosen.iter().any(|name| line.starts_with(name)));
    let lines: String = lines.map(|line| format!("{line}\n")).collect();
    let lines = lines.replace(&cluster.bootstrap_servers(), "localhost:9092");
    expect![[r#"
        kafka_client_all_brokers_down{component="kafka-producer"} 0
        kafka_client_connection_errors_total{broker="localhost:9092/1",component="kafka-producer"} 0
        kafka_producer_errors_total{component="kafka-producer",error_type="MESSAGE_TOO_LARGE",retryable="false",topic="orders"} 1
        kafka_producer_in_flight_messages{component="kafka-producer"} 0
        kafka_producer_queue_limit_bytes{component="kafka-producer"} 1073741824
        kafka_producer_queue_limit_messages{component="kafka-producer"} 100000
        kafka_producer_sent_bytes_total{component="kafka-producer",topic="orders"} 18
        messaging_client_operation_duration_seconds_count{component="kafka-producer",error_type="",messaging_destination_name="orders",messaging_operation_name="send",messaging_operation_type="send",messaging_system="kafka"} 3
        messaging_client_sent_messages_total{component="kafka-producer",error_type="",messaging_destination_name="orders",messaging_operation_name="send",messaging_operation_type="send",messaging_system="kafka"} 3
        messaging_client_sent_messages_total{component="kafka-producer",error_type="MESSAGE_TOO_LARGE",messaging_destination_name="orders",messaging_operation_name="send",messaging_operation_type="send",messaging_system="kafka"} 1
    "#]].assert_eq(&lines);

    let view = service.handle().metrics().userver();
    let view = view.metrics().iter().filter(|metric| metric.path.starts_with("kafka_producer."));
    let view: String = view
        .filter(|metric| metric.path != "kafka_producer.avg_ms_spent_time")
        .map(|metric| format!("{} {:?} {:?}\n", metric.path, metric.labels, metric.value))
        .collect();
    expect![[r#"
        kafka_producer.messages_total [("component_name", "kafka-producer"), ("topic", "orders")] Rate(3)
        kafka_producer.messages_success [("component_name", "kafka-producer"), ("topic", "orders")] Rate(3)
        kafka_producer.messages_error [("component_name", "kafka-producer"), ("topic", "orders")] Rate(0)
        kafka_producer.connections_error [("component_name", "kafka-producer")] Rate(0)
    "#]]
    .assert_eq(&view);
}

#[test]
fn it_keeps_the_promises_of_every_component() {
    let others = with_secdist(ComponentList::minimal());
    conformance::check::<KafkaProducerComponent>(
        &others,
        |builder| with_brokers(builder, NOWHERE, &["kafka-producer"]),
        "{security_protocol: PLAINTEXT}",
    );
}
