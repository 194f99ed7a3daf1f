//! Credentials from a file or an environment variable.
//!
//! [`DefaultSecdistProvider`] reads them, [`SecdistComponent`] holds them and hands them out by key. They stay out of
//! the service's configuration, and out of its logs: no error of this crate quotes a value, and [`Secret`] prints as
//! `*****`.
//!
//! ```
//! use mainspring_config::FakeSurroundings;
//! use mainspring_secdist::{ProviderConfig, Secret, Secrets};
//!
//! #[derive(serde::Deserialize)]
//! struct Broker {
//!     username: String,
//!     password: Secret,
//! }
//!
//! let world = FakeSurroundings::default()
//!     .with_file("secdist.json", r#"{"kafka_settings": {"orders": {"username": "me", "password": "hush"}}}"#);
//! let config = ProviderConfig { config: "secdist.json".to_owned(), ..ProviderConfig::default() };
//! let broker: Broker = Secrets::read(&config, &world)?.get(&["kafka_settings", "orders"])?;
//! assert_eq!(broker.username, "me");
//! assert_eq!((broker.password.to_string().as_str(), broker.password.expose()), ("*****", "hush"));
//! # Ok::<(), mainspring_secdist::SecdistError>(())
//! ```

mod changes;
mod component;
mod config;
mod error;
mod events;
mod secret;
mod secrets;
mod tree;

#[cfg(test)]
mod tests;

pub use changes::SecretChanges;
pub use component::{DefaultSecdistProvider, SecdistComponent};
pub use config::{Format, ProviderConfig, SecdistConfig};
pub use error::SecdistError;
pub use secret::Secret;
pub use secrets::Secrets;
