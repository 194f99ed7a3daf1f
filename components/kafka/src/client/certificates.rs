//! The certificate and key files of a client, and whether they have changed since it was made.
//!
//! librdkafka reads them when a client is made and never again, so a change needs another client.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io;
use std::sync::Arc;

use mainspring_config::Surroundings;
use mainspring_core::ComponentContext;
use mainspring_secdist::Secret;

use crate::client::config::CommonConfig;

/// Files that are followed.
#[derive(Debug)]
pub(crate) struct CertificateFiles {
    paths: Arc<[String]>,
    /// What they were like when they were read last; nothing yet when they never could.
    seen: Option<u64>,
}

/// A file that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read `{path}`: {reason}")]
pub(crate) struct Unreadable {
    path: String,
    reason: String,
}

impl CertificateFiles {
    /// The files that `config` names, as they are now. A directory of authorities is not followed: librdkafka looks into it
    /// by itself.
    pub(crate) async fn of(config: &CommonConfig, cx: &ComponentContext) -> CertificateFiles {
        let paths = config.certificate_files().map(str::to_owned).collect();
        let mut files = CertificateFiles { paths, seen: None };
        // librdkafka complains of what cannot be read.
        files.seen = files.look(cx).await.ok();
        files
    }

    /// Whether there is nothing to follow.
    pub(crate) fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Whether they are others than when they were looked at last.
    ///
    /// # Errors
    /// [`Unreadable`]; what was seen before counts on.
    pub(crate) async fn have_changed(&mut self, cx: &ComponentContext) -> Result<bool, Unreadable> {
        let now = self.look(cx).await?;
        Ok(self.seen.replace(now) != Some(now))
    }

    async fn look(&self, cx: &ComponentContext) -> Result<u64, Unreadable> {
        let (paths, world) = (Arc::clone(&self.paths), cx.surroundings());
        let looking = cx.spawn_blocking("kafka-certificates", move || fingerprint(&paths, &*world));
        // Cut short, the service is stopping.
        looking.await.unwrap_or_else(|_| Ok(self.seen.unwrap_or_default()))
    }
}

fn fingerprint(paths: &[String], world: &dyn Surroundings) -> Result<u64, Unreadable> {
    let mut hasher = DefaultHasher::new();
    for path in paths {
        match world.read_file(path).map(Secret::new) {
            Ok(text) => text.expose().hash(&mut hasher),
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {}
            Err(error) => return Err(Unreadable { path: path.clone(), reason: error.to_string() }),
        }
    }
    Ok(hasher.finish())
}
