//! NAT64: a packet that leaves in the other family's header (RFC 7915).
//!
//! Both directions of such a flow stand in the IPv6 tables, IPv4 addresses v4-mapped. A v4-mapped address sums to
//! the same as its IPv4 address (0xffff is zero in one's complement), and length and protocol weigh the same in
//! both pseudo-headers, so the transport checksum follows from the tuples as it does within one family.

use core::mem::MaybeUninit;

use super::{
    checksum::{self, Delta},
    deliver::{link_length, udp_checksum, write_link},
    family::Family,
    parse::Frame,
    ports::PacketBuf,
    scratch::{Delivery, Seen},
    translate_piece,
    wire::{FragmentHeader, Ports, SCTP_CHECKSUM, TCP_CHECKSUM, UDP_CHECKSUM},
};
use crate::abi::{Addr4, Addr6, Addr16, InterfaceEntry, Protocol, Reason};
use network_types::{
    ip::{Ipv4Hdr, Ipv6Hdr},
    tcp::TcpHdr,
    udp::UdpHdr,
};

pub(super) const IPV4: usize = size_of::<Ipv4Hdr>();
pub(super) const IPV6: usize = size_of::<Ipv6Hdr>();
pub(super) const FRAGMENT: usize = size_of::<FragmentHeader>();

/// "Don't fragment" in the word of flags and fragment offset (RFC 791 §3.1).
const DONT_FRAGMENT: [u8; 2] = [0x40, 0];

/// Largest IPv4 packet that may be fragmented later: what fits an IPv6 packet of the minimum MTU (RFC 7915 §5.1).
const MAY_FRAGMENT: usize = 1260;

/// What an IP header says, but for the addresses.
#[derive(Clone, Copy)]
pub(super) struct Header {
    /// Type of service, or traffic class.
    pub(super) class: u8,
    /// Bytes behind it: the TCP segment or UDP datagram.
    pub(super) payload: usize,
}

/// Replaces the IP header of a packet that was checked to be well-formed, and writes all others.
#[inline(never)]
pub(super) fn rewrite<P: PacketBuf>(
    packet: &mut P,
    seen: &Seen<Addr6>,
    delivery: &mut Delivery<Addr6>,
    egress: &InterfaceEntry,
) -> Result<(), Reason> {
    if seen.frame.fragment != 0 {
        return translate_piece::rewrite(packet, seen, delivery, egress);
    }
    let mapped = |address: Addr6| Addr16(address.0).v4();
    let (from, to) = (&seen.key.tuple, &delivery.to);
    let (src, dst) = (mapped(to.src), mapped(to.dst));
    match (mapped(from.src), mapped(from.dst), src, dst) {
        (None, None, Some(src), Some(dst)) => to_ipv4(packet, seen, delivery, egress, [src, dst]),
        (Some(_), Some(_), None, None) => to_ipv6(packet, seen, delivery, egress),
        _ => Err(Reason::BadIpHeader),
    }
}

/// RFC 7915 §5.1. Extension headers are left behind.
#[inline(always)]
fn to_ipv4<P: PacketBuf>(
    packet: &mut P,
    seen: &Seen<Addr6>,
    delivery: &Delivery<Addr6>,
    egress: &InterfaceEntry,
    ends: [Addr4; 2],
) -> Result<(), Reason> {
    let header = ipv6_header(packet, &seen.frame).ok_or(Reason::BadIpHeader)?;
    let transport = seen.frame.transport();
    let check =
        transport_checksum(packet, transport, seen, delivery).ok_or(Reason::BadTransportHeader)?;
    let total = header.payload + IPV4;
    let network = link_length(&delivery.hop);
    let (id, frags) = identification(total, check);
    let ip = ipv4(Head {
        class: header.class,
        total,
        id,
        frags,
        hop_limit: seen.frame.hop_limit.wrapping_sub(1),
        protocol: seen.key.protocol,
        ends,
    });
    let written = move_front(packet, seen.frame.transport(), network + IPV4)
        .and_then(|()| write_transport(packet, network + IPV4, seen, delivery, check))
        .and_then(|()| packet.set_header(network, &ip))
        .and_then(|()| relink::<Addr4, _>(packet, seen, delivery, egress, network));
    written.ok_or(Reason::HeadroomError)
}

