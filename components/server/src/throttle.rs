//! How many requests a handler takes at the same time and per second, as configured and as changed at run time.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use mainspring_core::ComponentContext;
use mainspring_core::dynamic::{Diff, Subscription, Variable};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{HandlerOptions, events};

/// Limits of handlers while the service runs, by the name of their component; see [`HandlerTuning`]. A handler that is not
/// named, and a key that is left out, is as configured.
pub static HTTP_HANDLER: Variable<BTreeMap<String, HandlerTuning>> =
    Variable::new("MAINSPRING_HTTP_HANDLER", BTreeMap::new);

/// Changes to one handler.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct HandlerTuning {
    /// Whether the limits count.
    pub throttling_enabled: Option<bool>,
    /// Most requests that are answered at the same time. At least 1.
    pub max_requests_in_flight: Option<NonZeroUsize>,
    /// Most requests that are answered per second. At least 1.
    pub max_requests_per_second: Option<NonZeroU32>,
}

/// What counts now; nothing is a limit that there is not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) in_flight: Option<NonZeroUsize>,
    pub(crate) per_second: Option<NonZeroU32>,
}

impl Limits {
    fn new(configured: &HandlerOptions, tuning: Option<&HandlerTuning>) -> Self {
        let tuned = tuning.cloned().unwrap_or_default();
        if !tuned.throttling_enabled.or(configured.throttling_enabled).unwrap_or(true) {
            return Self::default();
        }
        Self {
            in_flight: tuned.max_requests_in_flight.or(configured.max_requests_in_flight),
            per_second: tuned.max_requests_per_second.or(configured.max_requests_per_second),
        }
    }
}

/// The limit that a request met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exceeded {
    InFlight,
    /// There is room again after this long.
    PerSecond(Duration),
}

/// Counts the requests of one handler against its limits. Nobody waits, and nothing is locked.
#[derive(Debug)]
pub(crate) struct Throttle {
    limits: ArcSwap<Limits>,
    in_flight: AtomicUsize,
    began: Instant,
    /// When the requests so far would have come at an even pace, in nanoseconds since `began`: the generic cell rate
    /// algorithm (ITU-T I.371), with room for the requests of one second at once.
    paced_until: AtomicU64,
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct Admitted<'t>(&'t Throttle);

impl Throttle {
    pub(crate) fn new(limits: Limits) -> Self {
        let (in_flight, paced_until) = (AtomicUsize::new(0), AtomicU64::new(0));
        Self { limits: ArcSwap::from_pointee(limits), in_flight, began: Instant::now(), paced_until }
    }

    /// The limits of a handler, which follow [`HTTP_HANDLER`] for as long as the subscription lives.
    pub(crate) fn follow(cx: &ComponentContext, options: &HandlerOptions) -> (Arc<Self>, Subscription) {
        let throttle = Arc::new(Self::new(Limits::new(options, None)));
        let (tuned, name, configured) = (Arc::clone(&throttle), cx.name().to_owned(), options.clone());
        let tune = move |diff: &Diff<'_>| {
            let limits = Limits::new(&configured, diff.current().get(&HTTP_HANDLER).get(&name));
            if *tuned.limits.swap(Arc::new(limits)) != limits {
                events::limits_changed(&name, limits);
            }
        };
        let subscription = cx.dynamic_config().subscribe_to(cx.name(), &[&HTTP_HANDLER], tune);
        (throttle, subscription)
    }

    /// Counts a request in, until what it returns is dropped.
    pub(crate) fn admit(&self, now: Instant) -> Result<Admitted<'_>, Exceeded> {
        let limits = self.limits.load();
        // Counted also without a limit: one may come while it is answered.
        let before = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let admitted = Admitted(self);
        if limits.in_flight.is_some_and(|most| most.get() <= before) {
            return Err(Exceeded::InFlight);
        }
        if let Some(rate) = limits.per_second {
            self.pace(now, rate).map_err(Exceeded::PerSecond)?;
        }
        Ok(admitted)
    }

    /// Moves the pace on by one request, or says how long there is no room for one.
    fn pace(&self, now: Instant, rate: NonZeroU32) -> Result<(), Duration> {
        const SECOND: u64 = 1_000_000_000;
        let now = u64::try_from(now.saturating_duration_since(self.began).as_nanos()).unwrap_or(u64::MAX);
        let interval = SECOND / u64::from(rate.get());
        let next = |paced_until: u64| paced_until.max(now).saturating_add(interval);
        let latest = now.saturating_add(SECOND);
        let moved = self.paced_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |paced_until| {
            Some(next(paced_until)).filter(|next| *next <= latest)
        });
        moved.map(drop).map_err(|paced_until| Duration::from_nanos(next(paced_until).saturating_sub(latest)))
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
