//! HA groups.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::{HaChangeView, HeartbeatView, SyncView, Timestamp};
use crate::{
    ha::Role,
    model::{Election, GroupName},
};

/// What this node shares with others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaView {
    /// Groups, by name.
    pub groups: Vec<HaGroupView>,
    /// Interfaces that adverts go over, by name.
    #[serde(default)]
    pub interfaces: Vec<HaInterfaceView>,
    /// The heartbeat; absent if no peer is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<HeartbeatView>,
    /// Replication of flows; absent if it is not configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync: Option<SyncView>,
    /// The process that has the groups; absent if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keeper: Option<KeeperView>,
}

/// The process that has the groups, and outlives the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeeperView {
    /// Process id.
    pub pid: u32,
    /// Version of its program.
    pub version: String,
    /// How often this agent had to start another because one had died.
    pub restarts: u64,
}

/// What came to an interface that adverts go over, and was for no group of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaInterfaceView {
    /// Its name.
    pub interface: String,
    /// Adverts refused, by reason: of a VRID that no group here has (`vrid`), or too short to have one (`length`).
    pub adverts_refused: BTreeMap<String, u64>,
}

/// What this node is for a group, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaGroupView {
    /// Its name.
    pub name: GroupName,
    /// Who decides about it.
    #[serde(default)]
    pub election: Election,
    /// What this node is.
    pub role: Role,
    /// Why.
    pub why: String,
    /// Since when.
    pub since: Timestamp,
    /// Virtual router id.
    pub vrid: u8,
    /// Interface that adverts go over.
    pub interface: String,
    /// Version of VRRP: 2 or 3.
    pub version: u8,
    /// Priorities.
    pub priority: HaPriority,
    /// Time between two of our adverts, milliseconds.
    pub advert_interval_ms: u64,
    /// Whether an active node of lower priority is replaced.
    pub preempt: bool,
    /// Whether somebody said `hold`: this node will not be active.
    pub held: bool,
    /// Whether somebody said `failover`: the node that is active now is left alone.
    pub yielded: bool,
    /// For how long the data plane would still serve the group if nobody renewed its lease, milliseconds; absent = it does
    /// not serve it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<u64>,
    /// Where the heartbeat decides: what the nodes say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ruling: Option<HaRulingView>,
    /// Its addresses.
    pub vips: Vec<IpAddr>,
    /// The MACs that they are at, of IPv4 first; none = those of their interfaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub virtual_macs: Vec<String>,
    /// Other routers that were heard, by address; the last sixteen.
    pub peers: Vec<HaPeerView>,
    /// What the group depends on.
    pub tracked: Vec<HaTrackedView>,
    /// The sync group that it is in; absent if it moves alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_group: Option<GroupName>,
    /// The groups that it moves with: they are active on one node together, and an order for one is an order for all.
    #[serde(default)]
    pub moves_with: Vec<GroupName>,
    /// The last changes of the role, the oldest first.
    #[serde(default)]
    pub changes: Vec<HaChangeView>,
    /// What happened since the agent started.
    pub counters: HaCounters,
}

/// Priority as the file has it, and as adverts have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaPriority {
    /// In the file.
    pub configured: u8,
    /// With what tracked things add to it.
    pub effective: u8,
}

/// What the nodes of a pair say of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaRulingView {
    /// The highest term that this node knows; each new active node takes a higher one.
    pub term: u64,
    /// Whether this node is giving the group away, or is about to.
    pub yields: bool,
    /// What the peer says of itself; absent while it is not heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<HaClaimView>,
}

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaClaimView {
    /// What it is.
    pub role: Role,
    /// Its priority, with what tracked things add.
    pub priority: u8,
    /// The highest term that it knows.
    pub term: u64,
}

/// Another router of the group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaPeerView {
    /// Where it sends from.
    pub address: IpAddr,
    /// Its priority; 0 = it resigned.
    pub priority: u8,
    /// Time between its adverts, milliseconds.
    pub advert_interval_ms: u64,
    /// Time since its last advert, milliseconds.
    pub last_seen_ms: u64,
    /// Whether it has the same addresses as we.
    pub same_vips: bool,
}

/// Something that a group tracks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaTrackedView {
    /// What.
    pub what: String,
    /// Whether it is well; absent while nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub well: Option<bool>,
    /// What it adds to the priority now.
    pub weight: i32,
    /// Whether it keeps this node from being active.
    pub fault: bool,
}

/// What happened to a group since the agent started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaCounters {
    /// Times that the role changed.
    pub transitions: u64,
    /// Adverts sent.
    pub adverts_sent: u64,
    /// Adverts that could not be sent.
    pub adverts_failed: u64,
    /// Adverts heard and taken seriously.
    pub adverts_received: u64,
    /// Adverts refused, by reason; every reason is there.
    pub adverts_refused: BTreeMap<String, u64>,
}

/// What people may ask of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HaOrder {
    /// Hand the role over, and leave the node that takes it alone.
    Failover,
    /// Hand the role over, and do not take it until released.
    Hold,
    /// Forget both.
    Release,
}

impl HaOrder {
    /// As a path of the API and a verb of the command line have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::Hold => "hold",
            Self::Release => "release",
        }
    }
}
