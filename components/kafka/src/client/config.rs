//! The options that both kinds of client have, and their way into librdkafka's property table.

use std::borrow::Cow;
use std::collections::BTreeMap;

use mainspring_config::{HumanDuration, Violation};
use mainspring_core::{Component, ServiceOutline};
use mainspring_kafka_ffi::{self as ffi, ClientConfig, ConfigError};
use mainspring_logging::Level;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::client::connection::Connection;
use crate::client::{Role, combinations};
use crate::embedded::KafkaEmbeddedComponent;
use crate::transactions::KafkaTransactionalProducerComponent;

/// Parts of a property's name that say that its value is a secret.
const SECRET_WORDS: [&str; 8] =
    ["password", "passphrase", "secret", "token", "jaas", "key.pem", "credential", "oauthbearer.config"];

/// Properties that our code relies on: they decide how events reach us.
const RESERVED: [&str; 2] = ["log.queue", "delivery.report.only.error"];

/// Properties of the connection, each with the key that sets it: what they are set to decides what is checked and followed.
const CONNECTION: [(&str, &str); 6] = [
    ("security.protocol", "security_protocol"),
    ("sasl.mechanism", "sasl_mechanisms"),
    ("sasl.mechanisms", "sasl_mechanisms"),
    ("ssl.ca.location", "ssl_ca_location"),
    ("ssl.certificate.location", "ssl_certificate_location"),
    ("ssl.key.location", "ssl_key_location"),
];

/// Those that secdist has.
const FROM_SECDIST: [&str; 3] = ["bootstrap.servers", "metadata.broker.list", "sasl.username"];

/// Makes a producer refuse every record outside of transactions.
const TRANSACTIONAL_ID: &str = "transactional.id";

/// Options of every Kafka client.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct CommonConfig {
    /// How the client introduces itself to brokers; part of their logs and quotas. Default `mainspring`. Sets
    /// `client.id`.
    #[serde(default = "CommonConfig::default_client_id")]
    pub client_id: String,
    /// How to talk to the brokers. Required. Sets `security.protocol`.
    pub security_protocol: SecurityProtocol,
    /// How to prove who we are; required with the SASL protocols. Sets `sasl.mechanisms`.
    #[serde(default)]
    pub sasl_mechanisms: Option<SaslMechanism>,
    /// File or directory with the certificates of trusted authorities, or `probe` to look in the usual places;
    /// required with `SSL` and `SASL_SSL`. Sets `ssl.ca.location`.
    #[serde(default)]
    #[schemars(example = &"/etc/ssl/certs")]
    pub ssl_ca_location: Option<String>,
    /// File with the client's certificate in PEM, for brokers that ask for one; goes with `ssl_key_location`. It is read
    /// again when secdist is (SIGHUP, `update-period`), and so are the key and the authorities. Default: none. Sets
    /// `ssl.certificate.location`.
    #[serde(default)]
    #[schemars(example = &"/etc/orders/client.pem")]
    pub ssl_certificate_location: Option<String>,
    /// File with the client's key in PEM. When it is encrypted, secdist has the password as `ssl_key_password`. Default:
    /// none. Sets `ssl.key.location`.
    #[serde(default)]
    #[schemars(example = &"/etc/orders/client.key")]
    pub ssl_key_location: Option<String>,
    /// How often metadata of the topics in use is asked for even without need. From `10ms` to `1h`, default `5m`. Sets
    /// `topic.metadata.refresh.interval.ms`.
    #[serde(default = "CommonConfig::default_topic_metadata_refresh_interval")]
    #[schemars(extend("formatMinimum" = "10ms", "formatMaximum" = "1h"))]
    pub topic_metadata_refresh_interval: HumanDuration,
    /// How old metadata may be before it is asked for again. From `1ms` to `24h`, default `15m`. Sets
    /// `metadata.max.age.ms`.
    #[serde(default = "CommonConfig::default_metadata_max_age")]
    #[schemars(extend("formatMinimum" = "1ms", "formatMaximum" = "24h"))]
    pub metadata_max_age: HumanDuration,
    /// librdkafka properties that have no key here, such as `socket.keepalive.enable: true`. Checked at start; secrets are
    /// refused, and so are properties that have a key of their own, but for `client.id`, `metadata.max.age.ms` and
    /// `topic.metadata.refresh.interval.ms`, which win over their keys. Default: none.
    #[serde(default)]
    pub rd_kafka_custom_options: BTreeMap<String, String>,
    /// Level at which librdkafka's own informational and debug lines are logged. Default `debug`.
    #[serde(default = "CommonConfig::default_log_level")]
    pub debug_info_log_level: Level,
    /// Level at which single operations (a record sent, a batch polled, an offset committed) are logged. Default
    /// `debug`.
    #[serde(default = "CommonConfig::default_log_level")]
    pub operation_log_level: Level,
    /// How often librdkafka reports the figures behind queue, broker and lag metrics. Up to `24h`, default `5s`; `0s`
    /// switches these metrics off. Sets `statistics.interval.ms`.
    #[serde(default = "CommonConfig::default_statistics_interval")]
    #[schemars(extend("formatMaximum" = "24h"))]
    pub statistics_interval: HumanDuration,
    /// Key below `kafka_settings` in secdist that holds `brokers` and, with SASL, `username` and `password`. Default:
    /// the component's name.
    #[serde(default)]
    #[schemars(example = &"kafka-orders")]
    pub secdist_key: Option<String>,
}

