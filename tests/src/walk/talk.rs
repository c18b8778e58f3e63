//! Who talks to whom through the balancer: packets as they come in, and as they must go out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use adc_common::abi::{InterfaceId, Protocol};

use super::{Contents, Exit, Link};
use crate::packets::{
    Envelope, MacAddress, Segment, Tag, Transport, ip_offset, split, transport_offset,
};

/// Our interface towards clients.
pub const FRONT: InterfaceId = InterfaceId(1);
/// Our interface towards backends, with two arms.
pub const BACK: InterfaceId = InterfaceId(2);

/// The local IPv4 address of services with `full-nat`.
pub const LOCAL4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 2, 0, 100));
/// The local IPv6 address.
pub const LOCAL6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 0x100));
/// The VIP of services with IPv4 backends and IPv6 clients.
const VIP64: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xf, 0, 0, 0, 0, 0x64));

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];
}

/// Protocols that there are services of.
pub const PROTOCOLS: [Protocol; 3] = [Protocol::TCP, Protocol::UDP, Protocol::SCTP];

/// One balancer between clients and backends, with a TCP, a UDP and an SCTP service of each family. Each service has
/// one backend, so that a case knows where its packets go.
#[derive(Clone, Debug)]
pub struct World {
    /// For the tables.
    pub contents: Contents,
    /// How clients are reached.
    pub client_link: Link,
    /// How backends are reached.
    pub backend_link: Link,
    /// Whether backends see a local address of ours instead of the client's.
    pub full_nat: bool,
    /// Ports of the VIPs that belong to a service with many, which keeps them.
    pub range: Option<(u16, u16)>,
}

/// One client, one VIP, one backend.
#[derive(Clone, Debug)]
pub struct Talk {
    /// The client.
    pub client: SocketAddr,
    /// The client as the backend sees it; differs if its port was taken.
    pub seen_as: SocketAddr,
    /// What the client talks to.
    pub vip: SocketAddr,
    /// Who answers.
    pub backend: SocketAddr,
    /// The client's wire.
    pub client_link: Link,
    /// The backend's wire.
    pub backend_link: Link,
}

/// A packet that is to be forwarded.
#[derive(Clone, Debug)]
pub struct Crossing {
    /// Interface it comes in by.
    pub by: InterfaceId,
    /// The frame that comes in.
    pub frame: Vec<u8>,
    /// How it must leave.
    pub exit: Exit,
    /// Interface it must leave by.
    pub via: InterfaceId,
    /// The frame that must leave.
    pub out: Vec<u8>,
}

/// MAC of our end of a wire.
const fn near(interface: InterfaceId) -> MacAddress {
    MacAddress::local(interface.0.to_le_bytes()[0], 1)
}

impl Link {
    /// An untagged wire to neighbour `n` of one of our interfaces.
    pub fn new(interface: InterfaceId, n: u8) -> Self {
        Self {
            interface,
            near: near(interface),
            far: MacAddress::local(interface.0.to_le_bytes()[0], n),
            tags: Vec::new(),
        }
    }

    /// The same wire with tags.
    #[must_use]
    pub fn tagged(mut self, tags: &[Tag]) -> Self {
        self.tags = tags.to_vec();
        self
    }

    /// A packet that comes in by this wire.
    pub fn incoming(&self, from: SocketAddr, to: SocketAddr) -> Envelope {
        Envelope {
            to_mac: self.near,
            from_mac: self.far,
            tags: self.tags.clone(),
            from,
            to,
        }
    }

    /// A packet that leaves by this wire.
    pub fn outgoing(&self, from: SocketAddr, to: SocketAddr) -> Envelope {
        Envelope {
            to_mac: self.far,
            from_mac: self.near,
            tags: self.tags.clone(),
            from,
            to,
        }
    }
}

impl World {
    /// Clients and backends behind the same interface.
    pub fn one_arm() -> Self {
        Self::new(Link::new(FRONT, 0xfe), Link::new(FRONT, 10))
    }

    /// Clients and backends behind different interfaces.
    pub fn two_arm() -> Self {
        Self::new(Link::new(FRONT, 0xfe), Link::new(BACK, 10))
    }

    /// Clients and backends behind these wires.
    pub fn new(client_link: Link, backend_link: Link) -> Self {
        let mut contents = Contents::default();
        contents.interface(FRONT, near(FRONT));
        contents.interface(BACK, near(BACK));
        let mut world = Self {
            contents,
            client_link,
            backend_link,
            full_nat: false,
            range: None,
        };
        for family in Family::BOTH {
            for protocol in PROTOCOLS {
                let talk = world.talk(family, protocol);
                let service = world.contents.service(talk.vip, protocol);
                world
                    .contents
                    .backend(service, talk.backend, &world.backend_link);
            }
        }
        world
    }

    /// The same services, which send from one local address per family; and one more per protocol, with an IPv6 VIP and
    /// an IPv4 backend.
    #[must_use]
    pub fn with_full_nat(mut self) -> Self {
        self.full_nat = true;
        for protocol in PROTOCOLS {
            let talk = self.nat64(protocol);
            let service = self.contents.service(talk.vip, protocol);
            self.contents
                .backend(service, talk.backend, &self.backend_link);
        }
        let services: Vec<_> = self.contents.services.keys().copied().collect();
        for service in services {
            self.contents.full_nat(service, &[LOCAL4, LOCAL6]);
        }
        self
    }

