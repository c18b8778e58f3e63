//! Netlink messages to facts.

use std::net::IpAddr;

use adc_common::abi::Mac;
use ipnet::IpNet;
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    link::{
        BondPortState, InfoBond, InfoBondPort, InfoData, InfoKind, InfoPortData, InfoVlan,
        LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, VlanProtocol,
    },
    neighbour::{
        NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
    },
    route::{RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteType, RouteVia},
};

use super::{HopKey, Link, LinkKind, Neighbour, Nud, RouteAnswer, facts::Fact};

/// The fact in a multicast message, if it holds one that matters.
pub(super) fn fact(message: &RouteNetlinkMessage) -> Option<Fact> {
    if let RouteNetlinkMessage::NewLink(message) = message {
        return link(message).map(Fact::Link);
    }
    if let RouteNetlinkMessage::DelLink(message) = message {
        // A port that leaves a bridge is announced as a deletion in the bridge's own family.
        let deleted = message.header.interface_family == AddressFamily::Unspec;
        return deleted.then_some(Fact::LinkGone(message.header.index));
    }
    if let RouteNetlinkMessage::NewNeighbour(message) = message {
        return neighbour(message).map(|(key, neighbour)| Fact::Neighbour(key, neighbour));
    }
    if let RouteNetlinkMessage::DelNeighbour(message) = message {
        return neighbour(message).map(|(key, _)| Fact::NeighbourGone(key));
    }
    if let RouteNetlinkMessage::NewRoute(message) | RouteNetlinkMessage::DelRoute(message) = message
    {
        return routes_changed(message);
    }
    // An address that goes takes IPv4 routes with it, and may change the source of others; a rule may
    // change the way to anywhere.
    let anywhere = matches!(
        message,
        RouteNetlinkMessage::NewAddress(_)
            | RouteNetlinkMessage::DelAddress(_)
            | RouteNetlinkMessage::NewRule(_)
            | RouteNetlinkMessage::DelRule(_)
    );
    anywhere.then_some(Fact::RoutesChanged(None))
}

/// A device, unless the message is about something else than the device itself.
pub(crate) fn link(message: &LinkMessage) -> Option<Link> {
    if message.header.interface_family != AddressFamily::Unspec {
        return None;
    }
    let ethernet = message.header.link_layer_type == LinkLayerType::Ether;
    let flags = message.header.flags;
    let (mut name, mut mac, mut mtu, mut lower, mut controller) = (None, None, 0, None, None);
    let mut elsewhere = false;
    let mut info: &[LinkInfo] = &[];
    for attribute in &message.attributes {
        if let LinkAttribute::IfName(text) = attribute {
            name = Some(text.clone());
        } else if let LinkAttribute::Address(bytes) = attribute {
            mac = ethernet.then(|| mac_of(bytes)).flatten();
        } else if let LinkAttribute::Mtu(bytes) = attribute {
            mtu = *bytes;
        } else if let LinkAttribute::Link(index) = attribute {
            lower = Some(*index);
        } else if let LinkAttribute::LinkNetNsId(_) = attribute {
            elsewhere = true;
        } else if let LinkAttribute::Controller(index) = attribute {
            controller = Some(*index);
        } else if let LinkAttribute::LinkInfo(parts) = attribute {
            info = parts;
        }
    }
    let kind = if flags.contains(LinkFlags::Loopback) {
        LinkKind::Loopback
    } else {
        kind(info, lower, elsewhere)
    };
    Some(Link {
        index: message.header.index,
        name: name?,
        mac,
        mtu,
        up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::LowerUp),
        kind,
        controller,
        standby: is_standby(info),
    })
}

/// The kernel says so of every port, in all modes: of those that are not the active one, and with LACP of those that belong to another
/// aggregator (`bond_fill_slave_info`, drivers/net/bonding/bond_netlink.c). A change is told (`NETDEV_CHANGELOWERSTATE`).
fn is_standby(info: &[LinkInfo]) -> bool {
    let backup = InfoBondPort::BondPortState(BondPortState::Backup);
    info.iter().any(|part| {
        matches!(part, LinkInfo::PortData(InfoPortData::BondPort(data)) if data.contains(&backup))
    })
}

fn kind(info: &[LinkInfo], lower: Option<u32>, elsewhere: bool) -> LinkKind {
    let is = |kind: &InfoKind| {
        info.iter()
            .any(|part| matches!(part, LinkInfo::Kind(found) if found == kind))
    };
    if is(&InfoKind::Veth) {
        return LinkKind::Veth {
            peer: lower,
            elsewhere,
        };
    }
    if is(&InfoKind::Bridge) {
        return LinkKind::Bridge;
    }
    if is(&InfoKind::MacVlan) {
        let lower = lower.filter(|_| !elsewhere);
        return LinkKind::Macvlan { lower };
    }
    let mut kind = if is(&InfoKind::Bond) {
        LinkKind::Bond { active: None }
    } else {
        LinkKind::Plain
    };
    for part in info {
        if let LinkInfo::Data(InfoData::Vlan(data)) = part {
            kind = vlan(data, lower.filter(|_| !elsewhere));
        } else if let LinkInfo::Data(InfoData::Bond(data)) = part {
            let active = data.iter().find_map(|part| {
                if let InfoBond::ActivePort(index) = part {
                    Some(*index).filter(|index| *index != 0)
                } else {
                    None
                }
            });
            kind = LinkKind::Bond { active };
        }
    }
    kind
}