/// How the client talks to the brokers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum SecurityProtocol {
    /// Neither encrypted nor authenticated.
    Plaintext,
    /// Encrypted.
    Ssl,
    /// Authenticated, not encrypted.
    SaslPlaintext,
    /// Authenticated and encrypted.
    SaslSsl,
}

/// How the client proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[non_exhaustive]
pub enum SaslMechanism {
    /// User name and password in clear.
    #[serde(rename = "PLAIN")]
    Plain,
    /// A challenge over SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// A challenge over SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

/// A librdkafka property as it is set.
struct AppliedOption<'a> {
    property: &'a str,
    value: Cow<'a, str>,
    /// The key of ours that sets it, or some other reason.
    origin: &'a str,
}

/// What is shown instead of a secret.
const MASK: &str = "***";

/// A librdkafka property that a key of ours sets.
#[derive(Debug, Clone)]
pub(crate) struct TypedOption {
    /// Our key.
    pub(crate) key: &'static str,
    /// librdkafka's name, then its aliases.
    pub(crate) properties: &'static [&'static str],
    /// What it is set to.
    pub(crate) value: String,
}

impl TypedOption {
    pub(crate) fn new(
        key: &'static str,
        properties: &'static [&'static str],
        value: impl ToString,
    ) -> TypedOption {
        TypedOption { key, properties, value: value.to_string() }
    }

    /// A duration in whole milliseconds.
    pub(crate) fn millis(
        key: &'static str,
        properties: &'static [&'static str],
        value: HumanDuration,
    ) -> TypedOption {
        TypedOption::new(key, properties, value.as_millis())
    }
}

impl CommonConfig {
    fn default_client_id() -> String {
        "mainspring".to_owned()
    }

    const fn default_topic_metadata_refresh_interval() -> HumanDuration {
        HumanDuration::from_secs(5 * 60)
    }

    const fn default_metadata_max_age() -> HumanDuration {
        HumanDuration::from_secs(15 * 60)
    }

    const fn default_log_level() -> Level {
        Level::Debug
    }

    const fn default_statistics_interval() -> HumanDuration {
        HumanDuration::from_secs(5)
    }

    /// Everything a configuration alone can prove wrong. `typed` are the properties that the component's own keys set.
    pub(crate) fn violations(&self, role: Role, typed: &[TypedOption]) -> Vec<Violation> {
        let mut violations = Vec::new();
        self.check_security(&mut violations);
        self.check_custom(role, typed, &mut violations);
        violations
    }

    /// Whether the brokers are those inside the process.
    pub(crate) fn is_embedded(service: &ServiceOutline) -> bool {
        service.check_component("", KafkaEmbeddedComponent::DEFAULT_NAME).is_none()
    }

    /// Complains of a protocol that the brokers inside the process do not speak.
    pub(crate) fn check_embedded(&self, service: &ServiceOutline) -> Option<Violation> {
        let name = KafkaEmbeddedComponent::DEFAULT_NAME;
        let is_embedded = Self::is_embedded(service);
        (is_embedded && self.security_protocol != SecurityProtocol::Plaintext).then(|| {
            let found = self.security_protocol.as_str();
            let message =
                format!("must be `PLAINTEXT` with the brokers of `{name}` in this service, found `{found}`");
            Violation::new("security_protocol", message)
        })
    }

