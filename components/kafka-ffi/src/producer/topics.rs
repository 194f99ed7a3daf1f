//! Topic handles kept ready, to be found without a lock.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::error::KafkaError;
use crate::producer::Topic;

/// Past it, librdkafka is asked anew each time.
const CACHED_MAX: usize = 1024;

/// Sorted by name: services send to few topics, and a search is then cheaper than a hash.
#[derive(Default)]
pub(super) struct Topics(ArcSwap<Vec<Topic>>);

impl Topics {
    /// The handle of this name; `create` makes it when it is not there yet.
    pub(super) fn get_or_create(
        &self,
        name: &str,
        create: impl FnOnce(&str) -> Result<Topic, KafkaError>,
    ) -> Result<Topic, KafkaError> {
        let known = self.0.load();
        if let Ok(idx) = find(&known, name) {
            return Ok(known[idx].clone());
        }
        let topic = create(name)?;
        // Should two tasks come at the same time, either handle will do: they are references to the same topic.
        self.0.rcu(|known| match find(known, name) {
            Err(idx) if known.len() < CACHED_MAX => {
                let mut more = Vec::with_capacity(known.len() + 1);
                more.extend_from_slice(&known[..idx]);
                more.push(topic.clone());
                more.extend_from_slice(&known[idx..]);
                Arc::new(more)
            }
            Ok(_) | Err(_) => Arc::clone(known),
        });
        Ok(topic)
    }
}

fn find(topics: &[Topic], name: &str) -> Result<usize, usize> {
    topics.binary_search_by(|topic| topic.name().cmp(name))
}
