//! Where a packet is on its way, and the frame it then is.

use std::net::{IpAddr, SocketAddr};

use etherparse::{
    EtherType, Ethernet2Header, IpFragOffset, IpNumber, Ipv4Header, Ipv6Header, SingleVlanHeader,
    UdpHeader, VlanId, VlanPcp,
};

use super::{
    sctp,
    segment::{Segment, Transport, UdpChecksum},
};

/// A MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// A locally administered address for host `n` of network `network`.
    pub const fn local(network: u8, n: u8) -> Self {
        Self([0x02, 0, 0, 0, network, n])
    }
}

/// A VLAN tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// TPID: 0x8100, 0x88a8 or 0x9100.
    pub tpid: u16,
    /// VLAN id; 0 = priority only.
    pub vlan: u16,
    /// Priority, 0..=7.
    pub priority: u8,
}

impl Tag {
    /// A customer tag (802.1Q).
    pub const fn customer(vlan: u16) -> Self {
        Self {
            tpid: 0x8100,
            vlan,
            priority: 0,
        }
    }

    /// A service tag (802.1ad).
    pub const fn service(vlan: u16) -> Self {
        Self {
            tpid: 0x88a8,
            vlan,
            priority: 0,
        }
    }

    /// An outer tag from before 802.1ad.
    pub const fn old_service(vlan: u16) -> Self {
        Self {
            tpid: 0x9100,
            vlan,
            priority: 0,
        }
    }

    /// With a priority.
    #[must_use]
    pub const fn priority(mut self, priority: u8) -> Self {
        self.priority = priority;
        self
    }
}

/// Everything about a packet that forwarding changes, but its TTL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Destination MAC.
    pub to_mac: MacAddress,
    /// Source MAC.
    pub from_mac: MacAddress,
    /// VLAN tags, outer first.
    pub tags: Vec<Tag>,
    /// Source address and port.
    pub from: SocketAddr,
    /// Destination address and port.
    pub to: SocketAddr,
}

impl Envelope {
    /// The frame that carries `segment`, all checksums right.
    ///
    /// # Panics
    /// If the two addresses differ in family, or the segment is too long.
    pub fn frame(&self, segment: &Segment) -> Vec<u8> {
        let (ethertype, packet) = match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => (
                EtherType::IPV4,
                ipv4(from.octets(), to.octets(), self, segment),
            ),
            (IpAddr::V6(from), IpAddr::V6(to)) => (
                EtherType::IPV6,
                ipv6(from.octets(), to.octets(), self, segment),
            ),
            (from, to) => panic!("{from} and {to} are of different families"),
        };
        let mut frame = self.link(ethertype);
        frame.extend(packet);
        frame.resize(frame.len() + segment.padding, 0xa5);
        frame
    }

    /// Ethernet header and tags, in front of `ethertype`.
    pub(super) fn link(&self, ethertype: EtherType) -> Vec<u8> {
        let tpid = |n: usize| self.tags.get(n).map(|tag| EtherType(tag.tpid));
        let mut link = Ethernet2Header {
            source: self.from_mac.0,
            destination: self.to_mac.0,
            ether_type: tpid(0).unwrap_or(ethertype),
        }
        .to_bytes()
        .to_vec();
        for (n, tag) in self.tags.iter().enumerate() {
            let header = SingleVlanHeader {
                pcp: VlanPcp::try_new(tag.priority).expect("priority"),
                drop_eligible_indicator: false,
                vlan_id: VlanId::try_new(tag.vlan).expect("VLAN id"),
                ether_type: tpid(n + 1).unwrap_or(ethertype),
            };
            link.extend(header.to_bytes());
        }
        link
    }
}

