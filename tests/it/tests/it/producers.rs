//! Producers of this process on the real Kafka: every form of a record, every codec, and a broker that stands still.

mod forms;
mod standstill;

use std::sync::Arc;

use mainspring::kafka::{KafkaProducerComponent, Producer};
use mainspring::prelude::*;
use mainspring::secdist::{DefaultSecdistProvider, SecdistComponent};
use mainspring_testsuite::TestService;

/// A service with one producer of these options, and what else is in `list` and `sections`.
#[track_caller]
pub(crate) fn producing(brokers: &str, options: &str) -> TestService {
    let list = ComponentList::minimal()
        .append_default::<DefaultSecdistProvider>()
        .append_default::<SecdistComponent>()
        .append_default::<KafkaProducerComponent>();
    let secdist = format!(r#"{{"kafka_settings": {{"kafka-producer": {{"brokers": "{brokers}"}}}}}}"#);
    TestService::new(list)
        .with_env("SECDIST_CONFIG", secdist)
        .with_component("default-secdist-provider", "environment-secrets-key: SECDIST_CONFIG")
        .with_component("kafka-producer", &format!("security_protocol: PLAINTEXT\n{options}"))
        .start()
}

#[track_caller]
pub(crate) fn producer(service: &TestService) -> Producer {
    let component: Arc<KafkaProducerComponent> = service.component("kafka-producer");
    component.producer()
}
