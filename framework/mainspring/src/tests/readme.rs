//! What README shows: its configuration is right, and its errors are what a wrong one is told.

use mainspring_config::{FakeSurroundings, Source, VarsOptions};
use mainspring_core::{
    Component, ComponentContext, ComponentList, LoadError, NoConfig, Service, ServiceOptions,
};
use mainspring_kafka::{KafkaConsumerComponent, KafkaEmbeddedComponent, KafkaProducerComponent};
use mainspring_server::{HandlerError, JsonHandler, JsonHandlerComponent, RequestContext};

use crate::CommonComponents;

const README: &str = include_str!("../../../../README.md");

struct TakeOrder;

impl JsonHandler for TakeOrder {
    const DEFAULT_NAME: &'static str = "handler-orders";
    type Config = NoConfig;
    type Request = String;
    type Response = String;

    async fn load(_: NoConfig, _: &ComponentContext) -> Result<Self, LoadError> {
        Ok(Self)
    }

    async fn handle(&self, order: String, _: &RequestContext) -> Result<String, HandlerError> {
        Ok(order)
    }
}

struct Orders;

impl Component for Orders {
    const DEFAULT_NAME: &'static str = "orders";
    type Config = NoConfig;

    async fn load(_: NoConfig, _: &ComponentContext) -> Result<Self, LoadError> {
        Ok(Self)
    }
}

#[test]
fn the_configuration_is_right() {
    assert_eq!(problems(block("yaml")), "");
}

#[test]
fn the_errors_are_what_a_wrong_configuration_is_told() {
    let wrong = block("yaml").replacen("port: 8187", "prot: 8187", 1).replacen(
        "method: POST, task_processor: main-task-processor",
        "method: POST, task_processor: main",
        1,
    );
    assert_eq!(problems(&wrong), block("text").trim_end());
}

/// The first fenced block of a language in the chapter about a service of one's own.
pub(super) fn block(language: &str) -> &'static str {
    let (_, chapter) = README.split_once("\n## A service\n").expect("README has that chapter");
    let (_, after) = chapter.split_once(&format!("```{language}\n")).expect("it has such a block");
    after.split_once("```").expect("the block ends").0
}

/// The components of the service that the chapter shows.
pub(super) fn components() -> ComponentList {
    ComponentList::common_server()
        .append_default::<KafkaEmbeddedComponent>()
        .append::<KafkaProducerComponent>("kafka-producer")
        .append::<KafkaConsumerComponent>("kafka-consumer")
        .append_default::<JsonHandlerComponent<TakeOrder>>()
        .append_default::<Orders>()
}

fn problems(text: &str) -> String {
    let surroundings = FakeSurroundings::default();
    let list = components();
    let source = Source::new("static_config.yaml", text);
    let checked = mainspring_config::load(&source, &VarsOptions::default(), &surroundings)
        .and_then(|root| Service::new(&list, &root, ServiceOptions::default()));
    checked.err().map(|problems| problems.to_string()).unwrap_or_default()
}