/// RFC 7915 §4.1. IPv4 options are left behind.
#[inline(always)]
fn to_ipv6<P: PacketBuf>(
    packet: &mut P,
    seen: &Seen<Addr6>,
    delivery: &Delivery<Addr6>,
    egress: &InterfaceEntry,
) -> Result<(), Reason> {
    let header = ipv4_header(packet, &seen.frame).ok_or(Reason::BadIpHeader)?;
    if header.payload + IPV6 > egress.mtu as usize {
        return Err(Reason::TooBigForIpv6);
    }
    let transport = seen.frame.transport();
    let check =
        transport_checksum(packet, transport, seen, delivery).ok_or(Reason::BadTransportHeader)?;
    if seen.key.protocol == Protocol::UDP && check == [0, 0] {
        return Err(Reason::UdpWithoutChecksum);
    }
    let network = link_length(&delivery.hop);
    let ip = Ipv6Hdr {
        vcf: version6(header.class),
        payload_len: length16(header.payload),
        next_hdr: seen.key.protocol.0,
        hop_limit: seen.frame.hop_limit.wrapping_sub(1),
        src_addr: delivery.to.src.0,
        dst_addr: delivery.to.dst.0,
    };
    let written = move_front(packet, seen.frame.transport(), network + IPV6)
        .and_then(|()| write_transport(packet, network + IPV6, seen, delivery, check))
        .and_then(|()| packet.set_header(network, &ip))
        .and_then(|()| relink::<Addr6, _>(packet, seen, delivery, egress, network));
    written.ok_or(Reason::HeadroomError)
}

/// `None` for an IPv4 packet: a flow may be looked up by v4-mapped addresses that came in an IPv6 header.
#[inline(always)]
pub(super) fn ipv6_header<P: PacketBuf>(packet: &P, frame: &Frame) -> Option<Header> {
    let mut ip = MaybeUninit::<Ipv6Hdr>::uninit();
    let ip = packet.header(frame.network(), &mut ip)?;
    let [first, second, ..] = ip.vcf;
    let upper = frame.transport().checked_sub(frame.network() + IPV6)?;
    let payload = usize::from(u16::from_be_bytes(ip.payload_len)).checked_sub(upper)?;
    (first >> 4 == 6).then_some(Header {
        class: first << 4 | second >> 4,
        payload,
    })
}

/// `None` for an IPv6 packet.
#[inline(always)]
pub(super) fn ipv4_header<P: PacketBuf>(packet: &P, frame: &Frame) -> Option<Header> {
    let mut ip = MaybeUninit::<Ipv4Hdr>::uninit();
    let ip = packet.header(frame.network(), &mut ip)?;
    let own = frame.transport().checked_sub(frame.network())?;
    let payload = usize::from(u16::from_be_bytes(ip.tot_len)).checked_sub(own)?;
    (ip.vihl >> 4 == 4).then_some(Header {
        class: ip.tos,
        payload,
    })
}

/// The transport checksum that the packet will have. Zero for a datagram that has none.
#[inline(always)]
pub(super) fn transport_checksum<P: PacketBuf>(
    packet: &P,
    at: usize,
    seen: &Seen<Addr6>,
    delivery: &Delivery<Addr6>,
) -> Option<[u8; 2]> {
    let (from, to) = (&seen.key.tuple, &delivery.to);
    let change = Delta::of_addresses(from, to).plus(Delta::of_port_change(from, to));
    if seen.key.protocol == Protocol::TCP {
        let mut header = MaybeUninit::<TcpHdr>::uninit();
        Some(checksum::apply(
            packet.header(at, &mut header)?.check,
            change,
        ))
    } else if seen.key.protocol == Protocol::SCTP {
        // Not all of it, see `write_transport`: enough to identify a packet by.
        let [a, b, ..] = delivery.crc;
        Some([a, b])
    } else {
        let mut header = MaybeUninit::<UdpHdr>::uninit();
        Some(udp_checksum(packet.header(at, &mut header)?.check, change))
    }
}

/// Moves the front of the packet so that what stood at `before` stands at `after`.
#[inline(always)]
pub(super) fn move_front<P: PacketBuf>(packet: &mut P, before: usize, after: usize) -> Option<()> {
    let moved = if after > before {
        packet.grow_head(after - before)
    } else {
        after == before || packet.shrink_head(before - after)
    };
    moved.then_some(())
}

