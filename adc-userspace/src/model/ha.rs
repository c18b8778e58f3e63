//! HA groups: VIPs that move together from node to node.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::PathBuf,
    time::Duration,
};

use adc_common::abi::Vrid;
use serde::{Deserialize, Serialize};

use super::{
    BfdName, GroupName, HeartbeatSettings, PoolName, SyncSettings, monitor::humantime_duration,
};

/// What this node shares with others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ha {
    /// Groups by name.
    pub groups: BTreeMap<GroupName, HaGroup>,
    /// Groups that are active on one node together or not at all, by the name of the sync group.
    #[serde(default)]
    pub sync_groups: BTreeMap<GroupName, Vec<GroupName>>,
    /// The other node of a pair; `None` = no heartbeat.
    #[serde(default)]
    pub heartbeat: Option<HeartbeatSettings>,
    /// Replication of flows to the other node; `None` = they stay here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync: Option<SyncSettings>,
    /// How long this node is as good as others without an agent.
    #[serde(default = "agent_grace", with = "humantime_duration")]
    pub agent_grace: Duration,
}

fn agent_grace() -> Duration {
    Ha::AGENT_GRACE
}

/// Version of VRRP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum VrrpVersion {
    /// RFC 3768: IPv4 only, intervals in whole seconds.
    #[serde(rename = "2")]
    V2,
    /// RFC 9568: both families, intervals in hundredths of a second.
    #[default]
    #[serde(rename = "3")]
    V3,
}

/// Which checksum version 3 has over IPv4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Checksum {
    /// With the pseudo-header until another router is heard, then as that one has it.
    #[default]
    Auto,
    /// With a pseudo-header: keepalived and older routers.
    PseudoHeader,
    /// Over the message alone: RFC 9568.
    MessageOnly,
}

/// Who decides which node is active for a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Election {
    /// Adverts: any VRRP router may take part.
    #[default]
    Vrrp,
    /// The heartbeat to the other adc node: no adverts go out.
    Heartbeat,
}

/// VIPs that move together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HaGroup {
    /// Who decides which node is active.
    pub election: Election,
    /// Virtual router id, 1 to 255, the same on all nodes of the group.
    pub vrid: u8,
    /// Interface that adverts go over, and where the VIPs are unless they say otherwise.
    pub interface: String,
    /// Version spoken.
    pub version: VrrpVersion,
    /// 1 to 254; 255 = owner of the addresses.
    pub priority: u8,
    /// Time between two adverts of the active node.
    #[serde(with = "humantime_duration")]
    pub advert_interval: Duration,
    /// Whether to take over from an active node of lower priority.
    pub preempt: bool,
    /// How long such a node is left alone first.
    #[serde(with = "humantime_duration")]
    pub preempt_delay: Duration,
    /// Checksum of version 3 over IPv4.
    pub checksum: Checksum,
    /// Where adverts go instead of to the multicast group; empty = multicast.
    pub unicast_peers: Vec<IpAddr>,
    /// The addresses, at least one.
    pub vips: Vec<GroupVip>,
    /// Whether they are at the virtual router's MAC (RFC 9568 §7.3), and not at their interface's.
    #[serde(default)]
    pub virtual_mac: bool,
    /// How a new active node makes itself known to hosts and switches.
    pub announce: Announce,
    /// What the node's priority or fitness depends on.
    pub track: Vec<Track>,
}

/// An address of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupVip {
    /// The address.
    pub address: IpAddr,
    /// Prefix length that it is put on with; `None` = the whole address.
    pub length: Option<u8>,
    /// Interface that carries it; `None` = that of the group.
    pub interface: Option<String>,
}

/// Bursts of gratuitous ARP and unsolicited neighbour advertisements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announce {
    /// Announcements per address, at once.
    pub count: u8,
    /// Time to the second burst.
    #[serde(with = "humantime_duration")]
    pub repeat_after: Duration,
    /// Announcements per address in the second burst; 0 = none.
    pub repeat_count: u8,
    /// Time between single announcements from then on; zero = none.
    #[serde(with = "humantime_duration")]
    pub refresh: Duration,
}

/// Something that is watched for a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// What.
    pub what: Tracked,
    /// Added to the priority: a positive weight while it is well, a negative one while it is not. `None` = while it is
    /// not well, this node can not have the group.
    pub weight: Option<i16>,
}

