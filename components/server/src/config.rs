//! The section of `server`.

use std::net::{IpAddr, Ipv6Addr};
use std::num::{NonZeroU32, NonZeroUsize};

use mainspring_config::{ByteSize, HumanDuration, Violation};
use mainspring_core::ServiceOutline;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The section of [`ServerComponent`](crate::ServerComponent).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ServerConfig {
    /// Where the service answers its users. It opens once all components are loaded and closes first.
    pub listener: ListenerConfig,
    /// Where metrics, probes and controls answer; open while the service starts and until it has stopped.
    /// Without it the handlers of the monitor are absent, and one that has a section is a problem.
    #[serde(rename = "listener-monitor")]
    pub listener_monitor: Option<ListenerConfig>,
}

/// One listener.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ListenerConfig {
    /// IP address to listen on. Default `::`, which is every address of the machine; where the system has no
    /// IPv6 it means `0.0.0.0`.
    #[serde(default = "ListenerConfig::default_address")]
    pub address: IpAddr,
    /// TCP port; 0 takes any free one and the log says which.
    #[schemars(example = 8187)]
    pub port: u16,
    /// Task processor that accepts and serves the connections, and runs handlers that name no other.
    #[schemars(example = &"main-task-processor")]
    pub task_processor: String,
    /// Connections that may wait to be accepted, at least 1; default 1024. The system may allow fewer.
    #[serde(default = "ListenerConfig::default_backlog")]
    pub backlog: NonZeroU32,
    /// Connections open at the same time, at least 1; default 32768. More wait in the backlog.
    #[serde(default = "ListenerConfig::default_max_connections")]
    pub max_connections: NonZeroUsize,
    /// Longest wait for the head of a request, which also ends connections that are kept alive without one, and for
    /// each further part of a body; a body that stalls is answered with 408. Duration from `1ms` to `1d`;
    /// default `30s`.
    #[serde(default = "ListenerConfig::default_timeout")]
    #[schemars(extend("formatMinimum" = "1ms", "formatMaximum" = "1d"))]
    pub read_timeout: HumanDuration,
    /// Longest wait for a client that takes nothing of its answer; then its connection is closed. Duration from
    /// `1ms` to `1d`; default `30s`.
    #[serde(default = "ListenerConfig::default_timeout")]
    #[schemars(extend("formatMinimum" = "1ms", "formatMaximum" = "1d"))]
    pub write_timeout: HumanDuration,
    /// What handlers on this listener use unless their own section says otherwise.
    #[serde(default, rename = "handler-defaults")]
    pub handler_defaults: ListenerHandlerDefaults,
}

/// What handlers on a listener use unless their own section says otherwise.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ListenerHandlerDefaults {
    /// Largest body of a request; a larger one is answered with 413. Size such as `64KiB`; default 1 MiB.
    #[serde(default = "ListenerHandlerDefaults::default_max_request_size")]
    pub max_request_size: ByteSize,
}

impl ServerConfig {
    pub(crate) fn violations(&self, service: &ServiceOutline) -> Vec<Violation> {
        let monitor = self.listener_monitor.as_ref().map(|listener| ("listener-monitor", listener));
        let listeners = std::iter::once(("listener", &self.listener)).chain(monitor);
        let of_listeners = listeners.flat_map(|(key, listener)| {
            let processor = format!("{key}.task_processor");
            service.check_task_processor(&processor, &listener.task_processor)
        });
        let same_port = self.listener_monitor.as_ref().filter(|monitor| {
            monitor.port != 0
                && monitor.port == self.listener.port
                && monitor.address == self.listener.address
        });
        let clash = same_port.map(|monitor| {
            Violation::new(
                "listener-monitor.port",
                format!("port {} is that of `listener` already; give the monitor its own", monitor.port),
            )
        });
        of_listeners.chain(clash).collect()
    }
}

impl ListenerConfig {
    fn default_timeout() -> HumanDuration {
        HumanDuration::from_secs(30)
    }

    fn default_address() -> IpAddr {
        Ipv6Addr::UNSPECIFIED.into()
    }

    fn default_backlog() -> NonZeroU32 {
        NonZeroU32::new(1024).expect("1024 is not 0")
    }

    fn default_max_connections() -> NonZeroUsize {
        NonZeroUsize::new(32_768).expect("32768 is not 0")
    }
}

impl ListenerHandlerDefaults {
    fn default_max_request_size() -> ByteSize {
        ByteSize::new(1 << 20)
    }
}

impl Default for ListenerHandlerDefaults {
    fn default() -> Self {
        Self { max_request_size: Self::default_max_request_size() }
    }
}
