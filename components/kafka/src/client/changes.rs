//! A connection that changes while its client lives: secdist has new credentials, or other brokers.
//!
//! librdkafka takes new credentials for the connections it makes from then on, so the client keeps its connections, and a
//! consumer its partitions. It does not take another list of brokers: that one is warned about and used after a restart.

use mainspring_kafka_ffi::ClientConfig;
use mainspring_secdist::{SecdistError, SecretChanges};

use crate::client::connection::{Connection, Credentials};
use crate::client::state::ClientState;

/// Follows what secdist holds for one client.
#[derive(Debug)]
pub(crate) struct ConnectionChanges {
    secret: SecretChanges,
    /// What is in use, or was warned about last.
    brokers: String,
    /// What is in use; `None` when the client does not authenticate.
    credentials: Option<Credentials>,
}

impl ConnectionChanges {
    /// `in_use` is what `secret` gives now.
    pub(crate) fn new(secret: SecretChanges, in_use: &Connection) -> ConnectionChanges {
        let (brokers, credentials) = (in_use.brokers().to_owned(), in_use.credentials().cloned());
        ConnectionChanges { secret, brokers, credentials }
    }

    /// Waits for credentials that differ from those in use. What else changes is reported.
    pub(crate) async fn next(&mut self, state: &ClientState) -> Credentials {
        loop {
            self.secret.changed().await;
            match self.read() {
                Ok(connection) => {
                    if connection.brokers() != self.brokers {
                        self.brokers = connection.brokers().to_owned();
                        state.on_other_brokers();
                    }
                    if let Some(credentials) = self.take_up(&connection, state) {
                        return credentials;
                    }
                }
                Err(error) => state.on_credentials_unusable(&error),
            }
        }
    }

    /// The credentials that secdist holds, if they are new and librdkafka takes them.
    fn take_up(&mut self, connection: &Connection, state: &ClientState) -> Option<Credentials> {
        let credentials = connection.credentials()?;
        if self.credentials.as_ref() == Some(credentials) {
            return None;
        }
        if let Err(error) = credentials.set(&mut ClientConfig::new()) {
            state.on_credentials_unusable(&error);
            return None;
        }
        self.credentials = Some(credentials.clone());
        Some(credentials.clone())
    }

    fn read(&self) -> Result<Connection, SecdistError> {
        Connection::read(self.credentials.is_some(), &self.secret)
    }
}
