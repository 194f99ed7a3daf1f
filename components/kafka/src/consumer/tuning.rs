//! What of a consumer may be changed while it runs.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use mainspring_config::HumanDuration;
use mainspring_core::dynamic::{Diff, DynamicConfig, Subscription, Variable};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::consumer::config::Settings;

/// How consumers work while the service runs, by the name of their component; see [`ConsumerTuning`]. A consumer that is not
/// named, and a key that is left out, is as configured.
pub static KAFKA_CONSUMER: Variable<BTreeMap<String, ConsumerTuning>> =
    Variable::new("MAINSPRING_KAFKA_CONSUMER", BTreeMap::new);

/// Changes to one consumer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ConsumerTuning {
    /// Whether to hand out no more messages. The consumer stays in its group and keeps its partitions; a batch that is with
    /// the callback is finished and may be committed. Default `false`.
    pub paused: bool,
    /// Most messages of one batch, from the next batch on. From 1 to 1000000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_batch_size: Option<NonZeroUsize>,
    /// Most messages handed out per second. Batches hold no more than that, whatever `max_batch_size` says. Default: no limit.
    #[schemars(range(min = 1))]
    pub max_messages_per_second: Option<NonZeroU32>,
    /// The wait after a failure, from the next failure on. Up to `24h`.
    #[schemars(extend("formatMaximum" = "24h"))]
    pub restart_after_failure_delay: Option<HumanDuration>,
}

/// What counts now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tuning {
    pub(crate) paused: bool,
    /// Most messages of one batch.
    pub(crate) batch_max: usize,
    /// How long each message handed out keeps the next batch waiting; zero without a limit.
    pub(crate) pace: Duration,
    pub(crate) restart_delay: Duration,
}

impl Tuning {
    /// As configured.
    pub(crate) fn configured(settings: &Settings) -> Tuning {
        Tuning {
            paused: false,
            batch_max: settings.max_batch_size,
            pace: Duration::ZERO,
            restart_delay: settings.restart_delay,
        }
    }

    /// As configured, with changes.
    fn changed(self, changes: &ConsumerTuning) -> Tuning {
        let batch_max = changes.max_batch_size.map_or(self.batch_max, NonZeroUsize::get);
        let rate = changes.max_messages_per_second.map(NonZeroU32::get);
        let per_second = rate.map_or(usize::MAX, |rate| usize::try_from(rate).unwrap_or(usize::MAX));
        Tuning {
            paused: changes.paused,
            batch_max: batch_max.min(per_second),
            pace: rate.map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate),
            restart_delay: changes.restart_after_failure_delay.map_or(self.restart_delay, HumanDuration::get),
        }
    }
}

/// Follows the variable for the consumer called `component`.
pub(crate) fn follow(
    config: &DynamicConfig,
    component: &str,
    configured: Tuning,
) -> (Subscription, watch::Receiver<Tuning>) {
    let (sender, receiver) = watch::channel(configured);
    let name = component.to_owned();
    let tune = move |diff: &Diff<'_>| {
        let changes = diff.current().get(&KAFKA_CONSUMER).get(&name);
        let tuning = changes.map_or(configured, |changes| configured.changed(changes));
        sender.send_if_modified(|current| std::mem::replace(current, tuning) != tuning);
    };
    (config.subscribe_to(component, &[&KAFKA_CONSUMER], tune), receiver)
}
