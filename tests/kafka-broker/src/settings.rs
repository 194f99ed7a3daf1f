//! Text in, text out: the broker's properties, the Maven project that fetches it, its logging. No I/O.
//!
//! The numbers come from measurements: fast rebalances and restarts for tests, and a third of the stock memory.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// The Kafka release that is started.
pub(crate) const KAFKA_VERSION: &str = "4.3.1";

/// The oldest Java that runs it.
pub(crate) const JAVA_VERSION_MIN: u32 = 17;

/// The cluster id of every node. Fixed, so that a formatted directory can be copied; the clusters never meet.
pub(crate) const CLUSTER_ID: &str = "AAAAAAAAAAAAAAAAAAAAAQ";

/// The node id of a cluster's controller; its brokers count from 1.
pub(crate) const CONTROLLER_ID: u16 = 100;

/// What a node does in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Broker and controller in one process, alone.
    Combined,
    /// The controller of a cluster.
    Controller,
    /// One broker of a cluster, whose controller listens on `controller_port`.
    Broker { id: u16, controller_port: u16 },
}

impl Role {
    /// The listener whose port has to be known before the node is of use.
    pub(crate) fn listener(self) -> &'static str {
        match self {
            Self::Combined | Self::Broker { .. } => "PLAINTEXT",
            Self::Controller => "CONTROLLER",
        }
    }
}

/// The listener of clients that authenticate by a password.
pub(crate) const SASL_LISTENER: &str = "SASL";

/// The listener of clients that encrypt and authenticate by a certificate.
pub(crate) const TLS_LISTENER: &str = "TLS";

/// Where a node listens; 0 lets the system choose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ports {
    /// Of [`Role::listener`].
    pub(crate) main: u16,
    /// Of [`SASL_LISTENER`], which only a combined node may have.
    pub(crate) sasl: Option<u16>,
    /// Of [`TLS_LISTENER`]; the same goes for it.
    pub(crate) tls: Option<u16>,
}

impl Ports {
    /// Takes note of a listener's port.
    pub(crate) fn learn(&mut self, role: Role, listener: &str, port: u16) {
        if listener == role.listener() {
            self.main = port;
        } else if listener == SASL_LISTENER {
            self.sasl = Some(port);
        } else if listener == TLS_LISTENER {
            self.tls = Some(port);
        }
    }

    pub(crate) fn are_known(self) -> bool {
        self.main != 0 && self.sasl != Some(0) && self.tls != Some(0)
    }
}

/// The whole `server.properties`; `extra` comes last and wins.
pub(crate) fn server_properties(
    role: Role,
    data: &Path,
    ports: Ports,
    extra: &BTreeMap<String, String>,
) -> String {
    let port = ports.main;
    let mut text = String::new();
    let mut add = |key: &str, value: &dyn std::fmt::Display| {
        // Writing to a `String` cannot fail.
        let _written = writeln!(text, "{key}={value}");
    };
    match role {
        Role::Combined => {
            add("process.roles", &"broker,controller");
            add("node.id", &1);
            add("inter.broker.listener.name", &"PLAINTEXT");
            // Has to be set; a quorum of one never dials it.
            add("controller.quorum.bootstrap.servers", &"127.0.0.1:1");
        }
        Role::Controller => {
            add("process.roles", &"controller");
            add("node.id", &CONTROLLER_ID);
            add("listeners", &format_args!("CONTROLLER://127.0.0.1:{port}"));
            add("controller.quorum.bootstrap.servers", &"127.0.0.1:1");
        }
        Role::Broker { id, controller_port } => {
            add("process.roles", &"broker");
            add("node.id", &id);
            add("listeners", &format_args!("PLAINTEXT://127.0.0.1:{port}"));
            add("inter.broker.listener.name", &"PLAINTEXT");
            add("controller.quorum.bootstrap.servers", &format_args!("127.0.0.1:{controller_port}"));
        }
    }
    add("controller.listener.names", &"CONTROLLER");
    add("log.dirs", &data.display());
    let optional =
        [(SASL_LISTENER, "SASL_PLAINTEXT", ports.sasl, SASL), (TLS_LISTENER, "SSL", ports.tls, TLS)];
    let mut listeners = format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:0");
    let mut protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned();
    for (name, protocol, port, lines) in optional {
        let Some(port) = port else { continue };
        listeners.push_str(&format!(",{name}://127.0.0.1:{port}"));
        protocols.push_str(&format!(",{name}:{protocol}"));
        lines.iter().for_each(|(key, value)| add(key, value));
    }
    add("listener.security.protocol.map", &protocols);
    if role == Role::Combined {
        add("listeners", &listeners);
    }
    let replication = if role == Role::Combined { ALONE } else { REPLICATED };
    for (key, value) in replication.iter().chain(COMMON) {
        add(key, value);
    }
    for (key, value) in extra {
        add(key, value);
    }
    text
}

/// SCRAM without encryption. The users are in the cluster's own records.
const SASL: &[(&str, &str)] = &[
    ("listener.name.sasl.sasl.enabled.mechanisms", "SCRAM-SHA-512"),
    (
        "listener.name.sasl.scram-sha-512.sasl.jaas.config",
        "org.apache.kafka.common.security.scram.ScramLoginModule required;",
    ),
];

/// TLS with certificates on both sides. Where they are is the caller's business.
const TLS: &[(&str, &str)] = &[
    ("listener.name.tls.ssl.keystore.type", "PEM"),
    ("listener.name.tls.ssl.truststore.type", "PEM"),
    ("listener.name.tls.ssl.client.auth", "required"),
];