fn vlan(data: &[InfoVlan], lower: Option<u32>) -> LinkKind {
    let (mut id, mut service_tag) = (0, false);
    for part in data {
        if let InfoVlan::Id(value) = part {
            id = *value;
        } else if let InfoVlan::Protocol(protocol) = part {
            service_tag = *protocol == VlanProtocol::Ieee8021Ad;
        }
    }
    LinkKind::Vlan {
        id,
        service_tag,
        lower,
    }
}

fn mac_of(bytes: &[u8]) -> Option<Mac> {
    let octets: [u8; 6] = bytes.try_into().ok()?;
    (octets != [0; 6]).then_some(Mac(octets))
}

/// A neighbour entry of IPv4 or IPv6; proxy entries (answered for others) are none.
pub(super) fn neighbour(message: &NeighbourMessage) -> Option<(HopKey, Neighbour)> {
    if message.header.flags.contains(NeighbourFlags::Proxy) {
        return None;
    }
    let (mut address, mut mac) = (None, None);
    for attribute in &message.attributes {
        if let NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) = attribute {
            address = Some(IpAddr::V4(*v4));
        } else if let NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) = attribute {
            address = Some(IpAddr::V6(*v6));
        } else if let NeighbourAttribute::LinkLayerAddress(bytes) = attribute {
            mac = mac_of(bytes);
        }
    }
    let key = HopKey {
        ifindex: message.header.ifindex,
        address: address?,
    };
    let state = nud(message.header.state);
    Some((key, Neighbour { state, mac }))
}

fn nud(state: NeighbourState) -> Nud {
    const STATES: [(NeighbourState, Nud); 8] = [
        (NeighbourState::Incomplete, Nud::Incomplete),
        (NeighbourState::Reachable, Nud::Reachable),
        (NeighbourState::Stale, Nud::Stale),
        (NeighbourState::Delay, Nud::Delay),
        (NeighbourState::Probe, Nud::Probe),
        (NeighbourState::Failed, Nud::Failed),
        (NeighbourState::Noarp, Nud::Noarp),
        (NeighbourState::Permanent, Nud::Permanent),
    ];
    let known = STATES.iter().find(|(theirs, _)| *theirs == state);
    // The kernel's type is open-ended; a state we do not know is not one we can rely on.
    known.map_or(Nud::None, |(_, ours)| *ours)
}

fn routes_changed(message: &RouteMessage) -> Option<Fact> {
    if message.header.flags.contains(RouteFlags::Cloned) {
        return None;
    }
    let any: IpAddr = if message.header.address_family == AddressFamily::Inet {
        [0_u8; 4].into()
    } else if message.header.address_family == AddressFamily::Inet6 {
        [0_u8; 16].into()
    } else {
        return None;
    };
    let destination = message.attributes.iter().find_map(|attribute| {
        if let RouteAttribute::Destination(address) = attribute {
            ip(address)
        } else {
            None
        }
    });
    let prefix = message.header.destination_prefix_length;
    let net = IpNet::new(destination.unwrap_or(any), prefix).ok();
    // A prefix that makes no sense could be about anything.
    Some(Fact::RoutesChanged(net))
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    if let RouteAddress::Inet(v4) = address {
        Some(IpAddr::V4(*v4))
    } else if let RouteAddress::Inet6(v6) = address {
        Some(IpAddr::V6(*v6))
    } else {
        None
    }
}

/// Why packets can not be sent along a route of that type; `None` if they can.
fn refused(kind: RouteType) -> Option<RouteAnswer> {
    const TYPES: [(RouteType, RouteAnswer); 7] = [
        (RouteType::Local, RouteAnswer::Own),
        (RouteType::Anycast, RouteAnswer::Own),
        (RouteType::BlackHole, RouteAnswer::Refused("blackhole")),
        (RouteType::Unreachable, RouteAnswer::Refused("unreachable")),
        (RouteType::Prohibit, RouteAnswer::Refused("prohibit")),
        (RouteType::Broadcast, RouteAnswer::Refused("broadcast")),
        (RouteType::Multicast, RouteAnswer::Refused("multicast")),
    ];
    if kind == RouteType::Unicast {
        return None;
    }
    let known = TYPES.into_iter().find(|(theirs, _)| *theirs == kind);
    Some(known.map_or(RouteAnswer::Refused("unknown"), |(_, answer)| answer))
}

/// The answer in a reply to "which route leads to `to`?".
pub(super) fn route(to: IpAddr, message: &RouteMessage) -> RouteAnswer {
    if let Some(answer) = refused(message.header.kind) {
        return answer;
    }
    let (mut oif, mut via, mut source) = (None, None, None);
    for attribute in &message.attributes {
        if let RouteAttribute::Oif(index) = attribute {
            oif = Some(*index);
        } else if let RouteAttribute::Gateway(address) = attribute {
            via = ip(address);
        } else if let RouteAttribute::Via(RouteVia::Inet(v4)) = attribute {
            via = Some(IpAddr::V4(*v4));
        } else if let RouteAttribute::Via(RouteVia::Inet6(v6)) = attribute {
            // An IPv4 route through an IPv6 gateway (RFC 5549).
            via = Some(IpAddr::V6(*v6));
        } else if let RouteAttribute::PrefSource(address) = attribute {
            source = ip(address);
        } else if let RouteAttribute::Encap(_) = attribute {
            return RouteAnswer::Encapsulated;
        }
    }
    match oif {
        Some(ifindex) => RouteAnswer::Hop {
            key: HopKey {
                ifindex,
                address: via.unwrap_or(to),
            },
            source,
        },
        None => RouteAnswer::Failed("the kernel's answer names no device".into()),
    }
}
