//! A service that produces to Kafka on request and consumes what was produced.

mod consume;
mod produce;

use mainspring::kafka::{KafkaConsumerComponent, KafkaEmbeddedComponent, KafkaProducerComponent};
use mainspring::prelude::*;
use mainspring::server::{HttpHandlerComponent, JsonHandlerComponent, PingHandler};

pub use consume::{ConsumerHandler, ConsumerHandlerConfig};
pub use produce::{ProduceReply, ProduceRequest, ProducerHandler};

/// All components of the service. `configs/kafka_service.yaml` declares them for a real Kafka,
/// `configs/kafka_service_embedded.yaml` for one inside the process.
#[must_use]
pub fn app() -> ComponentList {
    ComponentList::common_server()
        .append_default::<HttpHandlerComponent<PingHandler>>()
        .append_default::<KafkaEmbeddedComponent>()
        .append::<KafkaProducerComponent>("kafka-producer")
        .append::<KafkaConsumerComponent>("kafka-consumer")
        .append_default::<JsonHandlerComponent<ProducerHandler>>()
        .append_default::<ConsumerHandler>()
}
