//! The dynamic configuration of one service: its current values, and those who follow them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::ArcSwap;
use mainspring_config::{Problems, Section};
use mainspring_engine::catch_panic;
use tokio::sync::watch;

use crate::dynamic::snapshot::Values;
use crate::dynamic::{AnyVariable, Diff, Snapshot, Variables};
use crate::events;

/// The dynamic configuration of one service. Clones share it.
#[derive(Clone)]
pub struct DynamicConfig {
    shared: Arc<Shared>,
}

struct Shared {
    variables: Variables,
    current: ArcSwap<Values>,
    /// Held while values change and subscribers are told, so that all are told of every change in its order.
    changing: Mutex<()>,
    subscribers: Mutex<Subscribers>,
    /// Values that have to be there before work begins are still awaited.
    held: watch::Sender<bool>,
}

#[derive(Default)]
struct Subscribers {
    next_id: u64,
    by_id: BTreeMap<u64, Arc<Subscriber>>,
}

struct Subscriber {
    name: String,
    /// Empty for all.
    variables: Vec<&'static dyn AnyVariable>,
    callback: Box<dyn Fn(&Diff<'_>) + Send + Sync>,
}

impl DynamicConfig {
    /// A configuration of these variables, all of them at their defaults.
    #[must_use]
    pub fn new(variables: Variables) -> Self {
        let shared = Shared {
            variables,
            current: ArcSwap::default(),
            changing: Mutex::default(),
            subscribers: Mutex::default(),
            held: watch::Sender::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The variables there are.
    #[must_use]
    pub fn variables(&self) -> &Variables {
        &self.shared.variables
    }

    /// The values of this moment. Takes no lock.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { values: self.shared.current.load_full() }
    }

    /// Calls `callback` with the current values before it returns, and then whenever a value changes, on the thread that
    /// changes it, one change after the other. `name` says in the log whose callback it is.
    ///
    /// The callback must not block, and must neither subscribe nor store. A panic in a later call is logged, and the
    /// others are told all the same.
    pub fn subscribe(
        &self,
        name: impl Into<String>,
        callback: impl Fn(&Diff<'_>) + Send + Sync + 'static,
    ) -> Subscription {
        self.subscribe_to(name, &[], callback)
    }

    /// As [`DynamicConfig::subscribe`], but called only when one of these variables changes.
    pub fn subscribe_to(
        &self,
        name: impl Into<String>,
        variables: &[&'static dyn AnyVariable],
        callback: impl Fn(&Diff<'_>) + Send + Sync + 'static,
    ) -> Subscription {
        let _changing = self.changing();
        callback(&Diff::new(None, &self.snapshot(), &[]));
        let subscriber =
            Subscriber { name: name.into(), variables: variables.to_vec(), callback: Box::new(callback) };
        let mut subscribers = self.shared.subscribers();
        let id = subscribers.next_id;
        subscribers.next_id += 1;
        subscribers.by_id.insert(id, Arc::new(subscriber));
        Subscription { shared: Arc::downgrade(&self.shared), id }
    }

    /// Makes these the values: for each variable that of the last layer that has one, otherwise its default. Says which
    /// variables changed. Names that no variable has are passed over; see [`Variables::check`].
    ///
    /// # Errors
    /// Everything wrong with the values that would count; then all stay as they were.
    pub fn store(&self, layers: &[&Section]) -> Result<Vec<&'static str>, Problems> {
        let values = self.shared.variables.read(layers)?;
        let _changing = self.changing();
        let previous = self.snapshot();
        let changed = self.shared.variables.changed(&previous.values, &values);
        if changed.is_empty() {
            return Ok(changed);
        }
        let current = Snapshot { values: Arc::new(values) };
        self.shared.current.store(Arc::clone(&current.values));
        self.tell(&Diff::new(Some(&previous), &current, &changed));
        Ok(changed)
    }

    /// Lets those who wait in [`DynamicConfig::released`] wait until [`DynamicConfig::release`].
    pub fn hold(&self) {
        self.shared.held.send_replace(true);
    }

    /// The values that had to be there are there.
    pub fn release(&self) {
        self.shared.held.send_replace(false);
    }

    /// Waits until nobody holds the values back any more; see [`DynamicConfig::hold`].
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn released(&self) {
        let mut held = self.shared.held.subscribe();
        // The sender lives in `self`, so the channel cannot close here.
        let _open = held.wait_for(|held| !held).await.is_ok();
    }

    fn tell(&self, diff: &Diff<'_>) {
        // Not under the lock: a callback may drop a subscription.
        let subscribers: Vec<_> = self.shared.subscribers().by_id.values().cloned().collect();
        for subscriber in subscribers {
            let variables = &subscriber.variables;
            let concerns_it =
                variables.is_empty() || variables.iter().any(|variable| diff.has_changed(*variable));
            if !concerns_it {
                continue;
            }
            if let Err(panic) = catch_panic(|| (subscriber.callback)(diff)) {
                events::subscriber_panicked(&subscriber.name, &panic);
            }
        }
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.shared.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn subscribers(&self) -> MutexGuard<'_, Subscribers> {
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for DynamicConfig {
    fn default() -> Self {
        Self::new(Variables::default())
    }
}

impl fmt::Debug for DynamicConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamicConfig").field("current", &self.snapshot()).finish_non_exhaustive()
    }
}

/// Keeps a callback; dropping it ends the calls, but for one that runs on another thread right then.
#[must_use = "the callback is forgotten when this is dropped"]
pub struct Subscription {
    shared: Weak<Shared>,
    id: u64,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            let forgotten = shared.subscribers().by_id.remove(&self.id);
            // After the lock: what the callback owns may be a subscription too.
            drop(forgotten);
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("id", &self.id).finish_non_exhaustive()
    }
}
