//! Rewrites a packet and sends it. Everything that can fail is checked before the first byte changes.

use core::mem::MaybeUninit;

use super::{
    checksum::{self, Delta},
    direct,
    family::Family,
    mss,
    parse::Frame,
    ports::{PacketBuf, Tables},
    preface,
    scratch::{Delivery, Scratch, Seen},
    sctp, translate, tunnel,
    verdict::{Action, Verdict},
    wire::{
        EthernetHeader, Ports, SCTP_CHECKSUM, TCP_CHECKSUM, UDP_CHECKSUM, VlanTag, VlanTags,
        tcp_flags::SYN,
    },
};
use crate::abi::{
    Addr4, Addr6, BackendCounters, FlowFlags, Hop, InterfaceEntry, Mac, Protocol, Reason,
    ReasonClass, VlanId,
};
use network_types::{tcp::TcpHdr, udp::UdpHdr};

/// Priority and drop-eligible bits of a TCI: kept across VLANs.
const TCI_PRIORITY: u16 = 0xf000;

/// A family whose packets can be rewritten: within it, or into the other one.
pub(super) trait Rewrite: Family {
    /// Writes the whole packet anew; when this fails, nothing has been written.
    fn rewrite_packet<P: PacketBuf>(
        packet: &mut P,
        seen: &Seen<Self>,
        delivery: &mut Delivery<Self>,
        egress: &InterfaceEntry,
    ) -> Result<(), Reason>;
}

impl Rewrite for Addr4 {
    #[inline(always)]
    fn rewrite_packet<P: PacketBuf>(
        packet: &mut P,
        seen: &Seen<Self>,
        delivery: &mut Delivery<Self>,
        egress: &InterfaceEntry,
    ) -> Result<(), Reason> {
        rewrite(packet, seen, delivery, egress.mac).ok_or(Reason::HeadroomError)
    }
}

impl Rewrite for Addr6 {
    #[inline(always)]
    fn rewrite_packet<P: PacketBuf>(
        packet: &mut P,
        seen: &Seen<Self>,
        delivery: &mut Delivery<Self>,
        egress: &InterfaceEntry,
    ) -> Result<(), Reason> {
        if delivery.crosses != 0 {
            return translate::rewrite(packet, seen, delivery, egress);
        }
        rewrite(packet, seen, delivery, egress.mac).ok_or(Reason::HeadroomError)
    }
}

/// Sends the packet as decided; the error is why it goes no further.
#[inline(always)]
pub(super) fn deliver<A: Rewrite, P: PacketBuf, T: Tables>(
    packet: &mut P,
    tables: &T,
    scratch: &mut Scratch<A>,
    reason: Reason,
) -> Result<Verdict, Reason> {
    let Scratch {
        seen,
        delivery,
        front,
        ..
    } = scratch;
    let bytes = packet.length() as u64;
    let egress = prepare(tables, &seen.frame, delivery)?;
    if seen.frame.flags & SYN != 0 {
        let _no_option = mss::clamp(packet, tables, seen, delivery);
    }
    if delivery.direct.contains(FlowFlags::PREFACE) {
        preface::apply(packet, seen, delivery, front, egress.mtu)?;
    }
    let same = egress.ifindex == packet.ingress_ifindex();
    if seen.key.protocol == Protocol::SCTP {
        sctp::seal(packet, seen, delivery);
    }
    if delivery.direct.contains(FlowFlags::TUNNEL) {
        tunnel::encapsulate(packet, tables, seen, delivery)?;
    } else {
        // What came in by an interface fits it, and in skb mode GRO may make one packet of several. What changes its
        // family changes its size too, and knows better.
        if !same && packet.length() - seen.frame.network() > egress.mtu as usize {
            fits(packet, seen, delivery, egress.mtu)?;
        }
        A::rewrite_packet(packet, seen, delivery, egress)?;
    }
    count_delivery(tables, delivery, bytes);
    Ok(leave(packet, egress, delivery, reason))
}

/// The verdict of a packet that was rewritten.
#[inline(always)]
fn leave<A, P: PacketBuf>(
    packet: &P,
    egress: &InterfaceEntry,
    delivery: &Delivery<A>,
    reason: Reason,
) -> Verdict {
    let same = egress.ifindex == packet.ingress_ifindex();
    let action = if same {
        Action::Transmit
    } else {
        Action::Redirect(delivery.hop.interface)
    };
    Verdict { reason, action }
}

