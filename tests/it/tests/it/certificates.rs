//! Certificates of both sides are rotated under traffic, one authority after the other, and nothing is lost, nothing comes
//! twice, and the group does not notice.
//!
//! Restarting the broker makes all connections anew, so that whatever goes on afterwards goes on with what was new.

use std::fs;
use std::path::Path;

use mainspring_it::ServiceConfig;
use mainspring_kafka_broker::{Authority, Broker, BrokerOptions, Identity, TlsFiles};
use tempfile::TempDir;

use crate::traffic::{TOPIC, Traffic, check, replace, secdist, text};

/// Files in one directory, which both sides read.
struct Files<'d>(&'d Path);

impl Files<'_> {
    fn write(&self, name: &str, parts: &[&Path]) {
        let read = |path: &&Path| fs::read(path).expect("the kit has made it");
        replace(&self.0.join(name), parts.iter().flat_map(read).collect::<Vec<_>>());
    }

    /// The authorities that the service trusts.
    fn service_trusts(&self, authorities: &[&Authority]) {
        self.bundle("authorities.pem", authorities);
    }

    /// Who the service is.
    fn service_is(&self, identity: &Identity) {
        self.write("client.key", &[&identity.key]);
        self.write("client.pem", &[&identity.certificate]);
    }

    /// Who the broker is from its next start on, and whom it trusts.
    fn broker_is(&self, identity: &Identity, trusted: &[&Authority]) -> TlsFiles {
        self.write("broker.keystore", &[&identity.key, &identity.certificate]);
        self.bundle("broker.truststore", trusted);
        TlsFiles { keystore: self.0.join("broker.keystore"), truststore: self.0.join("broker.truststore") }
    }

    fn bundle(&self, name: &str, authorities: &[&Authority]) {
        let certificates: Vec<_> = authorities.iter().map(|authority| authority.certificate()).collect();
        self.write(name, &certificates.iter().map(AsRef::as_ref).collect::<Vec<_>>());
    }
}

#[test]
fn certificates_are_rotated_under_traffic_without_a_loss() {
    let directory = TempDir::new().expect("a temporary directory can be made");
    let authority = |name| Authority::new(directory.path(), name).expect("openssl makes it");
    let identity = |authority: &Authority, name| authority.issue(name).expect("openssl makes it");
    let (old, new) = (authority("old"), authority("new"));
    let files = Files(directory.path());
    files.service_trusts(&[&old]);
    files.service_is(&identity(&old, "ann"));
    let tls = files.broker_is(&identity(&old, "localhost"), &[&old]);
    let mut broker = Broker::start(BrokerOptions::default().with_tls(tls)).expect("it starts");
    broker.create_topic(TOPIC, 2).expect("the topic is new");
    let client = format!(r#"{{"brokers": "{}"}}"#, broker.tls_servers());
    replace(&directory.path().join("secdist.json"), secdist(&client));
    let yaml =
        include_str!("../../testdata/rotating_tls_service.yaml").replace("DIR", text(directory.path()));
    let traffic =
        Traffic::start(ServiceConfig::from_text("rotating_tls_service.yaml", &yaml), directory.path());
    let restart = |broker: &mut Broker| {
        broker.stop().expect("it stops");
        broker.restart().expect("it starts again");
        traffic.until_more_is_received();
    };

    // The service trusts the new authority as well, and then the broker has a certificate of it.
    files.service_trusts(&[&old, &new]);
    traffic.until_updated("success", |n| n == 1.0);
    traffic.until_more_is_received();
    files.broker_is(&identity(&new, "localhost"), &[&old, &new]);
    restart(&mut broker);

    // What is no certificate changes nothing.
    replace(&directory.path().join("client.pem"), "nonsense");
    traffic.until_updated("error", |n| 1.0 <= n);
    traffic.until_more_is_received();
    traffic.until_updated("success", |n| n == 1.0);

    // The service has a certificate of the new authority, and then the broker trusts no other.
    files.service_is(&identity(&new, "ann"));
    traffic.until_updated("success", |n| n == 2.0);
    traffic.until_more_is_received();
    files.broker_is(&identity(&new, "localhost"), &[&new]);
    restart(&mut broker);

    assert_eq!(traffic.sum("kafka_consumer_restarts_total", &[]), 0.0);
    check(&broker, traffic);
}
