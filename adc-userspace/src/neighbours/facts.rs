//! What the kernel says about links, routes and neighbours, without netlink's wire format.

use std::{fmt, net::IpAddr};

use adc_common::abi::Mac;
use ipnet::IpNet;

/// A network device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Kernel index.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Ethernet address; `None` for other kinds of device.
    pub mac: Option<Mac>,
    /// Bytes, without the Ethernet header.
    pub mtu: u32,
    /// Set up by an administrator.
    pub up: bool,
    /// The lower layer is there (cable, peer).
    pub carrier: bool,
    /// What it is, as far as that matters to the way of a packet.
    pub kind: LinkKind,
    /// Bond, bridge or VRF that it is a port of.
    pub controller: Option<u32>,
    /// A port that its bond keeps in reserve: the bond sends nothing by it and takes nothing from it.
    pub standby: bool,
}

/// Kinds of network device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// A device that packets leave the machine by, or any kind not named here.
    Plain,
    /// The loopback.
    Loopback,
    /// One end of a virtual cable.
    Veth {
        /// Index of the other end, in its own namespace.
        peer: Option<u32>,
        /// The other end is in another namespace.
        elsewhere: bool,
    },
    /// A VLAN on a lower device.
    Vlan {
        /// VLAN id.
        id: u16,
        /// 802.1ad (a service tag) and not 802.1Q.
        service_tag: bool,
        /// The lower device; `None` if it is in another namespace.
        lower: Option<u32>,
    },
    /// Several ports used as one.
    Bond {
        /// The one port in use, in the modes that use one at a time.
        active: Option<u32>,
    },
    /// A software switch.
    Bridge,
    /// A device with a MAC of its own on a lower one.
    Macvlan {
        /// The lower device; `None` if it is in another namespace.
        lower: Option<u32>,
    },
}

/// Answer of the kernel's routing for one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteAnswer {
    /// Sent to a neighbour.
    Hop {
        /// Device that the route names, and the neighbour on it.
        key: HopKey,
        /// Local address that the kernel would send from.
        source: Option<IpAddr>,
    },
    /// The destination is this machine.
    Own,
    /// No route matches.
    Unreachable,
    /// A route of another type matches (`blackhole`, `prohibit`, `multicast`, ...).
    Refused(&'static str),
    /// The route adds a tunnel header.
    Encapsulated,
    /// The look-up itself failed.
    Failed(String),
}

/// Names one neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HopKey {
    /// Device, as the route names it (the VLAN device, not its lower one).
    pub ifindex: u32,
    /// Address on that link.
    pub address: IpAddr,
}

/// An entry of the kernel's neighbour table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Neighbour unreachability detection state.
    pub state: Nud,
    /// Its MAC, where the kernel has a valid one.
    pub mac: Option<Mac>,
}

/// States of a neighbour (RFC 4861 §7.3.2 and the kernel's own).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nud {
    /// No entry, or nothing known.
    None,
    /// Being asked for.
    Incomplete,
    /// Confirmed a short while ago.
    Reachable,
    /// Not confirmed lately.
    Stale,
    /// Used while stale; about to be probed.
    Delay,
    /// Being probed.
    Probe,
    /// Has not answered.
    Failed,
    /// Needs no resolution.
    Noarp,
    /// Set by an operator.
    Permanent,
}

/// One change reported by the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A device is there, new or changed.
    Link(Link),
    /// A device is gone.
    LinkGone(u32),
    /// A neighbour entry is there, new or changed.
    Neighbour(HopKey, Neighbour),
    /// A neighbour entry is gone.
    NeighbourGone(HopKey),
    /// Routes to a destination may have changed; `None` = to any.
    RoutesChanged(Option<IpNet>),
}

impl Nud {
    /// The MAC of an entry in this state can be used.
    pub fn is_valid(self) -> bool {
        match self {
            Self::Reachable
            | Self::Stale
            | Self::Delay
            | Self::Probe
            | Self::Noarp
            | Self::Permanent => true,
            Self::None | Self::Incomplete | Self::Failed => false,
        }
    }
}

impl fmt::Display for Nud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "no answer yet",
            Self::Incomplete => "INCOMPLETE (being asked for)",
            Self::Reachable => "REACHABLE",
            Self::Stale => "STALE",
            Self::Delay => "DELAY",
            Self::Probe => "PROBE",
            Self::Failed => "FAILED (it does not answer)",
            Self::Noarp => "NOARP",
            Self::Permanent => "PERMANENT",
        })
    }
}

impl Link {
    /// Set up, and with carrier.
    pub fn usable(&self) -> bool {
        self.up && self.carrier
    }
}