/// One replica of everything, so that groups, transactions and share groups work on one node.
const ALONE: &[(&str, &str)] = &[
    ("offsets.topic.replication.factor", "1"),
    ("offsets.topic.num.partitions", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("transaction.state.log.num.partitions", "1"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
    ("share.coordinator.state.topic.num.partitions", "1"),
    // After SIGKILL the controller refuses the same node until its old session has run out; three seconds is the least
    // that a loaded machine keeps up with.
    ("broker.session.timeout.ms", "3000"),
    ("broker.heartbeat.interval.ms", "500"),
];

/// Three replicas of everything, two of which must be in sync. The controller needs these as much as the brokers.
const REPLICATED: &[(&str, &str)] = &[
    ("default.replication.factor", "3"),
    ("min.insync.replicas", "2"),
    ("num.partitions", "3"),
    ("offsets.topic.replication.factor", "3"),
    ("offsets.topic.num.partitions", "3"),
    ("transaction.state.log.replication.factor", "3"),
    ("transaction.state.log.min.isr", "2"),
    ("transaction.state.log.num.partitions", "3"),
    ("share.coordinator.state.topic.replication.factor", "3"),
    ("share.coordinator.state.topic.min.isr", "2"),
    ("share.coordinator.state.topic.num.partitions", "3"),
    ("broker.session.timeout.ms", "2000"),
    ("broker.heartbeat.interval.ms", "250"),
    ("replica.lag.time.max.ms", "3000"),
];

const COMMON: &[(&str, &str)] = &[
    // A topic exists because a test made it, so a misspelt name is an error.
    ("auto.create.topics.enable", "false"),
    // Fast groups: classic, KIP-848, share.
    ("group.initial.rebalance.delay.ms", "0"),
    ("group.min.session.timeout.ms", "500"),
    ("group.consumer.min.session.timeout.ms", "1000"),
    ("group.consumer.min.heartbeat.interval.ms", "100"),
    ("group.consumer.heartbeat.interval.ms", "500"),
    ("group.consumer.assignment.interval.ms", "0"),
    ("group.share.min.session.timeout.ms", "1000"),
    ("group.share.min.heartbeat.interval.ms", "100"),
    ("group.share.heartbeat.interval.ms", "500"),
    ("group.share.assignment.interval.ms", "0"),
    // Memory: the first line alone saves 125 MiB, which the stock setting touches at start.
    ("log.cleaner.dedupe.buffer.size", "2097152"),
    ("log.segment.bytes", "16777216"),
    ("log.index.size.max.bytes", "1048576"),
    ("num.io.threads", "2"),
    ("num.network.threads", "1"),
    ("background.threads", "2"),
    ("group.coordinator.threads", "1"),
];

/// The Java flags of every process: small, and quick to start rather than quick in the long run.
pub(crate) const JAVA_FLAGS: &[&str] = &[
    "-Xms32m",
    "-Xmx256m",
    "-Xss512k",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    // It would leave a file behind after SIGKILL.
    "-XX:-UsePerfData",
];

/// What Maven is asked to fetch.
pub(crate) fn pom() -> String {
    format!(
        r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>mainspring</groupId><artifactId>kafka-broker</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA_VERSION}</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>{KAFKA_VERSION}</version>
      <exclusions><!-- Connect and its web server: 45 jars nothing here needs -->
        <exclusion><groupId>org.apache.kafka</groupId><artifactId>connect-runtime</artifactId></exclusion>
        <exclusion><groupId>com.fasterxml.jackson.jakarta.rs</groupId><artifactId>jackson-jakarta-rs-json-provider</artifactId></exclusion>
      </exclusions></dependency>
    <!-- The slf4j 1.7 binding; without it the broker logs nothing at all -->
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.4</version></dependency>
  </dependencies>
  <build><pluginManagement><plugins><plugin>
    <groupId>org.apache.maven.plugins</groupId><artifactId>maven-dependency-plugin</artifactId><version>3.8.1</version>
  </plugin></plugins></pluginManagement></build>
</project>
"#
    )
}

/// The broker's logging: about a dozen lines per start, among them those that [`LogEvent`] reads.
pub(crate) const LOG4J: &str = "\
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{HH:mm:ss.SSS} %p %c{1} %m%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
logger.a.name = kafka.network
logger.a.level = info
logger.b.name = org.apache.kafka.metadata.ListenerInfo
logger.b.level = info
logger.c.name = kafka.server.KafkaRaftServer
logger.c.level = info
logger.d.name = org.apache.kafka.common.network.Selector
logger.d.level = info
";

/// The major version in what `java -version` prints: 17 of `openjdk version "17.0.15" 2025-04-15`, and 1 of the old
/// style `"1.8.0_412"`, which is old enough.
pub(crate) fn java_version(text: &str) -> Option<u32> {
    let (_before, version) = text.split_once(" version \"")?;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// What the log says that somebody waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LogEvent {
    /// A listener that asked for port 0 got this one.
    Listening { listener: String, port: u16 },
    /// The node is up; its socket is served within milliseconds.
    Started,
}

impl LogEvent {
    /// What a log line reports, if it is one of those.
    pub(crate) fn read(line: &str) -> Option<Self> {
        if line.contains("KafkaRaftServer") && line.contains("Kafka Server started") {
            return Some(Self::Started);
        }
        let (before, port) = line.trim_end().split_once(": resolved ephemeral port to ")?;
        let listener = before.rsplit(' ').next()?.to_owned();
        Some(Self::Listening { listener, port: port.trim_end_matches('.').parse().ok()? })
    }
}

/// Whether a node gave up because somebody else listens on its port, or is connected from it.
pub(crate) fn is_port_taken(log: &str) -> bool {
    log.contains("java.net.BindException: Address already in use")
}

#[cfg(test)]
mod tests;
