//! A connection that changes while its client lives: secdist has new credentials or other brokers, or the files with
//! certificates and keys are others.
//!
//! librdkafka takes new credentials for the connections it makes from then on, so the client keeps its connections, and a
//! consumer its partitions. Anything else it takes only when a client is made, so the client is replaced.

use std::fmt;

use mainspring_core::{ComponentContext, LoadError};
use mainspring_kafka_ffi::ClientConfig;
use mainspring_secdist::SecretChanges;

use crate::client::certificates::CertificateFiles;
use crate::client::config::CommonConfig;
use crate::client::connection::{Connection, Credentials};
use crate::client::state::ClientState;

/// Follows what a client connects with.
#[derive(Debug)]
pub(crate) struct ConnectionChanges {
    secret: SecretChanges,
    files: CertificateFiles,
    in_use: Connection,
    authenticates: bool,
    complaint: Option<String>,
    cx: ComponentContext,
}

/// What is new.
#[derive(Debug)]
pub(crate) enum Change {
    /// For connections made from now on.
    Credentials(Credentials),
    /// For another client: other brokers, certificates or keys, perhaps with other credentials.
    Connection(Connection),
}

impl ConnectionChanges {
    /// `in_use` is what `secret` gives now.
    pub(crate) async fn new(
        secret: SecretChanges,
        config: &CommonConfig,
        in_use: &Connection,
        cx: &ComponentContext,
    ) -> ConnectionChanges {
        let files = CertificateFiles::of(config, cx).await;
        let authenticates = config.security_protocol.authenticates();
        ConnectionChanges {
            secret,
            files,
            in_use: in_use.clone(),
            authenticates,
            complaint: None,
            cx: cx.clone(),
        }
    }

    /// Waits for something that differs from what is in use. What cannot be used is reported.
    pub(crate) async fn next(&mut self, state: &ClientState) -> Change {
        loop {
            if self.files.is_empty() {
                self.secret.changed().await;
            } else {
                self.secret.read_again().await;
            }
            if let Some(change) = self.look(state).await {
                return change;
            }
        }
    }

    async fn look(&mut self, state: &ClientState) -> Option<Change> {
        let connection = match self.read() {
            Ok(connection) => connection,
            Err(error) => {
                self.complain(state, &error);
                return None;
            }
        };
        let files_changed = match self.files.have_changed(&self.cx).await {
            Ok(have_changed) => have_changed,
            Err(error) => {
                self.complain(state, &error);
                return None;
            }
        };
        self.complaint = None;
        let is_other = files_changed || !connection.is_same_but_for_credentials(&self.in_use);
        let credentials = connection.credentials().cloned();
        let credentials = credentials.filter(|new| self.in_use.credentials() != Some(new));
        self.in_use = connection.clone();
        if is_other { Some(Change::Connection(connection)) } else { credentials.map(Change::Credentials) }
    }

    /// What secdist holds, if librdkafka takes it.
    fn read(&self) -> Result<Connection, LoadError> {
        let connection = Connection::read(self.authenticates, &self.secret)?;
        if let Some(credentials) = connection.credentials() {
            credentials.set(&mut ClientConfig::new())?;
        }
        Ok(connection)
    }

    /// Reports an error, once until it is mended or another one.
    fn complain(&mut self, state: &ClientState, error: &dyn fmt::Display) {
        let complaint = error.to_string();
        if self.complaint.as_ref() != Some(&complaint) {
            state.on_connection_unusable(error);
            self.complaint = Some(complaint);
        }
    }
}