    fn check_security(&self, violations: &mut Vec<Violation>) {
        let protocol = self.security_protocol;
        let mut required = |key: &str, missing: bool| {
            if missing {
                let message = format!("required with security_protocol `{}`", protocol.as_str());
                violations.push(Violation::new(key, message));
            }
        };
        required("sasl_mechanisms", protocol.authenticates() && self.sasl_mechanisms.is_none());
        required("ssl_ca_location", protocol.encrypts() && self.ssl_ca_location.is_none());
        let own = [
            (
                "ssl_certificate_location",
                &self.ssl_certificate_location,
                "ssl_key_location",
                &self.ssl_key_location,
            ),
            (
                "ssl_key_location",
                &self.ssl_key_location,
                "ssl_certificate_location",
                &self.ssl_certificate_location,
            ),
        ];
        for (key, value, other_key, other) in own {
            if value.is_some() && !protocol.encrypts() {
                let message = format!(
                    "does not go with security_protocol `{}`, which does not encrypt",
                    protocol.as_str()
                );
                violations.push(Violation::new(key, message));
            } else if value.is_some() && other.is_none() {
                violations.push(Violation::new(key, format!("needs `{other_key}`, which is not given")));
            }
        }
        let scram = self.sasl_mechanisms.is_some_and(SaslMechanism::needs_tls_build);
        let built_with_tls = ffi::builtin_features().iter().any(|feature| feature == "ssl");
        for (key, value, needs_tls) in [
            ("security_protocol", protocol.as_str(), protocol.encrypts()),
            ("sasl_mechanisms", self.sasl_mechanisms.map_or("", SaslMechanism::as_str), scram),
        ] {
            if needs_tls && !built_with_tls {
                let message = format!("`{value}` needs a build with the feature `tls` of `mainspring-kafka`");
                violations.push(Violation::new(key, message));
            }
        }
    }

    /// The files with certificates and keys.
    pub(crate) fn certificate_files(&self) -> impl Iterator<Item = &str> {
        let files = [&self.ssl_ca_location, &self.ssl_certificate_location, &self.ssl_key_location];
        let files = files.into_iter().filter_map(|location| location.as_deref());
        files.filter(|location| self.security_protocol.encrypts() && *location != "probe")
    }

    fn check_custom(&self, role: Role, typed: &[TypedOption], violations: &mut Vec<Violation>) {
        let common = self.forced();
        let mut scratch = ClientConfig::new();
        for (name, value) in &self.rd_kafka_custom_options {
            let path = format!("rd_kafka_custom_options.{name}");
            let key = typed.iter().chain(&common).find(|option| option.properties.contains(&name.as_str()));
            if let Some(option) = key {
                let message = format!("`{name}` is set by the key `{}`; use that", option.key);
                violations.push(Violation::new(path, message));
            } else if let Some((_, key)) = CONNECTION.iter().find(|(property, _)| property == name) {
                violations
                    .push(Violation::new(path, format!("`{name}` is set by the key `{key}`; use that")));
            } else if FROM_SECDIST.contains(&name.as_str()) {
                violations.push(Violation::new(path, format!("`{name}` belongs to secdist")));
            } else if RESERVED.contains(&name.as_str()) {
                violations
                    .push(Violation::new(path, format!("`{name}` is reserved: this library relies on it")));
            } else if name == TRANSACTIONAL_ID {
                let component = KafkaTransactionalProducerComponent::DEFAULT_NAME;
                let message =
                    format!("`{name}` is for the component `{component}`, as its key `transactional_id`");
                violations.push(Violation::new(path, message));
            } else if is_secret(name) {
                let message = format!("`{name}` looks like a secret; secrets belong to secdist");
                violations.push(Violation::new(path, message));
            } else if let Err(error) = scratch.set(name, value) {
                violations.push(Violation::new(path, error.text));
            }
        }
        for option in typed {
            // A value that is out of bounds has been complained of; the rules go by librdkafka's own then.
            let _out_of_bounds = scratch.set(option.properties[0], &option.value).is_err();
        }
        violations.extend(combinations::check(role, &self.rd_kafka_custom_options, &scratch));
    }

    /// The common options that custom ones cannot override, because our own code relies on them.
    fn forced(&self) -> [TypedOption; 1] {
        [TypedOption::millis("statistics_interval", &["statistics.interval.ms"], self.statistics_interval)]
    }

