//! Next hops: where a packet for a backend leaves this machine, and with which destination MAC.
//!
//! [`Resolver`] follows the kernel's links, routes and neighbours over netlink and keeps the next hop of every
//! wanted backend address fresh; [`table`] holds the pure part, which turns facts into resolutions. [`vips`]
//! puts VIPs on an interface and takes them off again.
//!
//! What forwards in XDP never touches the kernel's neighbour table, so the kernel sees no traffic that would
//! confirm an entry: it would go STALE and stay so, whatever became of the neighbour. The resolver therefore
//! asks for each next hop again as soon as the kernel doubts it.

mod announce;
mod decode;
mod facts;
mod kernel;
mod local;
mod lower;
mod monitor;
mod resolver;
pub(crate) mod routes;
pub mod table;
#[cfg(test)]
pub(crate) mod testnet;
pub mod vips;
pub(crate) mod virtual_mac;

pub(crate) use announce::{Announcer as FrameSender, frame as announcement, is_router};
pub use facts::{HopKey, Link, LinkKind, Neighbour, Nud, RouteAnswer};
pub(crate) use local::{Device, Devices, LocalWatch};
pub use resolver::{NextHopEvent, Resolver, Snapshot};

pub(crate) use decode::link as decode_link;

use std::{collections::BTreeSet, fmt, io, net::IpAddr};

use adc_common::abi::{Mac, VlanId};

/// How to reach one backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// Kernel index of the interface that adc is attached to and the packet leaves by. Below a VLAN or a bond
    /// this is the lower device, not the one that the route names.
    pub ifindex: u32,
    /// The device that the route names, which has the addresses on this link.
    pub device: String,
    /// Destination MAC.
    pub mac: Mac,
    /// VLAN tag to send with, the outer one if there are two.
    pub vlan: VlanId,
    /// Inner VLAN tag; only ever set together with `vlan`.
    pub inner_vlan: VlanId,
    /// The neighbour that was asked for its MAC: the gateway, or the backend itself if it is on the link.
    pub via: IpAddr,
    /// The local address that the kernel would send from, if it has one for this route.
    pub source: Option<IpAddr>,
}

/// What is known of the way to one backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Packets can be sent.
    Resolved(NextHop),
    /// They can not; the obstacle says why and, where a person can mend it, how.
    Unresolved(Obstacle),
}

/// Why a backend has no next hop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// The route has not been looked up yet; the next event says more.
    #[error("the route to {0} has not been looked up yet")]
    Pending(IpAddr),
    /// The routing tables have no way there.
    #[error("no route to {0}: add one")]
    NoRoute(IpAddr),
    /// The matching route is not one that packets are sent along.
    #[error("the route to {to} is of type `{kind}`: packets can not be sent along it")]
    Refused {
        /// Backend address.
        to: IpAddr,
        /// Route type as `ip route` prints it.
        kind: &'static str,
    },
    /// The route wraps packets in a tunnel header.
    #[error(
        "the route to {0} encapsulates packets, which the data path does not: use a plain route"
    )]
    Encapsulated(IpAddr),
    /// The kernel refused the look-up.
    #[error("looking up the route to {to} failed: {error}")]
    LookupFailed {
        /// Backend address.
        to: IpAddr,
        /// The kernel's answer.
        error: String,
    },
    /// The backend's address is one of this machine's.
    #[error("{0} is this machine's own address: a backend must be another host")]
    OwnAddress(IpAddr),
    /// The route leaves by a device that adc is not attached to.
    #[error("route leaves by {0}, which is not in dataplane.interfaces: add it")]
    NotAttached(String),
    /// The route leaves by a bond none of whose usable ports adc is attached to.
    #[error(
        "route leaves by bond {bond}, of whose ports ({ports}) none that is up and active is in dataplane.interfaces: add them all"
    )]
    BondNotAttached {
        /// The bond.
        bond: String,
        /// Its ports, comma-separated.
        ports: String,
    },
    /// The route leaves by a bridge: which port a MAC is behind is the bridge's own knowledge.
    #[error(
        "route leaves by bridge {0}, and adc does not follow a bridge's forwarding table: move the address to a port of it, or attach to {0} itself with attach = \"skb\""
    )]
    Bridge(String),
    /// The VLAN tags on the way are not ones the data path can write.
    #[error("route leaves by {device}, whose VLAN tags adc can not write ({why}): use at most two")]
    Vlan {
        /// The device that the route names.
        device: String,
        /// What about the tags.
        why: &'static str,
    },
    /// A device on the way is set down.
    #[error("{0} is down: `ip link set {0} up`")]
    Down(String),
    /// A device on the way has no carrier.
    #[error("{0} has no carrier: check cable, switch port or peer")]
    NoCarrier(String),
    /// The route names a device that is gone.
    #[error("the route leaves by interface index {0}, which does not exist (any more)")]
    NoDevice(u32),
    /// The neighbour has not answered (yet).
    #[error("neighbour {address} on {device}: {state}")]
    Neighbour {
        /// Gateway, or the backend itself.
        address: IpAddr,
        /// Device that the route names.
        device: String,
        /// State as `ip neigh` prints it.
        state: Nud,
    },
    /// The neighbour's link-layer address is no Ethernet MAC.
    #[error(
        "neighbour {address} on {device} has no Ethernet address: adc sends over Ethernet only"
    )]
    NotEthernet {
        /// Gateway, or the backend itself.
        address: IpAddr,
        /// Device that the route names.
        device: String,
    },
}

