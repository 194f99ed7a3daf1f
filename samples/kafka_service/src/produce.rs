//! The component `producer-handler`: one HTTP request, one record.

use mainspring::kafka::{KafkaProducerComponent, Producer, Record, SendError};
use mainspring::prelude::*;
use mainspring::server::{HandlerError, JsonHandler, RequestContext};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Sends what it is posted, and answers once the broker has it.
#[derive(Debug)]
pub struct ProducerHandler {
    producer: Producer,
}

/// The body of a request.
#[derive(Debug, Deserialize)]
pub struct ProduceRequest {
    topic: String,
    key: String,
    payload: String,
}

/// The body of a reply.
#[derive(Debug, Serialize)]
pub struct ProduceReply {
    message: &'static str,
}

impl JsonHandler for ProducerHandler {
    const DEFAULT_NAME: &'static str = "producer-handler";
    type Config = NoConfig;
    type Request = ProduceRequest;
    type Response = ProduceReply;

    fn dependencies(_config: &NoConfig, _service: &ServiceOutline) -> Dependencies {
        Dependencies::of(["kafka-producer"])
    }

    async fn load(_config: NoConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        let producer = cx.find::<KafkaProducerComponent>("kafka-producer").await?.producer();
        Ok(Self { producer })
    }

    async fn handle(
        &self,
        request: ProduceRequest,
        _cx: &RequestContext,
    ) -> Result<ProduceReply, HandlerError> {
        let record = Record::to(request.topic).with_key(request.key).with_payload(request.payload);
        self.producer.send(record).await.map_err(refusal)?;
        Ok(ProduceReply { message: "Message send successfully" })
    }
}

/// What the caller is told: to try again, or why there is no point in it.
fn refusal(error: SendError) -> HandlerError {
    if error.is_retryable() {
        return HandlerError::too_many_requests("Retry later")
            .with_body(json!({"error": "Retry later"}))
            .with_cause(error);
    }
    let reason = error.to_string();
    HandlerError::bad_request(reason.clone()).with_body(json!({"error": reason})).with_cause(error)
}
