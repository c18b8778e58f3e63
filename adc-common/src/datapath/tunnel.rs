//! Encapsulation towards a backend: IP in IP of any two families (RFC 2003, RFC 2473, RFC 4213), and GUE variant 1
//! (draft-ietf-intarea-gue-09 §4): UDP with the packet itself as its payload, no header between.

use super::{
    checksum::{self, Delta},
    deliver::{link_length, write_link},
    family::{Family, Outline},
    hash::flow_hash,
    ports::{PacketBuf, Tables},
    scratch::{Delivery, Seen},
    wire::{ETHERTYPE_IPV4, ETHERTYPE_IPV6},
};
use crate::abi::{Addr4, Addr6, BackendEntry, HashOn, Port, Protocol, Reason};

/// TTL of outer packets: what Linux starts with.
const TTL: u8 = 64;

/// Bytes of a UDP header.
const UDP: u32 = 8;

/// No IPv6 link has a smaller MTU (RFC 8200 §5), and nobody can be asked for smaller packets.
const IPV6_MIN_MTU: u32 = 1280;

/// First of the ports that are for dynamic use (RFC 6335 §6): GUE wants the flow's entropy there.
const FIRST_SOURCE_PORT: u16 = 0xc000;

/// The outer packet.
struct Outer {
    /// Bytes, headers and all.
    length: u32,
    /// What is carried: an IP protocol number.
    carries: u8,
    traffic_class: u8,
    may_fragment: bool,
    id: u16,
    /// Of the inner flow, the same for all its packets.
    hash: u32,
}

/// Bytes that reaching this backend adds to a packet.
#[inline(always)]
pub(super) fn overhead(backend: &BackendEntry) -> u32 {
    let ip = if backend.address.v4().is_some() {
        Addr4::HEADER
    } else {
        Addr6::HEADER
    };
    if is_gue(backend) { ip + UDP } else { ip }
}

#[inline(always)]
fn is_gue(backend: &BackendEntry) -> bool {
    backend.tunnel_port != Port([0, 0])
}

/// Wraps the packet, its TTL one lower, and addresses the frame. Nothing is changed if it is refused, unless the
/// driver refuses to move the head.
#[inline(never)]
pub(super) fn encapsulate<A, P, T>(
    packet: &mut P,
    tables: &T,
    seen: &Seen<A>,
    delivery: &mut Delivery<A>,
) -> Result<(), Reason>
where
    A: Family,
    P: PacketBuf,
    T: Tables,
{
    let egress = tables
        .interface(delivery.hop.interface)
        .ok_or(Reason::InterfaceUnset)?;
    let backend = tables
        .backend(delivery.backend)
        .ok_or(Reason::BackendUnset)?;
    // A flow may be older than the mode of its service.
    if backend.tunnel_source.is_unset() {
        return Err(Reason::NextHopUnresolved);
    }
    let inner = A::outline(packet, seen.frame.network()).ok_or(Reason::TruncatedIp)?;
    let overhead = overhead(backend);
    fits::<A>(&inner, overhead, egress.mtu, &mut delivery.mtu)?;
    let hash = flow_hash(&seen.key.tuple, seen.key.protocol, HashOn::FIVE_TUPLE, 0);
    let outer = Outer {
        length: inner.length + overhead,
        carries: if is_gue(backend) {
            Protocol::UDP.0
        } else {
            A::CARRIED_AS
        },
        traffic_class: inner.traffic_class,
        may_fragment: inner.may_fragment,
        id: inner.id ^ low_half(hash),
        hash,
    };
    wrap(packet, seen, delivery, egress.mac, backend, &outer).ok_or(Reason::HeadroomError)
}

/// The reason for a packet whose sender is not told that it was too big: an ICMP error, or a later fragment.
#[inline(always)]
pub(super) fn untold(refusal: Reason) -> Reason {
    if refusal == Reason::PacketTooBig {
        Reason::NeedsFragmenting
    } else {
        refusal
    }
}

/// Whether the packet fits; else why not, and if its sender can be told, what would have.
#[inline(always)]
pub(super) fn fits<A: Family>(
    inner: &Outline,
    overhead: u32,
    mtu: u32,
    largest: &mut u32,
) -> Result<(), Reason> {
    if mtu == 0 || inner.length + overhead <= mtu {
        return Ok(());
    }
    too_big::<A>(inner, mtu.saturating_sub(overhead), largest)
}

/// Why a packet that has room for `room` bytes only can not go on.
#[inline(always)]
fn too_big<A: Family>(inner: &Outline, room: u32, largest: &mut u32) -> Result<(), Reason> {
    if inner.may_fragment || A::HEADER == Addr6::HEADER && room < IPV6_MIN_MTU {
        return Err(Reason::NeedsFragmenting);
    }
    *largest = room;
    Err(Reason::PacketTooBig)
}