/// Facts about an interface that adc is attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceFacts {
    /// Its name, as in `dataplane.interfaces`.
    pub name: String,
    /// Kernel index; another one than before means deleted and created again.
    pub ifindex: u32,
    /// Its own MAC; `None` if it is no Ethernet device.
    pub mac: Option<Mac>,
    /// Other MACs of devices on top of it (VLANs, its bond or bridge), by which this machine is reached through it, too.
    pub other_macs: Vec<Mac>,
    /// Its name, and those of the devices on top of it by which this machine is reached through it.
    pub stack: BTreeSet<String>,
    /// Bytes, without the Ethernet header.
    pub mtu: u32,
    /// Set up, and with carrier.
    pub up: bool,
    /// What packets for this interface leave by instead: another port of its bond, while the bond does not send by it.
    pub deputy: Option<Deputy>,
}

/// The port of a bond that packets leave by in the place of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deputy {
    /// Its name.
    pub name: String,
    /// Kernel index.
    pub ifindex: u32,
    /// Its own MAC; `None` if it is no Ethernet device.
    pub mac: Option<Mac>,
    /// Bytes, without the Ethernet header.
    pub mtu: u32,
}

/// What can go wrong while talking to the kernel about next hops or VIPs.
#[derive(Debug, thiserror::Error)]
pub enum NeighbourError {
    /// No netlink socket.
    #[error("opening a netlink socket to {purpose}: {source}")]
    Open {
        /// What for.
        purpose: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// The kernel refused a request or did not answer it.
    #[error("asking the kernel to {request}: {reason}")]
    Request {
        /// What was asked.
        request: String,
        /// Its answer.
        reason: String,
    },
    /// An interface is not there.
    #[error(
        "there is no interface `{0}` here: correct its name in the configuration, or create it"
    )]
    NoInterface(String),
    /// An interface can not have a virtual MAC.
    #[error("{interface} can not have a virtual MAC: {why}")]
    NoVirtualMac {
        /// Its name.
        interface: String,
        /// The reason.
        why: String,
    },
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "via {} at ", self.via)?;
        for (at, octet) in self.mac.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { ":" };
            write!(f, "{separator}{octet:02x}")?;
        }
        for (tag, name) in [(self.vlan, "vlan"), (self.inner_vlan, "inner vlan")] {
            if tag != VlanId::NONE {
                write!(f, " {name} {tag}")?;
            }
        }
        Ok(())
    }
}

impl Resolution {
    /// The next hop, if there is one.
    pub fn hop(&self) -> Option<&NextHop> {
        match self {
            Self::Resolved(hop) => Some(hop),
            Self::Unresolved(_) => None,
        }
    }
}