/// Identification and flags of an IPv4 packet of `total` bytes. Any identification will do for a packet that is never
/// fragmented (RFC 6864 §4.1); for the others it should differ from packet to packet, as the `check`sum of different ones does.
#[inline(always)]
pub(super) const fn identification(total: usize, check: [u8; 2]) -> ([u8; 2], [u8; 2]) {
    if total <= MAY_FRAGMENT {
        (check, [0, 0])
    } else {
        ([0, 0], DONT_FRAGMENT)
    }
}

/// What an IPv4 header without options says.
#[derive(Clone, Copy)]
pub(super) struct Head {
    /// Type of service.
    pub(super) class: u8,
    /// Bytes of the packet.
    pub(super) total: usize,
    pub(super) id: [u8; 2],
    /// Flags and fragment offset.
    pub(super) frags: [u8; 2],
    pub(super) hop_limit: u8,
    pub(super) protocol: Protocol,
    /// Source and destination.
    pub(super) ends: [Addr4; 2],
}

/// The header, with its checksum.
#[inline(always)]
pub(super) const fn ipv4(head: Head) -> Ipv4Hdr {
    let [src, dst] = head.ends;
    let mut ip = Ipv4Hdr {
        vihl: 0x45,
        tos: head.class,
        tot_len: length16(head.total),
        id: head.id,
        frags: head.frags,
        ttl: head.hop_limit,
        proto: head.protocol.0,
        check: [0xff, 0xff],
        src_addr: src.0,
        dst_addr: dst.0,
    };
    ip.check = checksum::apply(ip.check, sum(&ip));
    ip
}

/// The first word of an IPv6 header, without a flow label.
#[inline(always)]
pub(super) const fn version6(class: u8) -> [u8; 4] {
    [0x60 | class >> 4, class << 4, 0, 0]
}

/// Where a packet goes from and to, if that is in IPv4.
#[inline(always)]
pub(super) fn mapped_ends(delivery: &Delivery<Addr6>) -> Option<[Addr4; 2]> {
    let to = &delivery.to;
    match (Addr16(to.src.0).v4(), Addr16(to.dst.0).v4()) {
        (Some(src), Some(dst)) => Some([src, dst]),
        _ => None,
    }
}

/// Writes what is in front of an IP header of family `A` at `network`.
#[inline(always)]
pub(super) fn relink<A: Family, P: PacketBuf>(
    packet: &mut P,
    seen: &Seen<Addr6>,
    delivery: &Delivery<Addr6>,
    egress: &InterfaceEntry,
    network: usize,
) -> Option<()> {
    let hop = &delivery.hop;
    write_link(packet, &seen.frame, hop, egress.mac, network, A::ETHERTYPE)
}

#[inline(always)]
pub(super) fn write_transport<P: PacketBuf>(
    packet: &mut P,
    transport: usize,
    seen: &Seen<Addr6>,
    delivery: &Delivery<Addr6>,
    check: [u8; 2],
) -> Option<()> {
    let ports = Ports {
        source: delivery.to.sport.0,
        dest: delivery.to.dport.0,
    };
    packet.set_header(transport, &ports)?;
    if seen.key.protocol == Protocol::SCTP {
        return packet.set_header(transport + SCTP_CHECKSUM, &delivery.crc);
    }
    let offset = if seen.key.protocol == Protocol::TCP {
        TCP_CHECKSUM
    } else {
        UDP_CHECKSUM
    };
    packet.set_header(transport + offset, &check)
}

/// The sum of a header whose checksum field is 0xffff, which is zero.
#[inline(always)]
const fn sum(ip: &Ipv4Hdr) -> Delta {
    const fn word(a: [u8; 2], b: [u8; 2]) -> Delta {
        Delta::of_word(u32::from_ne_bytes([a[0], a[1], b[0], b[1]]))
    }
    word([ip.vihl, ip.tos], ip.tot_len)
        .plus(word(ip.id, ip.frags))
        .plus(word([ip.ttl, ip.proto], [0, 0]))
        .plus(Delta::of_word(u32::from_ne_bytes(ip.src_addr)))
        .plus(Delta::of_word(u32::from_ne_bytes(ip.dst_addr)))
}

/// A length as headers have it. It was read from one, and a header of 20 or 40 bytes changed places.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "a frame, which is no longer than 64 KiB, holds it"
)]
pub(super) const fn length16(length: usize) -> [u8; 2] {
    (length as u16).to_be_bytes()
}
