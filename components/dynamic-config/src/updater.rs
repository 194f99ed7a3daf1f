//! The component `dynamic-config-client-updater`: brings updates, again and again.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use mainspring_config::Violation;
use mainspring_core::{Component, ComponentContext, Dependencies, LoadError, ServiceOutline};
use tokio::time::Instant;

use crate::{DynamicConfigClient, DynamicConfigComponent, UpdaterConfig};

/// Fetches values from a configuration service and hands them to [`DynamicConfigComponent`]: all of them when it loads and
/// now and then, in between what has changed.
///
/// While the service cannot be asked, or gives values that the variables do not allow, all stay as they were.
#[derive(Debug)]
#[non_exhaustive]
pub struct DynamicConfigClientUpdater {}

impl Component for DynamicConfigClientUpdater {
    const DEFAULT_NAME: &'static str = "dynamic-config-client-updater";
    type Config = UpdaterConfig;

    fn validate(config: &UpdaterConfig, service: &ServiceOutline) -> Vec<Violation> {
        config.violations(service)
    }

    fn dependencies(config: &UpdaterConfig, _: &ServiceOutline) -> Dependencies {
        Dependencies::of([&config.updates_sink, &config.client])
    }

    async fn load(config: UpdaterConfig, cx: &ComponentContext) -> Result<Self, LoadError> {
        let sink = cx.find::<DynamicConfigComponent>(&config.updates_sink).await?;
        let client = cx.find::<DynamicConfigClient>(&config.client).await?;
        let ids = config.load_only_my_values.then(|| cx.dynamic_config().variables().names().collect());
        let mut updates = Updates { sink, client, ids, config, last: None };
        if let Err(error) = updates.update().await {
            let may_go_on = updates.config.first_update_fail_ok || updates.sink.has_update().await;
            if !may_go_on {
                return Err(error);
            }
        }
        // The task ends with the component, so its handle is not kept.
        drop(cx.spawn("dynamic-config-update", updates.run(Chance::new())));
        Ok(Self {})
    }
}

struct Updates {
    sink: Arc<DynamicConfigComponent>,
    client: Arc<DynamicConfigClient>,
    /// The variables asked for; `None` for all.
    ids: Option<Vec<&'static str>>,
    config: UpdaterConfig,
    last: Option<Last>,
}

/// The last update that was taken.
struct Last {
    updated_at: String,
    full_at: Instant,
}

impl Updates {
    /// Updates until the task is cancelled.
    async fn run(mut self, mut chance: Chance) {
        let interval = self.config.update_interval.get();
        let jitter = self.config.update_jitter.map_or(interval / 10, |jitter| jitter.get());
        loop {
            tokio::time::sleep(chance.around(interval, jitter)).await;
            // Reported where it is found; the next one may do better.
            let _reported = self.update().await.is_err();
        }
    }

    /// One update; what goes wrong is reported as well as returned.
    async fn update(&mut self) -> Result<(), LoadError> {
        let asked_at = Instant::now();
        let full_interval = self.config.full_update_interval.get();
        let is_due = |last: &&Last| asked_at < last.full_at + full_interval;
        let earlier = self.last.as_ref().filter(is_due);
        let since = earlier.map(|last| last.updated_at.as_str());
        let reply = match self.client.fetch(self.ids.as_deref(), since).await {
            Ok(reply) => reply,
            Err(error) => {
                let error = LoadError::from(error);
                self.sink.update_failed(LoadError::message(error.to_string()));
                return Err(error);
            }
        };
        let full_at = earlier.map_or(asked_at, |last| last.full_at);
        let (updated_at, was_full) = (reply.updated_at.clone(), earlier.is_none());
        if self.config.store_enabled {
            // When it is refused, the next question is about the same changes again.
            self.sink.apply(reply.into_update(was_full)).await?;
        } else {
            self.sink.go_on_without();
        }
        self.last = Some(Last { updated_at, full_at });
        Ok(())
    }
}

/// Numbers that nobody can foretell and nobody need: a xorshift generator.
struct Chance(u64);

impl Chance {
    fn new() -> Self {
        Self::seeded(RandomState::new().hash_one("update"))
    }

    fn seeded(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A duration that differs from `middle` by at most `jitter`.
    fn around(&mut self, middle: Duration, jitter: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let part = f64::from(u32::try_from(self.0 >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX);
        middle.saturating_sub(jitter) + (jitter * 2).mul_f64(part)
    }
}

#[cfg(test)]
mod tests;