fn ipv4(from: [u8; 4], to: [u8; 4], envelope: &Envelope, segment: &Segment) -> Vec<u8> {
    let (protocol, body) = transport(envelope, segment);
    let length = u16::try_from(body.len()).expect("packet length");
    let mut header = Ipv4Header::new(length, segment.ttl, protocol, from, to).expect("length");
    header.identification = segment.id;
    header.dont_fragment = segment.dont_fragment;
    let class = segment.class.unwrap_or(0);
    header.dscp = (class >> 2).try_into().expect("6 bits");
    header.ecn = (class & 3).try_into().expect("2 bits");
    header.options = segment.options.as_slice().try_into().expect("IPv4 options");
    header.total_len += u16::try_from(segment.options.len()).expect("at most 40");
    if let Some(fragment) = segment.fragment {
        header.dont_fragment = false;
        header.more_fragments = fragment.more;
        header.fragment_offset = IpFragOffset::try_new(fragment.offset).expect("offset");
    }
    header.header_checksum = header.calc_header_checksum();
    let mut packet = header.to_bytes().to_vec();
    packet.extend(body);
    packet
}

fn ipv6(from: [u8; 16], to: [u8; 16], envelope: &Envelope, segment: &Segment) -> Vec<u8> {
    let (protocol, body) = transport(envelope, segment);
    let kind = |n: usize| segment.extensions.get(n).map(|extension| extension.kind);
    let extensions: usize = segment.extensions.iter().map(|e| e.bytes.len()).sum();
    let header = Ipv6Header {
        traffic_class: segment.class.unwrap_or(0x28),
        flow_label: segment.flow_label.try_into().expect("20 bits"),
        payload_length: u16::try_from(extensions + body.len()).expect("packet length"),
        next_header: kind(0).map_or(protocol, IpNumber),
        hop_limit: segment.ttl,
        source: from,
        destination: to,
    };
    let mut packet = header.to_bytes().to_vec();
    for (n, extension) in segment.extensions.iter().enumerate() {
        packet.push(kind(n + 1).unwrap_or(protocol.0));
        packet.extend(&extension.bytes[1..]);
    }
    packet.extend(body);
    packet
}

/// Transport header and payload, checksummed.
fn transport(envelope: &Envelope, segment: &Segment) -> (IpNumber, Vec<u8>) {
    let (from, to) = (envelope.from, envelope.to);
    match &segment.transport {
        Transport::Tcp(header) => {
            let mut header = (**header).clone();
            header.source_port = from.port();
            header.destination_port = to.port();
            header.checksum = tcp_checksum(&header, from.ip(), to.ip(), &segment.payload);
            let mut body = header.to_bytes().to_vec();
            body.extend(&segment.payload);
            (IpNumber::TCP, body)
        }
        Transport::Udp(checksum) => {
            let mut header = UdpHeader {
                source_port: from.port(),
                destination_port: to.port(),
                length: u16::try_from(8 + segment.payload.len()).expect("datagram length"),
                checksum: 0,
            };
            if *checksum == UdpChecksum::Computed {
                header.checksum = udp_checksum(&header, from.ip(), to.ip(), &segment.payload);
            }
            let mut body = header.to_bytes().to_vec();
            body.extend(&segment.payload);
            (IpNumber::UDP, body)
        }
        Transport::Sctp { tag, flaw } => {
            let ports = [from.port(), to.port()];
            let body = sctp::packet(ports, *tag, &segment.payload, *flaw);
            (IpNumber::SCTP, body)
        }
    }
}

/// The checksum a TCP header should have.
pub(super) fn tcp_checksum(
    header: &etherparse::TcpHeader,
    from: IpAddr,
    to: IpAddr,
    payload: &[u8],
) -> u16 {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            header.calc_checksum_ipv4_raw(from.octets(), to.octets(), payload)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            header.calc_checksum_ipv6_raw(from.octets(), to.octets(), payload)
        }
        (from, to) => panic!("{from} and {to} are of different families"),
    }
    .expect("segment length")
}

/// The checksum a UDP header should have; 0xffff where it comes out as 0.
pub(super) fn udp_checksum(header: &UdpHeader, from: IpAddr, to: IpAddr, payload: &[u8]) -> u16 {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            header.calc_checksum_ipv4_raw(from.octets(), to.octets(), payload)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            header.calc_checksum_ipv6_raw(from.octets(), to.octets(), payload)
        }
        (from, to) => panic!("{from} and {to} are of different families"),
    }
    .expect("datagram length")
}
