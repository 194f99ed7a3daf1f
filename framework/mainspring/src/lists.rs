//! The lists of components that services begin with.

use mainspring_core::ComponentList;
use mainspring_dynamic_config::DynamicConfigComponent;
use mainspring_monitor::monitor_list;
use mainspring_secdist::{DefaultSecdistProvider, SecdistComponent};
use mainspring_server::ServerComponent;

/// Lists beside [`ComponentList::minimal`].
pub trait CommonComponents {
    /// `minimal`, credentials (`secdist` and its provider), and `dynamic-config`.
    fn common() -> ComponentList;

    /// `common`, the HTTP `server` and all monitor handlers.
    fn common_server() -> ComponentList;
}

impl CommonComponents for ComponentList {
    fn common() -> ComponentList {
        ComponentList::minimal()
            .append_default::<DefaultSecdistProvider>()
            .append_default::<SecdistComponent>()
            .append_default::<DynamicConfigComponent>()
    }

    fn common_server() -> ComponentList {
        Self::common().append_default::<ServerComponent>().append_list(monitor_list())
    }
}
