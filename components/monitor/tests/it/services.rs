//! Services that the tests look at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mainspring_core::{Component, ComponentContext, ComponentList, Health, LoadError, NoConfig};
use mainspring_monitor::{StartupHandler, monitor_list};
use mainspring_server::{HttpHandlerComponent, ServerComponent};

use crate::support::{LISTENERS, Running};

/// All handlers of the monitor and a component that can fail.
pub(crate) fn list() -> ComponentList {
    ComponentList::minimal()
        .append_default::<ServerComponent>()
        .append_list(monitor_list())
        .append_default::<Fragile>()
}

/// A service with nothing configured but listeners and `sections`.
pub(crate) fn start(sections: &str) -> Running {
    Running::start(&list(), &format!("{LISTENERS}\n        fragile: {{}}{sections}"))
}

/// Breaks when a test says so.
pub(crate) struct Fragile(Arc<AtomicBool>);

impl Fragile {
    pub(crate) fn break_in(service: &Running) {
        let fragile = service.handle.component::<Self>(Self::DEFAULT_NAME).expect("it is loaded");
        fragile.0.store(true, Ordering::SeqCst);
    }
}

impl Component for Fragile {
    const DEFAULT_NAME: &'static str = "fragile";
    type Config = NoConfig;

    async fn load(_config: NoConfig, _cx: &ComponentContext) -> Result<Self, LoadError> {
        Ok(Self(Arc::default()))
    }

    fn health(&self) -> Health {
        if self.0.load(Ordering::SeqCst) { Health::fatal("it fell") } else { Health::Ok }
    }
}

/// Never finishes loading.
pub(crate) struct Hanging;

impl Component for Hanging {
    const DEFAULT_NAME: &'static str = "hanging";
    type Config = NoConfig;

    async fn load(_config: NoConfig, _cx: &ComponentContext) -> Result<Self, LoadError> {
        std::future::pending().await
    }
}

/// Never finishes stopping.
pub(crate) struct Clinging;

impl Component for Clinging {
    const DEFAULT_NAME: &'static str = "clinging";
    type Config = NoConfig;

    async fn load(_config: NoConfig, _cx: &ComponentContext) -> Result<Self, LoadError> {
        Ok(Self)
    }

    async fn stop(&self) {
        std::future::pending::<()>().await;
    }
}

/// Stops its service before that was ever ready, and does not finish its own stop.
pub(crate) struct Quitter(ComponentContext);

impl Component for Quitter {
    const DEFAULT_NAME: &'static str = "quitter";
    type Config = NoConfig;

    async fn load(_config: NoConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        // So that the probe, and the server below it, answer while this one stops.
        cx.find_default::<HttpHandlerComponent<StartupHandler>>().await?;
        Ok(Self(cx.clone()))
    }

    async fn on_all_components_loaded(&self) -> Result<(), LoadError> {
        self.0.service().stop("a test wants it");
        std::future::pending().await
    }

    async fn stop(&self) {
        std::future::pending::<()>().await;
    }
}