/// Whether a frame that is longer than the MTU carries a packet that is.
#[inline(never)]
fn fits<A: Family, P: PacketBuf>(
    packet: &P,
    seen: &Seen<A>,
    delivery: &mut Delivery<A>,
    mtu: u32,
) -> Result<(), Reason> {
    if delivery.crosses != 0 {
        return Ok(());
    }
    let outline = A::outline(packet, seen.frame.network()).ok_or(Reason::TruncatedIp)?;
    tunnel::fits::<A>(&outline, 0, mtu, &mut delivery.mtu)
}

/// The verdict of a packet that was judged, and if it goes on rewritten, out of line.
#[inline(always)]
pub(super) fn settle<A, P: PacketBuf, T: Tables>(
    packet: &P,
    tables: &T,
    delivery: &Delivery<A>,
    reason: Reason,
) -> Verdict {
    match (reason.class(), tables.interface(delivery.hop.interface)) {
        (ReasonClass::Forwarded, Some(egress)) => leave(packet, egress, delivery, reason),
        (ReasonClass::Forwarded | ReasonClass::Passed | ReasonClass::Dropped, _) => {
            Verdict::stay(reason)
        }
    }
}

/// Counts a packet of `bytes` as it came.
#[inline(always)]
pub(super) fn count_delivery<A, T: Tables>(tables: &T, delivery: &Delivery<A>, bytes: u64) {
    tables.count_backend(delivery.backend, |backend| {
        count_packet(backend, delivery.reply != 0, bytes);
    });
}

#[inline(always)]
fn count_packet(backend: &mut BackendCounters, reply: bool, bytes: u64) {
    if reply {
        backend.reply_packets = backend.reply_packets.wrapping_add(1);
        backend.reply_bytes = backend.reply_bytes.wrapping_add(bytes);
    } else {
        backend.forward_packets = backend.forward_packets.wrapping_add(1);
        backend.forward_bytes = backend.forward_bytes.wrapping_add(bytes);
    }
}

/// The interface to leave by, if the packet may leave.
#[inline(always)]
pub(super) fn prepare<'t, A: Family, T: Tables>(
    tables: &'t T,
    frame: &Frame,
    delivery: &Delivery<A>,
) -> Result<&'t InterfaceEntry, Reason> {
    if frame.hop_limit <= 1 {
        return Err(Reason::TtlExceeded);
    }
    tables
        .interface(delivery.hop.interface)
        .ok_or(Reason::InterfaceUnset)
}

/// Writes the packet anew, in the header it came in.
#[inline(always)]
pub(super) fn rewrite<A: Family, P: PacketBuf>(
    packet: &mut P,
    seen: &Seen<A>,
    delivery: &Delivery<A>,
    src_mac: Mac,
) -> Option<()> {
    let frame = &seen.frame;
    let from = &seen.key.tuple;
    let to = &delivery.to;
    let shift = resize_link(packet, frame, &delivery.hop)?;
    let network = frame.network().wrapping_add_signed(shift);
    let transport = frame.transport().wrapping_add_signed(shift);
    if direct::is_direct(delivery.direct) {
        // Nothing changes but the TTL.
        A::rewrite(packet, network, to, Delta::of_word(0))?;
        return write_link(packet, frame, &delivery.hop, src_mac, network, A::ETHERTYPE);
    }
    let addresses = Delta::of_addresses(from, to);
    let change = addresses.plus(Delta::of_port_change(from, to));
    let ports = Ports {
        source: to.sport.0,
        dest: to.dport.0,
    };
    A::rewrite(packet, network, to, addresses)?;
    if seen.key.protocol == Protocol::TCP {
        let mut header = MaybeUninit::<TcpHdr>::uninit();
        let check = packet.header(transport, &mut header)?.check;
        packet.set_header(transport, &ports)?;
        packet.set_header(transport + TCP_CHECKSUM, &checksum::apply(check, change))?;
    } else if seen.key.protocol == Protocol::UDP {
        let mut header = MaybeUninit::<UdpHdr>::uninit();
        let check = packet.header(transport, &mut header)?.check;
        packet.set_header(transport, &ports)?;
        packet.set_header(transport + UDP_CHECKSUM, &udp_checksum(check, change))?;
    } else {
        packet.set_header(transport, &ports)?;
        packet.set_header(transport + SCTP_CHECKSUM, &delivery.crc)?;
    }
    write_link(packet, frame, &delivery.hop, src_mac, network, A::ETHERTYPE)
}

