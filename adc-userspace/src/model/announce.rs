//! VIPs that a routing daemon announces.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use serde::{Deserialize, Serialize};

use super::monitor::humantime_duration;

/// Which VIPs get a route, in which table, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteAnnouncement {
    /// Kernel routing table that the routes stand in: 1 ..= 252, or 256 and more.
    pub table: u32,
    /// The VIPs; empty = those of all services that are in no HA group.
    pub vips: BTreeSet<IpAddr>,
    /// Which services of a VIP must be served.
    pub require: Require,
    /// So many backends of a service must take new flows, 1 or more.
    pub min_up: u32,
    /// How long a VIP must be served before it is announced.
    #[serde(with = "humantime_duration")]
    pub up_after: Duration,
    /// How long it must not be served before it is withdrawn.
    #[serde(with = "humantime_duration")]
    pub down_after: Duration,
    /// How long a node that stops goes on after it has withdrawn everything.
    #[serde(with = "humantime_duration")]
    pub drain: Duration,
}

/// Which services of a VIP must be served for it to be announced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Require {
    /// One is enough: what is down on this node is usually down on the others too.
    #[default]
    Any,
    /// Every one.
    All,
}

impl RouteAnnouncement {
    /// The table where the file says nothing.
    pub const TABLE: u32 = 173;
}

impl Default for RouteAnnouncement {
    fn default() -> Self {
        Self {
            table: Self::TABLE,
            vips: BTreeSet::new(),
            require: Require::Any,
            min_up: 1,
            up_after: Duration::from_secs(3),
            down_after: Duration::from_secs(1),
            drain: Duration::from_secs(1),
        }
    }
}
