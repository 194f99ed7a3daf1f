//! Log lines and properties, from text to text.

use super::*;

#[test]
fn listener_line_carries_name_and_port() {
    let line = "03:42:37.120 INFO ListenerInfo PLAINTEXT: resolved ephemeral port to 41591.";
    let listening = LogEvent::Listening { listener: "PLAINTEXT".to_owned(), port: 41591 };
    assert_eq!(LogEvent::read(line), Some(listening));
}

#[test]
fn start_line_is_the_raft_servers() {
    let line = "03:42:38.000 INFO KafkaRaftServer [KafkaRaftServer nodeId=1] Kafka Server started";
    assert_eq!(LogEvent::read(line), Some(LogEvent::Started));
    assert_eq!(LogEvent::read("03:42:38.000 WARN Other Kafka Server started"), None);
}

#[test]
fn other_lines_report_nothing() {
    assert_eq!(LogEvent::read("03:42:38.000 INFO Selector a failed authentication"), None);
    assert_eq!(LogEvent::read("X: resolved ephemeral port to none"), None);
}

#[test]
fn extra_property_comes_last_and_wins() {
    let extra = BTreeMap::from([("num.io.threads".to_owned(), "7".to_owned())]);
    let text = server_properties(Role::Combined, Path::new("/data"), Ports::default(), &extra);
    assert!(text.contains("\nlog.dirs=/data\n"));
    assert!(text.ends_with("\nnum.io.threads=7\n"));
}

#[test]
fn restarted_node_asks_for_its_port_again() {
    let role = Role::Broker { id: 2, controller_port: 9 };
    let text = server_properties(
        role,
        Path::new("/data"),
        Ports { main: 4711, ..Ports::default() },
        &BTreeMap::new(),
    );
    assert!(text.contains("listeners=PLAINTEXT://127.0.0.1:4711\n"));
    assert!(text.contains("controller.quorum.bootstrap.servers=127.0.0.1:9\n"));
}

#[test]
fn java_version_is_its_first_number() {
    assert_eq!(java_version("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime…"), Some(17));
    assert_eq!(java_version("openjdk version \"26-ea\" 2026-03-17"), Some(26));
    assert_eq!(java_version("Picked up _JAVA_OPTIONS: -x\njava version \"1.8.0_412\""), Some(1));
    assert_eq!(java_version("No Java runtime present, requesting install."), None);
}

#[test]
fn taken_port_is_told_from_other_failures() {
    assert!(is_port_taken(
        "ERROR …\nCaused by: java.net.BindException: Address already in use\n\tat sun.nio"
    ));
    assert!(!is_port_taken("ERROR … java.lang.OutOfMemoryError"));
}

#[test]
fn listeners_with_sasl_and_tls_are_there_when_asked_for() {
    let data = Path::new("/data");
    let ports = Ports { main: 1, sasl: Some(2), tls: Some(3) };
    let text = server_properties(Role::Combined, data, ports, &BTreeMap::new());
    let last = |key: &str| text.lines().rev().find_map(|line| line.strip_prefix(key)).map(str::to_owned);
    let listeners = "=PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:0,SASL://127.0.0.1:2,TLS://127.0.0.1:3";
    assert_eq!(last("listeners").as_deref(), Some(listeners));
    let protocols = "=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SSL";
    assert_eq!(last("listener.security.protocol.map").as_deref(), Some(protocols));
    let text = server_properties(Role::Combined, data, Ports::default(), &BTreeMap::new());
    assert!(!text.contains("SASL") && !text.contains("SSL"), "{text}");
}

#[test]
fn ports_are_known_once_every_wanted_listener_has_one() {
    let mut ports = Ports { main: 0, sasl: Some(0), tls: Some(0) };
    ports.learn(Role::Combined, "CONTROLLER", 3);
    ports.learn(Role::Combined, "SASL", 2);
    ports.learn(Role::Combined, "TLS", 4);
    assert!(!ports.are_known());
    ports.learn(Role::Combined, "PLAINTEXT", 1);
    assert!(ports.are_known());
    assert_eq!(ports, Ports { main: 1, sasl: Some(2), tls: Some(4) });
    assert!(Ports { main: 1, ..Ports::default() }.are_known());
}