/// Rewrites a packet whose transport header is elsewhere: a fragment after the first.
#[inline(always)]
pub(super) fn readdress<A: Family, P: PacketBuf, T: Tables>(
    packet: &mut P,
    tables: &T,
    seen: &Seen<A>,
    delivery: &Delivery<A>,
    src_mac: Mac,
) -> Option<()> {
    let bytes = packet.length() as u64;
    let shift = resize_link(packet, &seen.frame, &delivery.hop)?;
    let network = seen.frame.network().wrapping_add_signed(shift);
    let (from, to) = (&seen.key.tuple, &delivery.to);
    let addresses = Delta::of_addresses(from, to);
    A::rewrite(packet, network, to, addresses)?;
    write_link(
        packet,
        &seen.frame,
        &delivery.hop,
        src_mac,
        network,
        A::ETHERTYPE,
    )?;
    count_delivery(tables, delivery, bytes);
    Some(())
}

/// RFC 768: 0 means "no checksum" and stays; a sum that comes out as 0 is sent as 0xffff.
#[inline(always)]
pub(super) fn udp_checksum(check: [u8; 2], change: Delta) -> [u8; 2] {
    if check == [0, 0] {
        return check;
    }
    match checksum::apply(check, change) {
        [0, 0] => [0xff, 0xff],
        sum => sum,
    }
}

/// Bytes of Ethernet header and tags that a hop wants.
#[inline(always)]
pub(super) const fn link_length(hop: &Hop) -> usize {
    let tags = match (hop.vlan, hop.inner_vlan) {
        (VlanId::NONE, _) => 0,
        (_, VlanId::NONE) => 1,
        _ => 2,
    };
    size_of::<EthernetHeader>() + tags * size_of::<VlanTag>()
}

/// Makes room for, or takes away, VLAN tags. Returns how far the layers above moved.
#[inline(always)]
pub(super) fn resize_link<P: PacketBuf>(packet: &mut P, frame: &Frame, hop: &Hop) -> Option<isize> {
    let wanted = link_length(hop);
    if wanted == frame.network() {
        return Some(0);
    }
    let moved = if wanted > frame.network() {
        packet.grow_head(wanted - frame.network())
    } else {
        packet.shrink_head(frame.network() - wanted)
    };
    moved.then_some(wanted.cast_signed() - frame.network().cast_signed())
}

/// Writes MACs and tags; `network` is where the IP header now starts.
#[inline(always)]
pub(super) fn write_link<P: PacketBuf>(
    packet: &mut P,
    frame: &Frame,
    hop: &Hop,
    src_mac: Mac,
    network: usize,
    ethertype: [u8; 2],
) -> Option<()> {
    const UNTAGGED: usize = size_of::<EthernetHeader>();
    let tag = |old: u16, vlan: VlanId, ethertype: [u8; 2]| VlanTag {
        tci: ((old & TCI_PRIORITY) | vlan.id()).to_be_bytes(),
        ethertype,
    };
    let outer_type = if network == UNTAGGED {
        ethertype
    } else {
        if hop.inner_vlan == VlanId::NONE {
            packet.set_header(UNTAGGED, &tag(frame.outer_tci, hop.vlan, ethertype))?;
        } else {
            let inner_tpid = hop.inner_vlan.tpid().to_be_bytes();
            let outer = tag(frame.outer_tci, hop.vlan, inner_tpid);
            let inner = tag(frame.inner_tci, hop.inner_vlan, ethertype);
            packet.set_header(UNTAGGED, &VlanTags { outer, inner })?;
        }
        hop.vlan.tpid().to_be_bytes()
    };
    let ethernet = EthernetHeader {
        dst: hop.mac.0,
        src: src_mac.0,
        ethertype: outer_type,
    };
    packet.set_header(0, &ethernet)
}
