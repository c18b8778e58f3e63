//! The network devices, with what the doctor wants to know beyond the resolver.

use std::io;

use netlink_packet_route::link::{LinkAttribute, LinkMessage, LinkXdp, XdpAttached};
use rtnetlink::{packet_core::Parseable, sys::protocols::NETLINK_ROUTE};

use crate::neighbours::{Link, LinkKind, decode_link};

use super::{judge::Bond, netlink};

/// `RTM_GETLINK` (linux/rtnetlink.h).
const GET_LINK: u16 = 18;

/// Size of `struct ifinfomsg`; all zero asks for every device.
const IFINFOMSG: [u8; 16] = [0; 16];

/// An XDP program on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attached {
    /// Program id.
    pub(super) program: u32,
    /// `native`, `skb`, `hardware` or `several`.
    pub(super) mode: &'static str,
}

/// A device.
pub(super) struct Found {
    pub(super) link: Link,
    pub(super) attached: Option<Attached>,
    pub(super) rx_queues: Option<u32>,
}

/// All devices of this network namespace.
pub(super) struct Links {
    all: Vec<Found>,
}

impl Links {
    pub(super) fn list() -> io::Result<Self> {
        let answers = netlink::ask(NETLINK_ROUTE, GET_LINK, true, &IFINFOMSG)?;
        let mut all = Vec::new();
        for answer in answers {
            let message = LinkMessage::parse(answer.as_slice()).map_err(io::Error::other)?;
            all.extend(found(&message));
        }
        Ok(Self { all })
    }

    pub(super) fn named(&self, name: &str) -> Option<&Found> {
        self.all.iter().find(|found| found.link.name == name)
    }

    /// All names, the loopback's left out.
    pub(super) fn names(&self) -> String {
        join(
            self.all
                .iter()
                .filter(|found| found.link.kind != LinkKind::Loopback),
        )
    }

    /// The names of a bond's or a bridge's ports.
    pub(super) fn ports_of(&self, controller: u32) -> String {
        join(
            self.all
                .iter()
                .filter(|found| found.link.controller == Some(controller)),
        )
    }

    /// The name of a VLAN's lower device.
    pub(super) fn lower_of(&self, link: &Link) -> Option<String> {
        match link.kind {
            LinkKind::Vlan { lower, .. } => self.name(lower?),
            LinkKind::Plain
            | LinkKind::Loopback
            | LinkKind::Veth { .. }
            | LinkKind::Bond { .. }
            | LinkKind::Bridge
            | LinkKind::Macvlan { .. } => None,
        }
    }

    /// All devices.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Found> {
        self.all.iter()
    }

    /// The bond that a device is a port of, and its ports that are not among `attached`.
    pub(super) fn bond_of(&self, link: &Link, attached: &[String]) -> Option<Bond> {
        let controller = link.controller?;
        let bond = self
            .all
            .iter()
            .find(|found| found.link.index == controller)?;
        if !matches!(bond.link.kind, LinkKind::Bond { .. }) {
            return None;
        }
        let ports = self.all.iter().map(|found| &found.link);
        let missing = ports
            .filter(|port| port.controller == Some(controller) && !attached.contains(&port.name))
            .map(|port| port.name.clone());
        Some(Bond {
            name: bond.link.name.clone(),
            missing: missing.collect(),
        })
    }

    /// The names of the VLAN devices on a device, or on the bond that it is a port of.
    pub(super) fn vlans_on(&self, link: &Link) -> Vec<String> {
        let below = [Some(link.index), link.controller];
        let vlans = self.all.iter().filter(|found| match found.link.kind {
            LinkKind::Vlan { lower, .. } => lower.is_some() && below.contains(&lower),
            LinkKind::Plain
            | LinkKind::Loopback
            | LinkKind::Veth { .. }
            | LinkKind::Bond { .. }
            | LinkKind::Bridge
            | LinkKind::Macvlan { .. } => false,
        });
        vlans.map(|found| found.link.name.clone()).collect()
    }

    /// The name of a veth's other end, if that is in this namespace too.
    pub(super) fn peer_of(&self, link: &Link) -> Option<String> {
        match link.kind {
            LinkKind::Veth {
                peer,
                elsewhere: false,
            } => self.name(peer?),
            LinkKind::Veth {
                elsewhere: true, ..
            }
            | LinkKind::Plain
            | LinkKind::Loopback
            | LinkKind::Vlan { .. }
            | LinkKind::Bond { .. }
            | LinkKind::Bridge
            | LinkKind::Macvlan { .. } => None,
        }
    }

    fn name(&self, index: u32) -> Option<String> {
        let found = self.all.iter().find(|found| found.link.index == index)?;
        Some(found.link.name.clone())
    }
}

fn join<'a>(links: impl Iterator<Item = &'a Found>) -> String {
    let names: Vec<&str> = links.map(|found| found.link.name.as_str()).collect();
    if names.is_empty() {
        "no ports".into()
    } else {
        names.join(", ")
    }
}

fn found(message: &LinkMessage) -> Option<Found> {
    let link = decode_link(message)?;
    let (mut attached, mut rx_queues) = (None, None);
    for attribute in &message.attributes {
        if let LinkAttribute::Xdp(parts) = attribute {
            attached = program(parts);
        } else if let LinkAttribute::NumRxQueues(count) = attribute {
            rx_queues = Some(*count);
        }
    }
    Some(Found {
        link,
        attached,
        rx_queues,
    })
}

fn program(parts: &[LinkXdp]) -> Option<Attached> {
    const MODES: [(XdpAttached, &str); 4] = [
        (XdpAttached::Driver, "native"),
        (XdpAttached::SocketBuffer, "skb"),
        (XdpAttached::Hardware, "hardware"),
        (XdpAttached::Multiple, "several"),
    ];
    let (mut mode, mut id) = ("unknown", None);
    for part in parts {
        if let LinkXdp::Attached(how) = part {
            mode = MODES.iter().find(|(known, _)| known == how)?.1;
        } else if let LinkXdp::ProgId(program)
        | LinkXdp::DrvProgId(program)
        | LinkXdp::SkbProgId(program)
        | LinkXdp::HwProgId(program) = part
        {
            id = id.or(Some(*program));
        }
    }
    Some(Attached { program: id?, mode })
}