/// What can be watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tracked {
    /// Well while it is up and has carrier.
    Interface(String),
    /// Well while so many of its backends take new flows.
    Pool {
        /// The pool.
        pool: PoolName,
        /// Backends.
        min_up: u32,
    },
    /// Well while this BFD session is up.
    Bfd(BfdName),
    /// Well while it exits with 0.
    Script(Script),
    /// Well while the agent finds the data plane in order. Every group that does not say otherwise has it, without weight.
    SelfTest,
}

/// A program that says whether this node is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// The program, absolute.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Time between two runs.
    #[serde(with = "humantime_duration")]
    pub interval: Duration,
    /// A run that takes longer is killed and has failed.
    #[serde(with = "humantime_duration")]
    pub timeout: Duration,
    /// Successes in a row that make it well.
    pub rise: u32,
    /// Failures in a row that make it unwell.
    pub fall: u32,
}

impl VrrpVersion {
    /// As the file, the API and the command line have it.
    pub fn number(self) -> u8 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }
}

impl Default for Ha {
    fn default() -> Self {
        Self {
            groups: BTreeMap::new(),
            sync_groups: BTreeMap::new(),
            heartbeat: None,
            sync: None,
            agent_grace: Self::AGENT_GRACE,
        }
    }
}

impl Ha {
    /// How long this node is as good as others without an agent, unless the file says otherwise: longer than an agent takes
    /// to be replaced.
    pub const AGENT_GRACE: Duration = Duration::from_secs(30);

    /// Whether there is nothing to share.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.heartbeat.is_none() && self.sync.is_none()
    }

    /// The sync group of a group, and its members; `None` = it moves alone.
    pub fn sync_group_of(&self, group: &GroupName) -> Option<(&GroupName, &[GroupName])> {
        let mut all = self.sync_groups.iter();
        let (name, members) = all.find(|(_, members)| members.contains(group))?;
        Some((name, members))
    }

    /// Virtual routers with a MAC of their own that have addresses on one of these interfaces.
    pub fn virtual_routers(&self, interfaces: &BTreeSet<String>) -> BTreeSet<Vrid> {
        let groups = self.groups.values().filter(|group| group.virtual_mac);
        let carried = |group: &&HaGroup| {
            let mut vips = group.vips.iter();
            vips.any(|vip| interfaces.contains(group.interface_of(vip)))
        };
        groups.filter(carried).map(HaGroup::router).collect()
    }

    /// The group that an address belongs to.
    pub fn group_of(&self, address: IpAddr) -> Option<&GroupName> {
        let has = |group: &HaGroup| group.vips.iter().any(|vip| vip.address == address);
        let mut groups = self.groups.iter();
        groups.find(|(_, group)| has(group)).map(|(name, _)| name)
    }
}

impl HaGroup {
    /// The interface that carries one of its addresses.
    pub fn interface_of<'a>(&'a self, vip: &'a GroupVip) -> &'a str {
        vip.interface.as_deref().unwrap_or(&self.interface)
    }

    /// Its virtual router.
    pub fn router(&self) -> Vrid {
        Vrid(self.vrid)
    }

    /// Time between single announcements while it is active; `None` = none. An address at a virtual MAC has some in any case:
    /// nothing else of what leaves has that MAC for its source where no adverts go out, and switches forget.
    pub fn refresh(&self) -> Option<Duration> {
        match self.announce.refresh {
            Duration::ZERO => self.virtual_mac.then_some(Self::VIRTUAL_REFRESH),
            configured => Some(configured),
        }
    }

    /// Time between announcements of addresses at a virtual MAC if the file says nothing: less than a third of the five minutes after
    /// which bridges forget a MAC (IEEE 802.1Q-2018 §8.8.3).
    pub const VIRTUAL_REFRESH: Duration = Duration::from_mins(1);

    /// Whether it has addresses of IPv4 (`true`) or IPv6 (`false`).
    pub fn has_family(&self, v4: bool) -> bool {
        self.vips.iter().any(|vip| vip.address.is_ipv4() == v4)
    }
}

impl GroupVip {
    /// Prefix length that it is put on with, in bits.
    pub fn prefix_length(&self) -> u8 {
        let whole = if self.address.is_ipv4() { 32 } else { 128 };
        self.length.unwrap_or(whole)
    }
}

impl Default for Announce {
    fn default() -> Self {
        Self {
            count: 5,
            repeat_after: Duration::from_secs(5),
            repeat_count: 5,
            refresh: Duration::ZERO,
        }
    }
}
