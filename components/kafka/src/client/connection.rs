//! Where the brokers are and who we are to them: from secdist, or from the embedded cluster of the same service.

use mainspring_core::{Component, ComponentContext, Dependencies, LoadError, ServiceOutline};
use mainspring_secdist::{SecdistComponent, Secret};
use serde::Deserialize;

use crate::client::config::CommonConfig;
use crate::client::state::Role;
use crate::embedded::KafkaEmbeddedComponent;

/// The key of secdist under which each Kafka component has its own.
const SECDIST_SECTION: &str = "kafka_settings";

/// Brokers, credentials and the properties that suit a client of these brokers.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    brokers: String,
    credentials: Option<Credentials>,
    defaults: Vec<(&'static str, &'static str)>,
}

/// Who we are to the brokers; the name is nobody else's business either.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Credentials {
    pub(crate) username: Secret,
    pub(crate) password: Secret,
}

/// What secdist holds for one component.
#[derive(Deserialize)]
struct Brokers {
    brokers: String,
}

impl Connection {
    /// Brokers without credentials, for tests.
    #[cfg(test)]
    pub(crate) fn to(brokers: impl Into<String>) -> Connection {
        Connection { brokers: brokers.into(), credentials: None, defaults: Vec::new() }
    }

    /// What [`Connection::find`] will look for.
    pub(crate) fn dependencies(service: &ServiceOutline) -> Dependencies {
        let embedded = KafkaEmbeddedComponent::DEFAULT_NAME;
        let name = if service.has_component(embedded) { embedded } else { SecdistComponent::DEFAULT_NAME };
        Dependencies::of([name])
    }

    /// Finds the embedded cluster if the service has one, else asks secdist.
    pub(crate) async fn find(
        config: &CommonConfig,
        role: Role,
        cx: &ComponentContext,
    ) -> Result<Connection, LoadError> {
        let embedded =
            cx.find_optional::<KafkaEmbeddedComponent>(KafkaEmbeddedComponent::DEFAULT_NAME).await?;
        if let Some(embedded) = embedded {
            let brokers = embedded.bootstrap_servers().to_owned();
            let defaults = match role {
                Role::Producer => Vec::new(),
                Role::Consumer => embedded.consumer_defaults().to_vec(),
            };
            return Ok(Connection { brokers, credentials: None, defaults });
        }
        let secdist = cx.find_default::<SecdistComponent>().await?;
        let key = config.secdist_key.as_deref().unwrap_or_else(|| cx.name());
        let path = [SECDIST_SECTION, key];
        let Brokers { brokers } = secdist.get(&path)?;
        let credentials = config.security_protocol.authenticates().then(|| secdist.get(&path)).transpose()?;
        Ok(Connection { brokers, credentials, defaults: Vec::new() })
    }

    /// The value of `bootstrap.servers`.
    pub(crate) fn brokers(&self) -> &str {
        &self.brokers
    }

    pub(crate) fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// Properties that suit these brokers; custom options win over them.
    pub(crate) fn defaults(&self) -> &[(&'static str, &'static str)] {
        &self.defaults
    }
}