#[inline(always)]
fn wrap<A: Family, P: PacketBuf>(
    packet: &mut P,
    seen: &Seen<A>,
    delivery: &Delivery<A>,
    src_mac: crate::abi::Mac,
    backend: &BackendEntry,
    outer: &Outer,
) -> Option<()> {
    let start = link_length(&delivery.hop);
    let inner_start = start + overhead(backend) as usize;
    if !packet.grow_head(inner_start - seen.frame.network()) {
        return None;
    }
    A::rewrite(packet, inner_start, &seen.key.tuple, Delta::of_word(0))?;
    let ethertype = if backend.address.v4().is_some() {
        write_ipv4(packet, start, backend, outer)?;
        ETHERTYPE_IPV4
    } else {
        write_ipv6(packet, start, backend, outer)?;
        ETHERTYPE_IPV6
    };
    if is_gue(backend) {
        let length = outer.length - (overhead(backend) - UDP);
        write_udp(
            packet,
            inner_start - UDP as usize,
            backend,
            length,
            outer.hash,
        )?;
    }
    write_link(
        packet,
        &seen.frame,
        &delivery.hop,
        src_mac,
        start,
        ethertype,
    )
}

/// DSCP and ECN as inside: RFC 2983's uniform model, RFC 6040 §4.1's normal mode. DF as inside, so that what may not be
/// fragmented is not (RFC 2003 §3.1); an IPv6 packet never may.
#[inline(always)]
fn write_ipv4<P: PacketBuf>(
    packet: &mut P,
    offset: usize,
    backend: &BackendEntry,
    outer: &Outer,
) -> Option<()> {
    let source = backend.tunnel_source.v4()?.0;
    let destination = backend.address.v4()?.0;
    let [length_high, length_low] = low_half(outer.length).to_be_bytes();
    let [id_high, id_low] = outer.id.to_be_bytes();
    let flags = if outer.may_fragment { 0 } else { 0x40 };
    let first = u32::from_ne_bytes([0x45, outer.traffic_class, length_high, length_low]);
    let second = u32::from_ne_bytes([id_high, id_low, flags, 0]);
    let third = u32::from_ne_bytes([TTL, outer.carries, 0, 0]);
    let sum = Delta::of_word(first)
        .plus(Delta::of_word(second))
        .plus(Delta::of_word(third))
        .plus(Delta::of_word(u32::from_ne_bytes(source)))
        .plus(Delta::of_word(u32::from_ne_bytes(destination)));
    let [check_high, check_low] = checksum::of(sum);
    packet.set_header(offset, &first.to_ne_bytes())?;
    packet.set_header(offset + 4, &second.to_ne_bytes())?;
    packet.set_header(offset + 8, &[TTL, outer.carries, check_high, check_low])?;
    packet.set_header(offset + 12, &source)?;
    packet.set_header(offset + 16, &destination)
}

/// The flow label keeps a flow on one of several equal paths (RFC 6438).
#[inline(always)]
fn write_ipv6<P: PacketBuf>(
    packet: &mut P,
    offset: usize,
    backend: &BackendEntry,
    outer: &Outer,
) -> Option<()> {
    let first = 6 << 28 | u32::from(outer.traffic_class) << 20 | outer.hash & 0x000f_ffff;
    let [length_high, length_low] = low_half(outer.length - Addr6::HEADER).to_be_bytes();
    packet.set_header(offset, &first.to_be_bytes())?;
    packet.set_header(offset + 4, &[length_high, length_low, outer.carries, TTL])?;
    packet.set_header(offset + 8, &backend.tunnel_source.0)?;
    packet.set_header(offset + 24, &backend.address.0)
}

/// Without a checksum, also in IPv6, where RFC 6935 and RFC 6936 allow that for tunnels: the packet inside has its own.
#[inline(always)]
fn write_udp<P: PacketBuf>(
    packet: &mut P,
    offset: usize,
    backend: &BackendEntry,
    length: u32,
    hash: u32,
) -> Option<()> {
    let [source_high, source_low] = (FIRST_SOURCE_PORT | low_half(hash)).to_be_bytes();
    let Port([port_high, port_low]) = backend.tunnel_port;
    let [length_high, length_low] = low_half(length).to_be_bytes();
    packet.set_header(offset, &[source_high, source_low, port_high, port_low])?;
    packet.set_header(offset + 4, &[length_high, length_low, 0, 0])
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "half of it is wanted")]
const fn low_half(word: u32) -> u16 {
    word as u16
}
