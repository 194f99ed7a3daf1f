//! Where the brokers are and who we are to them: from secdist, or from the embedded cluster of the same service.

use mainspring_core::{Component, ComponentContext, Dependencies, LoadError, ServiceOutline};
use mainspring_kafka_ffi::{ClientConfig, ConfigError};
use mainspring_secdist::{SecdistComponent, SecdistError, Secret, SecretChanges};
use serde::Deserialize;

use crate::client::changes::ConnectionChanges;
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
    key_password: Option<Secret>,
    defaults: Vec<(&'static str, &'static str)>,
}

/// Who we are to the brokers; the name is nobody else's business either.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Credentials {
    pub(crate) username: Secret,
    pub(crate) password: Secret,
}

/// What secdist holds for one component.
#[derive(Deserialize)]
struct Brokers {
    brokers: String,
    /// What the client's key is encrypted with.
    #[serde(default)]
    ssl_key_password: Option<Secret>,
}

impl Connection {
    /// Brokers without credentials, for tests.
    #[cfg(test)]
    pub(crate) fn to(brokers: impl Into<String>) -> Connection {
        Connection { brokers: brokers.into(), credentials: None, key_password: None, defaults: Vec::new() }
    }

    /// The same with credentials, as secdist has them.
    #[cfg(test)]
    pub(crate) fn with_credentials(self, json: &str) -> Connection {
        let credentials = serde_json::from_str(json).expect("a test knows how they look");
        Connection { credentials: Some(credentials), ..self }
    }

    /// What [`Connection::find`] will look for.
    pub(crate) fn dependencies(service: &ServiceOutline) -> Dependencies {
        let embedded = KafkaEmbeddedComponent::DEFAULT_NAME;
        let name = if service.has_component(embedded) { embedded } else { SecdistComponent::DEFAULT_NAME };
        Dependencies::of([name])
    }

    /// Finds the embedded cluster if the service has one, else asks secdist, which may have something else later.
    pub(crate) async fn find(
        config: &CommonConfig,
        role: Role,
        cx: &ComponentContext,
    ) -> Result<(Connection, Option<ConnectionChanges>), LoadError> {
        let embedded =
            cx.find_optional::<KafkaEmbeddedComponent>(KafkaEmbeddedComponent::DEFAULT_NAME).await?;
        if let Some(embedded) = embedded {
            let brokers = embedded.bootstrap_servers().to_owned();
            let defaults = match role {
                Role::Producer => Vec::new(),
                Role::Consumer => embedded.consumer_defaults().to_vec(),
            };
            let connection = Connection { brokers, credentials: None, key_password: None, defaults };
            return Ok((connection, None));
        }
        let secdist = cx.find_default::<SecdistComponent>().await?;
        let key = config.secdist_key.as_deref().unwrap_or_else(|| cx.name());
        let secret = secdist.subscribe(&[SECDIST_SECTION, key]);
        let connection = Connection::read(config.security_protocol.authenticates(), &secret)?;
        let changes = ConnectionChanges::new(secret, config, &connection, cx).await;
        Ok((connection, Some(changes)))
    }

    /// What secdist holds now; without credentials for a client that does not authenticate.
    pub(crate) fn read(authenticates: bool, secret: &SecretChanges) -> Result<Connection, SecdistError> {
        let Brokers { brokers, ssl_key_password: key_password } = secret.get()?;
        let credentials = authenticates.then(|| secret.get()).transpose()?;
        Ok(Connection { brokers, credentials, key_password, defaults: Vec::new() })
    }

    /// The value of `bootstrap.servers`.
    pub(crate) fn brokers(&self) -> &str {
        &self.brokers
    }

    pub(crate) fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    pub(crate) fn key_password(&self) -> Option<&Secret> {
        self.key_password.as_ref()
    }

    /// Whether a client of the other one would do for this one, once it has other credentials.
    pub(crate) fn is_same_but_for_credentials(&self, other: &Connection) -> bool {
        self.brokers == other.brokers && self.key_password == other.key_password
    }

    /// Properties that suit these brokers; custom options win over them.
    pub(crate) fn defaults(&self) -> &[(&'static str, &'static str)] {
        &self.defaults
    }
}

impl Credentials {
    /// Puts them among the properties of a client to be.
    pub(crate) fn set(&self, config: &mut ClientConfig) -> Result<(), ConfigError> {
        config.set("sasl.username", self.username.expose())?;
        config.set("sasl.password", self.password.expose())
    }
}
