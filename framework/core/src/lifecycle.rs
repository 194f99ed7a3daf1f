//! Loading all components, keeping them until a stop, and stopping them: the story of one service.

mod loading;
mod stopping;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mainspring_engine::TaskScope;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::erased::Prepared;
use crate::registry::Registry;
use crate::{ManagerConfig, Phase, ServiceError, events};

/// Drives one service from its first load to its last stop.
pub(crate) struct Lifecycle {
    registry: Arc<Registry>,
    config: ManagerConfig,
    /// Components whose `on_all_components_loaded` was called.
    announced: Mutex<BTreeSet<usize>>,
    /// The steps of the stop.
    steps: TaskScope,
    /// Fires when `shutdown_timeout` has passed.
    cut: CancellationToken,
}

/// What a forced stop still gives each step, and a cancelled step to reach its next suspension point.
const LAST_GRACE: Duration = Duration::from_secs(1);

/// The hooks as reports and task names spell them.
const LOADED_HOOK: &str = "on_all_components_loaded";
const STOPPING_HOOK: &str = "on_all_components_are_stopping";

impl Lifecycle {
    pub(crate) fn new(registry: Arc<Registry>, config: ManagerConfig) -> Self {
        Self {
            registry,
            config,
            announced: Mutex::default(),
            steps: TaskScope::new(),
            cut: CancellationToken::new(),
        }
    }

    /// Loads everything, waits for the stop, stops everything; the steps of the stop that did not finish.
    pub(crate) async fn run(&self, prepared: Vec<Prepared>) -> Result<Vec<String>, ServiceError> {
        let service = &self.registry.service;
        let began = Instant::now();
        match self.start(prepared, began).await {
            Ok(true) => {
                service.enter(Phase::Running);
                events::ready(began.elapsed());
                service.stop_requested().cancelled().await;
            }
            Ok(false) => {}
            Err(kind) => {
                events::start_failed(kind.component(), &kind);
                let unfinished = self.stop_components().await;
                return Err(ServiceError::from(kind).with_unfinished(unfinished));
            }
        }
        Ok(self.stop().await)
    }

    /// The output of `future`, or `None` when the stop is cut short and it is not ready soon.
    async fn or_cut_short<F: Future>(&self, future: F) -> Option<F::Output> {
        let forced = async {
            self.registry.service.force_requested().cancelled().await;
            tokio::time::sleep(LAST_GRACE).await;
        };
        tokio::select! {
            biased;
            output = future => Some(output),
            () = forced => None,
            () = self.cut.cancelled() => None,
        }
    }

    fn announced(&self) -> MutexGuard<'_, BTreeSet<usize>> {
        self.announced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> Vec<usize> {
        (0..self.registry.slots.len()).collect()
    }
}