    /// An IPv6 client of a service with an IPv4 backend.
    pub fn nat64(&self, protocol: Protocol) -> Talk {
        let mut talk = self.talk(Family::V6, protocol);
        let backend = self.talk(Family::V4, protocol).backend;
        talk.vip.set_ip(VIP64);
        talk.backend = SocketAddr::new("10.20.0.64".parse().expect("address"), backend.port());
        talk.seen_as.set_ip(LOCAL4);
        talk
    }

    /// A client of a service.
    pub fn talk(&self, family: Family, protocol: Protocol) -> Talk {
        let (client, vip, backend) = match family {
            Family::V4 => ("192.0.2.7", "203.0.113.10", "10.20.0.1"),
            Family::V6 => ("[2001:db8:c::7]", "[2001:db8:f::10]", "[fd00:20::1]"),
        };
        let (vip_port, backend_port) = match protocol {
            Protocol::TCP => (80, 8080),
            Protocol::SCTP => (2905, 29050),
            _ => (53, 5353),
        };
        let address = |host: &str, port: u16| -> SocketAddr {
            format!("{host}:{port}").parse().expect("socket address")
        };
        let local = match family {
            Family::V4 => LOCAL4,
            Family::V6 => LOCAL6,
        };
        let mut seen_as = address(client, 40_000);
        if self.full_nat {
            seen_as.set_ip(local);
        }
        Talk {
            client: address(client, 40_000),
            seen_as,
            vip: address(vip, vip_port),
            backend: address(backend, backend_port),
            client_link: self.client_link.clone(),
            backend_link: self.backend_link.clone(),
        }
    }

    /// A TCP client.
    pub fn tcp(&self, family: Family) -> Talk {
        self.talk(family, Protocol::TCP)
    }

    /// A UDP client.
    pub fn udp(&self, family: Family) -> Talk {
        self.talk(family, Protocol::UDP)
    }

    /// An SCTP client.
    pub fn sctp(&self, family: Family) -> Talk {
        self.talk(family, Protocol::SCTP)
    }
}

impl Talk {
    /// From another port of the client.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.client.set_port(port);
        self.seen_as.set_port(port);
        self
    }

    /// The client's packet, unchanged, as it comes in.
    pub fn client_sends(&self, segment: &Segment) -> Vec<u8> {
        self.client_link
            .incoming(self.client, self.vip)
            .frame(segment)
    }

    /// The backend's packet, unchanged, as it comes in.
    pub fn backend_sends(&self, segment: &Segment) -> Vec<u8> {
        self.backend_link
            .incoming(self.backend, self.seen_as)
            .frame(segment)
    }

    /// From the client through us to the backend.
    pub fn request(&self, segment: &Segment) -> Crossing {
        let out = self.backend_link.outgoing(self.seen_as, self.backend);
        crossing(
            &self.client_link,
            &self.client_link.incoming(self.client, self.vip),
            &self.backend_link,
            out,
            segment,
        )
    }

    /// From the backend through us to the client.
    pub fn answer(&self, segment: &Segment) -> Crossing {
        let out = self.client_link.outgoing(self.vip, self.client);
        crossing(
            &self.backend_link,
            &self.backend_link.incoming(self.backend, self.seen_as),
            &self.client_link,
            out,
            segment,
        )
    }
}

impl Crossing {
    /// The same packet in fragments of `size` bytes; see [`split`].
    pub fn fragments(&self, size: usize, id: u32) -> Vec<Self> {
        let ways = split(&self.frame, size, id).into_iter();
        ways.zip(split(&self.out, size, id))
            .map(|(frame, out)| Self {
                frame,
                out,
                ..self.clone()
            })
            .collect()
    }

    /// From one wire to another.
    pub fn between(from: &Link, frame: Vec<u8>, to: &Link, out: Vec<u8>) -> Self {
        let exit = if from.interface == to.interface {
            Exit::Transmit
        } else {
            Exit::Redirect
        };
        Self {
            by: from.interface,
            frame,
            exit,
            via: to.interface,
            out,
        }
    }
}

fn crossing(
    from: &Link,
    incoming: &Envelope,
    to: &Link,
    mut out: Envelope,
    segment: &Segment,
) -> Crossing {
    // A packet keeps its priority, tag by tag, whatever VLAN it goes to.
    for (n, tag) in out.tags.iter_mut().enumerate() {
        tag.priority = from.tags.get(n).map_or(0, |tag| tag.priority);
    }
    let out = out.frame(&forwarded(segment, incoming, &out));
    Crossing::between(from, incoming.frame(segment), to, out)
}

/// A segment one hop on; behind the other family's header, if it leaves in that (RFC 7915 §4.1, §5.1).
fn forwarded(segment: &Segment, incoming: &Envelope, out: &Envelope) -> Segment {
    let mut segment = segment.clone().ttl(segment.ttl.wrapping_sub(1));
    if incoming.from.is_ipv4() == out.from.is_ipv4() {
        return segment;
    }
    segment.class = segment
        .class
        .or(Some(if incoming.from.is_ipv4() { 0 } else { 0x28 }));
    segment.extensions.clear();
    segment.options.clear();
    segment.flow_label = 0;
    if out.from.is_ipv4() {
        let frame = out.frame(&segment);
        let total = frame.len() - segment.padding - ip_offset(&frame);
        segment.dont_fragment = total > 1260;
        let checksum = transport_offset(&frame)
            + match segment.transport {
                Transport::Tcp(_) => 16,
                Transport::Udp(_) => 6,
                Transport::Sctp { .. } => 8,
            };
        segment.id = if segment.dont_fragment {
            0
        } else {
            u16::from_be_bytes([frame[checksum], frame[checksum + 1]])
        };
    }
    segment
}
