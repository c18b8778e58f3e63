//! The validated configuration, in host types. `config` makes it; everything else only reads it.
//!
//! Serialisable because runtime edits are kept as JSON and the API speaks it. Host order, `std::net`.

mod announce;
mod dataplane;
mod ha;
mod heartbeat;
mod monitor;
mod name;
mod pool;
mod ports;
mod service;
mod state;
mod sync;
mod wire;

pub use announce::{Require, RouteAnnouncement};
pub use dataplane::{AttachMode, Dataplane, Limits, Node, Telemetry};
pub use ha::{
    Announce, Checksum, Election, GroupVip, Ha, HaGroup, Script, Track, Tracked, VrrpVersion,
};
pub use heartbeat::{HEARTBEAT_PORT, HeartbeatPath, HeartbeatSettings, Profile, Timing};
pub use monitor::{
    BodyMatch, HttpCheck, InitialState, Monitor, MonitorKind, StatusRange, TlsVerify,
};
pub use name::{BackendName, GroupName, InvalidName, MonitorName, PoolName, ServiceName};
pub use pool::{AdminState, Backend, BackendAddress, InvalidAddress, OnDown, Pool, Weight};
pub use ports::{InvalidPorts, PORTS, Ports};
pub(crate) use service::answers_ping;
pub use service::{
    Hash, MAX_SNAT_ADDRESSES, Mode, Scheduler, Service, Timeouts, TransportProtocol,
};
pub use state::{EffectiveState, Health};
pub use sync::{SYNC_PORT, SyncSettings};
pub use wire::{MssClamp, ProxyProtocol, Tunnel};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A whole configuration. Every reference in it resolves; every value is in range.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// This machine.
    pub node: Node,
    /// Interfaces, pinning, table sizes.
    pub dataplane: Dataplane,
    /// Metrics listener.
    pub telemetry: Telemetry,
    /// Health-check definitions by name.
    pub monitors: BTreeMap<MonitorName, Monitor>,
    /// Pools by name.
    pub pools: BTreeMap<PoolName, Pool>,
    /// Services by name.
    pub services: BTreeMap<ServiceName, Service>,
    /// What is shared with other nodes.
    #[serde(default, skip_serializing_if = "Ha::is_empty")]
    pub ha: Ha,
    /// VIPs that a routing daemon announces; `None` = none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announce: Option<RouteAnnouncement>,
}
