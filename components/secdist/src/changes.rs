//! What tells a component that its secrets have changed.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::{SecdistError, Secrets};

/// Follows what is at the end of one path of keys; made by [`SecdistComponent::subscribe`](crate::SecdistComponent::subscribe).
///
/// ```no_run
/// # async fn follow(secdist: &mainspring_secdist::SecdistComponent) {
/// use mainspring_secdist::Secret;
///
/// let mut changes = secdist.subscribe(&["api_keys", "payments"]);
/// loop {
///     match changes.get::<Secret>() {
///         Ok(key) => use_from_now_on(key),
///         Err(error) => tracing::error!(%error, "The new key cannot be used; the old one stays"),
///     }
///     changes.changed().await;
/// }
/// # }
/// # fn use_from_now_on(_: mainspring_secdist::Secret) {}
/// ```
#[must_use = "it tells nothing unless it is asked"]
pub struct SecretChanges {
    path: Vec<String>,
    seen: Arc<Secrets>,
    updates: watch::Receiver<Arc<Secrets>>,
    readings: watch::Receiver<u64>,
}

impl SecretChanges {
    pub(crate) fn new(
        path: &[&str],
        mut updates: watch::Receiver<Arc<Secrets>>,
        readings: watch::Receiver<u64>,
    ) -> Self {
        let path = path.iter().map(|&step| step.to_owned()).collect();
        let seen = Arc::clone(&updates.borrow_and_update());
        Self { path, seen, updates, readings }
    }

    /// Waits until another value is there than the one seen last, which may also be that there is none any more. From
    /// then on [`get`](Self::get) gives that one. Readings that change nothing here go unnoticed, and so do values that
    /// were replaced before anybody asked.
    ///
    /// Waits for ever once secdist is gone.
    ///
    /// # Cancel safety
    /// May be dropped at any time; the change is told by the next call.
    pub async fn changed(&mut self) {
        loop {
            if self.updates.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            let now = Arc::clone(&self.updates.borrow_and_update());
            let is_same = now.agree_at(&self.seen, &self.path);
            self.seen = now;
            if !is_same {
                return;
            }
        }
    }

    /// Waits until the secrets have been read again, whether anything has changed or not: on SIGHUP, and each
    /// `update-period`. For secrets that stand in files of their own, such as keys, and are to be read as often.
    /// Readings that failed count too. From then on [`get`](Self::get) gives what was read.
    ///
    /// Waits for ever once secdist is gone.
    ///
    /// # Cancel safety
    /// As for [`changed`](Self::changed).
    pub async fn read_again(&mut self) {
        if self.readings.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.seen = Arc::clone(&self.updates.borrow_and_update());
    }

    /// The value as seen last.
    ///
    /// # Errors
    /// When a key of the path is missing, or when the value is not a `T`.
    pub fn get<T: DeserializeOwned>(&self) -> Result<T, SecdistError> {
        let path: Vec<_> = self.path.iter().map(String::as_str).collect();
        self.seen.get(&path)
    }
}

/// The path, and no value.
impl fmt::Debug for SecretChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretChanges").field("path", &self.path).finish_non_exhaustive()
    }
}
