//! Services as people see them.

use std::{collections::BTreeSet, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::{BackendView, Traffic};
use crate::model::{
    Hash, Mode, MssClamp, PoolName, Ports, ProxyProtocol, Scheduler, ServiceName, Timeouts,
    TransportProtocol, Tunnel,
};

/// Where a service or backend comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The configuration file.
    File,
    /// A runtime edit; `adc config apply --reset-edits` takes it away.
    Runtime,
}

/// One service with its backends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceView {
    /// Its name.
    pub name: ServiceName,
    /// Address clients connect to.
    pub vip: IpAddr,
    /// Ports clients connect to.
    pub port: Ports,
    /// TCP or UDP.
    pub protocol: TransportProtocol,
    /// How packets reach the backend.
    pub mode: Mode,
    /// Local addresses that a `full-nat` service sends from; none in the other modes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub snat: BTreeSet<IpAddr>,
    /// How packets are wrapped, for modes `dsr-ipip` and `dsr-gue`.
    #[serde(default, skip_serializing_if = "Tunnel::is_default")]
    pub tunnel: Tunnel,
    /// Limit of the TCP segment size.
    #[serde(default, skip_serializing_if = "MssClamp::is_off")]
    pub mss_clamp: MssClamp,
    /// Whether each stream to a backend begins with a PROXY protocol header, and of which version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocol>,
    /// How a backend is chosen for a new flow.
    pub scheduler: Scheduler,
    /// What the scheduler hashes.
    pub hash: Hash,
    /// Whether the VIP may answer echo requests, as far as this service goes.
    pub ping: bool,
    /// Idle timeouts of flows, seconds.
    pub timeouts: Timeouts,
    /// Where flows go.
    pub pool: PoolName,
    /// From the file, or added at run time.
    pub origin: Origin,
    /// Live flows, half-open ones included.
    pub flows: u64,
    /// Sum over its backends, removed ones not included.
    pub traffic: Traffic,
    /// Its backends, by name, with the counters of this service.
    pub backends: Vec<BackendView>,
}

/// One line about a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSummary {
    /// Its name.
    pub name: ServiceName,
    /// Address clients connect to.
    pub vip: IpAddr,
    /// Ports clients connect to.
    pub port: Ports,
    /// TCP or UDP.
    pub protocol: TransportProtocol,
    /// Where flows go.
    pub pool: PoolName,
    /// Backends that get new flows.
    pub backends_available: usize,
    /// All its backends.
    pub backends_total: usize,
    /// Live flows.
    pub flows: u64,
    /// What it carried.
    pub traffic: Traffic,
}

impl ServiceView {
    /// Backends that get new flows.
    pub fn available(&self) -> usize {
        self.backends.iter().filter(|b| b.available()).count()
    }
}

impl From<&ServiceView> for ServiceSummary {
    fn from(service: &ServiceView) -> Self {
        Self {
            name: service.name.clone(),
            vip: service.vip,
            port: service.port,
            protocol: service.protocol,
            pool: service.pool.clone(),
            backends_available: service.available(),
            backends_total: service.backends.len(),
            flows: service.flows,
            traffic: service.traffic,
        }
    }
}
