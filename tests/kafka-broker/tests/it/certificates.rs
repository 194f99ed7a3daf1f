//! The listener with TLS: who is let in, by certificates that the kit makes.

use std::fs;
use std::path::Path;
use std::process::Command;

use mainspring_kafka_broker::{Authority, Broker, BrokerOptions, Identity, TestResult, TlsFiles};
use tempfile::TempDir;

/// Whether the broker lets in a client that trusts `authority` and shows `identity`: OpenSSL's own client asks.
fn lets_in(broker: &Broker, authority: &Authority, identity: &Identity) -> Result<bool, std::io::Error> {
    let mut client = Command::new("openssl");
    client.args([
        "s_client",
        "-connect",
        &broker.tls_servers(),
        "-tls1_2",
        "-verify_return_error",
        "-CAfile",
    ]);
    client
        .arg(authority.certificate())
        .arg("-cert")
        .arg(&identity.certificate)
        .arg("-key")
        .arg(&identity.key);
    // In TLS 1.2 a refusal is part of the handshake; in 1.3 it may come after this client has gone.
    Ok(client.stdin(std::process::Stdio::null()).output()?.status.success())
}

/// What a broker with this identity reads.
fn broker_files(directory: &Path, identity: &Identity, trusted: &Authority) -> std::io::Result<TlsFiles> {
    let keystore = directory.join("broker.keystore");
    fs::write(&keystore, [fs::read(&identity.key)?, fs::read(&identity.certificate)?].concat())?;
    Ok(TlsFiles { keystore, truststore: trusted.certificate() })
}

#[test]
fn broker_lets_in_who_shows_a_certificate_of_an_authority_it_trusts() -> TestResult {
    let directory = TempDir::new()?;
    let (ours, other) =
        (Authority::new(directory.path(), "ours")?, Authority::new(directory.path(), "other")?);
    let files = broker_files(directory.path(), &ours.issue("localhost")?, &ours)?;
    let broker = Broker::start(BrokerOptions::default().with_tls(files))?;
    assert!(lets_in(&broker, &ours, &ours.issue("ann")?)?);
    assert!(!lets_in(&broker, &other, &ours.issue("ann")?)?, "the client trusts somebody else");
    assert!(!lets_in(&broker, &ours, &other.issue("eve")?)?, "the broker trusts somebody else");
    Ok(())
}
