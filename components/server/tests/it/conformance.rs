//! The components of this crate keep what every component promises.

use mainspring_core::ComponentList;
use mainspring_server::{HttpHandlerComponent, PingHandler, ServerComponent};
use mainspring_testsuite::conformance::check;

const SERVER: &str = "{
    listener: {address: 127.0.0.1, port: 0, task_processor: main-task-processor},
    listener-monitor: {address: 127.0.0.1, port: 0, task_processor: monitor-task-processor}}";

#[test]
fn the_server_conforms() {
    check::<ServerComponent>(&ComponentList::minimal(), |service| service, SERVER);
}

#[test]
fn a_handler_conforms() {
    let others = ComponentList::minimal().append_default::<ServerComponent>();
    check::<HttpHandlerComponent<PingHandler>>(
        &others,
        |service| service.with_component("server", SERVER),
        "{path: /ping, method: GET, log-level: none}",
    );
}
