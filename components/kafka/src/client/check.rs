//! What `--check-config=connect` asks brokers: whether they are there, know us, and have the topics.

use std::task::{Context, Waker};
use std::time::Duration;

use mainspring_config::Violation;
use mainspring_kafka_ffi::{Consumer, ConsumerEvent, KafkaCode, KafkaError, Producer, ProducerEvent};
use tokio::time::Instant;

/// Longest wait for all answers to one client.
const LIMIT: Duration = Duration::from_secs(5);

/// Events looked at for a reason; librdkafka repeats itself.
const EVENTS_MAX: usize = 100;

/// Blocks: call it on a blocking thread.
pub(crate) fn producer(client: &Producer, brokers: &str) -> Vec<Violation> {
    let Err(error) = client.brokers_blocking(LIMIT) else { return Vec::new() };
    let mut reasons = Vec::new();
    let poll = client.poll_events(&mut Context::from_waker(Waker::noop()), &mut |event| {
        if let ProducerEvent::Error(error) = event {
            reasons.push(error);
        }
    });
    let _later_events_do_not_matter = poll.is_ready();
    vec![unreachable(brokers, error, reasons)]
}

/// Blocks: call it on a blocking thread.
pub(crate) fn consumer(client: &Consumer, brokers: &str, topics: &[String]) -> Vec<Violation> {
    let until = Instant::now() + LIMIT;
    if let Err(error) = client.brokers_blocking(LIMIT) {
        let mut cx = Context::from_waker(Waker::noop());
        let events = std::iter::from_fn(|| match client.poll_event(&mut cx) {
            std::task::Poll::Ready(event) => Some(event),
            std::task::Poll::Pending => None,
        });
        let reasons = events.take(EVENTS_MAX).filter_map(|event| match event {
            ConsumerEvent::Error(error) => Some(error),
            _ => None,
        });
        return vec![unreachable(brokers, error, reasons.collect())];
    }
    let is_name = |topic: &&str| !topic.starts_with('^');
    let topics = topics.iter().map(String::as_str).enumerate().filter(|(_, topic)| is_name(topic));
    topics
        .filter_map(|(idx, topic)| {
            let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            let error = client.partition_ids_blocking(topic, left).err()?;
            let message = match error.code {
                KafkaCode::UNKNOWN_TOPIC | KafkaCode::UNKNOWN_TOPIC_OR_PART => {
                    format!("the brokers at `{brokers}` have no topic `{topic}`")
                }
                _ => format!("the brokers at `{brokers}` do not tell of topic `{topic}`: {}", error.text),
            };
            Some(Violation::new(format!("topics[{idx}]"), message))
        })
        .collect()
}

/// The reason that says most: a refusal rather than that all brokers are down.
fn unreachable(brokers: &str, error: KafkaError, reasons: Vec<KafkaError>) -> Violation {
    let refusal = [KafkaCode::AUTHENTICATION, KafkaCode::SSL].into_iter();
    let refusal = refusal.filter_map(|code| reasons.iter().find(|reason| reason.code == code)).next();
    let told = refusal.or_else(|| reasons.iter().find(|reason| reason.code != KafkaCode::ALL_BROKERS_DOWN));
    let text = &told.unwrap_or(&error).text;
    // How long it took and how often it was tried differs each time.
    let text = text.split(" (after ").next().unwrap_or(text);
    Violation::new("", format!("no broker at `{brokers}` answers within {} s: {text}", LIMIT.as_secs()))
}
