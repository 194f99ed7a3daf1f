//! A service with one handler: the smallest thing worth copying.

mod hello;

use mainspring::prelude::*;
use mainspring::server::{HttpHandlerComponent, JsonHandlerComponent, PingHandler};

pub use hello::{Hello, HelloConfig, HelloReply, HelloRequest};

/// All components of the service; `configs/hello_service.yaml` declares them.
#[must_use]
pub fn app() -> ComponentList {
    ComponentList::common_server()
        .append_default::<HttpHandlerComponent<PingHandler>>()
        .append_default::<JsonHandlerComponent<Hello>>()
}