    /// librdkafka's configuration, in userver's order: common, security, custom, typed. The later one wins. `defaults`
    /// are properties and values that custom options may override.
    pub(crate) fn client_config(
        &self,
        connection: &Connection,
        defaults: &[(&str, String)],
        typed: &[TypedOption],
    ) -> Result<ClientConfig, ConfigError> {
        let mut config = ClientConfig::new();
        for AppliedOption { property, value, .. } in self.applied(connection, defaults, typed) {
            config.set(property, &value)?;
        }
        if let Some(password) = connection.key_password()
            && self.security_protocol.encrypts()
        {
            config.set("ssl.key.password", password.expose())?;
        }
        if let Some(credentials) = connection.credentials() {
            credentials.set(&mut config)?;
        }
        Ok(config)
    }

    /// What [`CommonConfig::client_config`] comes to, each property with its value and where that comes from, as it is logged.
    /// Credentials are not shown.
    pub(crate) fn describe(
        &self,
        connection: &Connection,
        defaults: &[(&str, String)],
        typed: &[TypedOption],
    ) -> String {
        let applied = self.applied(connection, defaults, typed);
        let last: BTreeMap<_, _> = applied.iter().map(|option| (option.property, option)).collect();
        let shown = last.values().map(|AppliedOption { property, value, origin }| {
            let value = if is_secret(property) { MASK } else { value };
            format!("{property}={value} ({origin})")
        });
        let secrets = [
            ("sasl.username", connection.credentials().is_some()),
            ("sasl.password", connection.credentials().is_some()),
            ("ssl.key.password", connection.key_password().is_some() && self.security_protocol.encrypts()),
        ];
        let secrets = secrets.into_iter().filter(|(_, is_set)| *is_set);
        let secrets = secrets.map(|(property, _)| format!("{property}={MASK} (secdist)"));
        shown.chain(secrets).collect::<Vec<_>>().join(", ")
    }

    /// All properties but credentials, in the order in which they are set.
    fn applied<'a>(
        &'a self,
        connection: &'a Connection,
        defaults: &'a [(&str, String)],
        typed: &'a [TypedOption],
    ) -> Vec<AppliedOption<'a>> {
        let mut applied = Vec::new();
        let mut set = |property: &'a str, value: Cow<'a, str>, origin: &'a str| {
            applied.push(AppliedOption { property, value, origin });
        };
        let refresh = millis(self.topic_metadata_refresh_interval);
        set("topic.metadata.refresh.interval.ms", refresh.into(), "topic_metadata_refresh_interval");
        set("metadata.max.age.ms", millis(self.metadata_max_age).into(), "metadata_max_age");
        set("client.id", self.client_id.as_str().into(), "client_id");
        set("bootstrap.servers", connection.brokers().into(), "the brokers' address");
        set("security.protocol", self.security_protocol.as_str().into(), "security_protocol");
        if self.security_protocol.encrypts() {
            for (property, location, key) in [
                ("ssl.ca.location", &self.ssl_ca_location, "ssl_ca_location"),
                ("ssl.certificate.location", &self.ssl_certificate_location, "ssl_certificate_location"),
                ("ssl.key.location", &self.ssl_key_location, "ssl_key_location"),
            ] {
                if let Some(location) = location {
                    set(property, location.into(), key);
                }
            }
        }
        if let Some(mechanism) = self.sasl_mechanisms
            && self.security_protocol.authenticates()
        {
            set("sasl.mechanisms", mechanism.as_str().into(), "sasl_mechanisms");
        }
        for (property, value) in connection.defaults() {
            set(property, (*value).into(), "what suits the brokers");
        }
        for (property, value) in defaults {
            set(property, value.into(), "default of mainspring");
        }
        for (property, value) in &self.rd_kafka_custom_options {
            set(property, value.into(), "rd_kafka_custom_options");
        }
        for option in typed {
            let origin = if option.key.is_empty() { "always so" } else { option.key };
            set(option.properties[0], option.value.as_str().into(), origin);
        }
        for TypedOption { key, properties, value } in self.forced() {
            set(properties[0], value.into(), key);
        }
        applied
    }
}

impl SecurityProtocol {
    /// librdkafka's name of it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }

    pub(crate) fn encrypts(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    pub(crate) fn authenticates(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

impl SaslMechanism {
    /// librdkafka's name of it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }

    /// librdkafka takes its hashes from OpenSSL.
    fn needs_tls_build(self) -> bool {
        matches!(self, Self::ScramSha256 | Self::ScramSha512)
    }
}

fn millis(duration: HumanDuration) -> String {
    duration.as_millis().to_string()
}

fn is_secret(name: &str) -> bool {
    SECRET_WORDS.iter().any(|word| name.contains(word))
}
