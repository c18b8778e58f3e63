//! Flows as people see them.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::model::{BackendName, PoolName, ServiceName, TransportProtocol};

/// Which flows; every given field must match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowFilter {
    /// TCP or UDP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<TransportProtocol>,
    /// Clients with an address in this range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<AddressRange>,
    /// Flows of this service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    /// Flows bound to a backend of this name, whatever its pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<BackendName>,
    /// Return at most this many, up to [`FlowFilter::MAX_LIMIT`]; 0 = only count.
    #[serde(default = "default_limit")]
    pub limit: u32,
}

/// An address (`192.0.2.7`) or a prefix (`192.0.2.0/24`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddressRange(pub IpNet);

/// Some flows, and how many there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowPage {
    /// The first ones that match, in no particular order.
    pub flows: Vec<FlowView>,
    /// How many match.
    pub matched: u64,
}

/// One flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowView {
    /// TCP or UDP.
    pub protocol: TransportProtocol,
    /// The client.
    pub client: SocketAddr,
    /// What it connected to.
    pub vip: SocketAddr,
    /// Where its packets go.
    pub backend: SocketAddr,
    /// The service; absent if it was removed and its flows live on.
    pub service: Option<ServiceName>,
    /// The backend's pool; absent if the backend was removed.
    pub pool: Option<PoolName>,
    /// The backend's name; absent if it was removed.
    pub backend_name: Option<BackendName>,
    /// Where it is in its life: `syn-sent`, `established`, ... (`adc_common::abi::Phase`).
    pub phase: String,
    /// Seconds since a packet was seen in either direction.
    pub idle_seconds: u64,
}

/// How full the flow tables are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowCount {
    /// Flows in all tables.
    pub total: u64,
    /// Flows by phase.
    pub phases: BTreeMap<String, u64>,
    /// Each table.
    pub tables: Vec<FlowTableView>,
}

/// One flow table, in flows (a flow is two entries).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowTableView {
    /// `established-v4`, `established-v6`, `half-open-v4`, `half-open-v6`.
    pub table: String,
    /// Flows in it.
    pub flows: u64,
    /// Flows it can hold.
    pub capacity: u64,
}

const fn default_limit() -> u32 {
    FlowFilter::DEFAULT_LIMIT
}

impl FlowFilter {
    /// Flows returned unless asked otherwise.
    pub const DEFAULT_LIMIT: u32 = 100;
    /// Most flows returned at once; an answer of this size is about 20 MB.
    pub const MAX_LIMIT: u32 = 100_000;

    /// Whether `flow` matches.
    pub fn matches(&self, flow: &FlowView) -> bool {
        let same = |wanted: Option<&str>, found: Option<&str>| wanted.is_none() || wanted == found;
        self.protocol.is_none_or(|wanted| wanted == flow.protocol)
            && self
                .client
                .is_none_or(|range| range.0.contains(&flow.client.ip()))
            && same(
                self.service.as_ref().map(ServiceName::as_str),
                flow.service.as_ref().map(ServiceName::as_str),
            )
            && same(
                self.backend.as_ref().map(BackendName::as_str),
                flow.backend_name.as_ref().map(BackendName::as_str),
            )
    }

    /// Whether every flow matches.
    pub fn is_empty(&self) -> bool {
        let Self {
            protocol,
            client,
            service,
            backend,
            limit: _,
        } = self;
        protocol.is_none() && client.is_none() && service.is_none() && backend.is_none()
    }
}

impl Default for FlowFilter {
    fn default() -> Self {
        Self {
            protocol: None,
            client: None,
            service: None,
            backend: None,
            limit: Self::DEFAULT_LIMIT,
        }
    }
}

impl FromStr for AddressRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = text.parse::<IpAddr>().ok().map(IpNet::from);
        address
            .or_else(|| text.parse::<IpNet>().ok())
            .map(|net| Self(net.trunc()))
            .ok_or_else(|| {
                format!("`{text}` is neither an address (192.0.2.7) nor a prefix (192.0.2.0/24)")
            })
    }
}

impl TryFrom<String> for AddressRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<AddressRange> for String {
    fn from(range: AddressRange) -> Self {
        range.to_string()
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            self.0.addr().fmt(f)
        } else {
            self.0.fmt(f)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::flow_view;

    #[test]
    fn a_filter_matches_only_if_every_field_does() {
        let flow = flow_view("192.0.2.7:40000");
        let matches = |change: fn(&mut FlowFilter)| {
            let mut filter = FlowFilter::default();
            change(&mut filter);
            filter.matches(&flow)
        };
        assert!(matches(|_| {}));
        assert!(matches(|f| f.client = Some("192.0.2.0/24".parse().unwrap())));
        assert!(matches(|f| f.client = Some("192.0.2.7".parse().unwrap())));
        assert!(!matches(|f| f.client = Some("192.0.2.8".parse().unwrap())));
        assert!(!matches(
            |f| f.client = Some("2001:db8::/32".parse().unwrap())
        ));
        assert!(matches(|f| f.protocol = Some(TransportProtocol::Tcp)));
        assert!(!matches(|f| f.protocol = Some(TransportProtocol::Udp)));
        assert!(matches(|f| f.service = Some("www".parse().unwrap())));
        assert!(!matches(|f| f.service = Some("dns".parse().unwrap())));
        assert!(!matches(|f| {
            f.service = Some("www".parse().unwrap());
            f.backend = Some("other".parse().unwrap());
        }));
    }

    #[test]
    fn a_removed_backend_matches_no_name() {
        let mut flow = flow_view("192.0.2.7:40000");
        flow.backend_name = None;
        let filter = FlowFilter {
            backend: Some("web1".parse().unwrap()),
            ..FlowFilter::default()
        };
        assert!(!filter.matches(&flow));
    }

    #[test]
    fn ranges_are_addresses_or_prefixes_and_nothing_else() {
        let shown = |text: &str| text.parse::<AddressRange>().map(|r| r.to_string());
        assert_eq!(shown("192.0.2.7").unwrap(), "192.0.2.7");
        assert_eq!(shown("192.0.2.7/24").unwrap(), "192.0.2.0/24");
        assert_eq!(shown("2001:db8::1").unwrap(), "2001:db8::1");
        assert!(shown("192.0.2.7/33").is_err());
        assert!(shown("web").is_err());
    }
}
