//! One address family of a group: what is heard there, and from where we would speak.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

/// Address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// An advert that is to be taken seriously.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Family that carried it.
    pub family: Family,
    /// Its sender's own address.
    pub source: IpAddr,
    /// Its sender's priority.
    pub priority: u8,
    /// Its sender's interval.
    pub interval: Duration,
}

/// One family.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    pub(super) family: Family,
    /// The address that adverts are sent from, or why there is none.
    pub(super) own: Result<IpAddr, String>,
    /// Interval of whoever is active; ours until we know.
    pub(super) active_interval: Duration,
    /// When the active router counts as gone, as far as this family can tell.
    pub(super) down_at: Instant,
    /// The last advert, and when it came.
    pub(super) last: Option<(Instant, Heard)>,
}

impl Family {
    /// Of an address.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        }
    }
}
