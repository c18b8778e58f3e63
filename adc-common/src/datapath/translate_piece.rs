//! Fragments that leave in the other family's header (NAT64; RFC 7915 §4.1, §5.1.1). In IPv6 there is a header for what IPv4
//! says in its own.
//!
//! In steps that hand over through memory, as in `icmp_cross`.

use core::mem::MaybeUninit;

use super::{
    crossing::LATER,
    deliver::link_length,
    parse::offset16,
    ports::PacketBuf,
    scratch::{Delivery, Seen},
    sctp,
    translate::{
        FRAGMENT, Head, IPV4, IPV6, ipv4, ipv4_header, ipv6_header, length16, mapped_ends,
        move_front, relink, transport_checksum, version6, write_transport,
    },
};
use crate::abi::{Addr4, Addr6, InterfaceEntry, Protocol, Reason};
use network_types::udp::UdpHdr;

/// Replaces the IP header of a fragment, and if it is the first of its datagram, translates the transport header.
#[inline(never)]
pub(super) fn rewrite<P: PacketBuf>(
    packet: &mut P,
    seen: &Seen<Addr6>,
    delivery: &mut Delivery<Addr6>,
    egress: &InterfaceEntry,
) -> Result<(), Reason> {
    judge(packet, seen, delivery, egress.mtu)?;
    let written = make_room(packet, seen, delivery)
        && (seen.frame.fragment == LATER || transport(packet, seen, delivery))
        && if delivery.reply == 0 {
            head4(packet, seen, delivery, egress)
        } else {
            head6(packet, seen, delivery, egress)
        };
    if written {
        Ok(())
    } else {
        Err(Reason::HeadroomError)
    }
}

/// Whether it may cross; notes what it keeps.
#[inline(never)]
fn judge<P: PacketBuf>(
    packet: &P,
    seen: &Seen<Addr6>,
    delivery: &mut Delivery<Addr6>,
    mtu: u32,
) -> Result<(), Reason> {
    // Offsets count extension headers, too, and those are left behind.
    if seen.piece.extended != 0 {
        return Err(Reason::NotTranslated);
    }
    if seen.key.protocol == Protocol::SCTP && sctp::changes_ports(&seen.key.tuple, &delivery.to) {
        return Err(Reason::SctpFragment);
    }
    // `None` if the header is not of the family that the direction is.
    let header = if delivery.reply == 0 {
        ipv6_header(packet, &seen.frame)
    } else {
        ipv4_header(packet, &seen.frame)
    };
    let header = header.ok_or(Reason::BadIpHeader)?;
    if delivery.reply != 0 && header.payload + IPV6 + FRAGMENT > mtu as usize {
        return Err(Reason::TooBigForIpv6);
    }
    if delivery.reply != 0 && lacks_checksum(packet, seen) {
        return Err(Reason::UdpWithoutChecksum);
    }
    let keeps = &mut delivery.crossing;
    keeps.network = offset16(link_length(&delivery.hop));
    keeps.length = offset16(header.payload);
    keeps.class = header.class;
    Ok(())
}

/// Whether it is the first of a datagram without checksum.
#[inline(always)]
fn lacks_checksum<P: PacketBuf>(packet: &P, seen: &Seen<Addr6>) -> bool {
    let mut udp = MaybeUninit::<UdpHdr>::uninit();
    seen.key.protocol == Protocol::UDP
        && seen.frame.fragment != LATER
        && packet
            .header(seen.frame.transport(), &mut udp)
            .is_some_and(|udp| udp.check == [0, 0])
}

/// Bytes of the new IP and fragment headers.
#[inline(always)]
fn headers(delivery: &Delivery<Addr6>) -> usize {
    if delivery.reply == 0 {
        IPV4
    } else {
        IPV6 + FRAGMENT
    }
}

#[inline(never)]
fn make_room<P: PacketBuf>(packet: &mut P, seen: &Seen<Addr6>, delivery: &Delivery<Addr6>) -> bool {
    let behind = usize::from(delivery.crossing.network) + headers(delivery);
    move_front(packet, seen.frame.transport(), behind).is_some()
}

#[inline(never)]
fn transport<P: PacketBuf>(packet: &mut P, seen: &Seen<Addr6>, delivery: &Delivery<Addr6>) -> bool {
    let at = usize::from(delivery.crossing.network) + headers(delivery);
    transport_checksum(packet, at, seen, delivery)
        .and_then(|check| write_transport(packet, at, seen, delivery, check))
        .is_some()
}

#[inline(never)]
fn head4<P: PacketBuf>(
    packet: &mut P,
    seen: &Seen<Addr6>,
    delivery: &Delivery<Addr6>,
    egress: &InterfaceEntry,
) -> bool {
    let Some(ends) = mapped_ends(delivery) else {
        return false;
    };
    let keeps = &delivery.crossing;
    let network = usize::from(keeps.network);
    // The low half of the identification.
    let [_, _, high, low] = seen.piece.id.to_be_bytes();
    let ip = ipv4(Head {
        class: keeps.class,
        total: usize::from(keeps.length) + IPV4,
        id: [high, low],
        frags: (u16::from(seen.piece.more) << 13 | seen.piece.offset).to_be_bytes(),
        hop_limit: seen.frame.hop_limit.wrapping_sub(1),
        protocol: seen.key.protocol,
        ends,
    });
    packet
        .set_header(network, &ip)
        .and_then(|()| relink::<Addr4, _>(packet, seen, delivery, egress, network))
        .is_some()
}

#[inline(never)]
fn head6<P: PacketBuf>(
    packet: &mut P,
    seen: &Seen<Addr6>,
    delivery: &Delivery<Addr6>,
    egress: &InterfaceEntry,
) -> bool {
    let keeps = &delivery.crossing;
    let network = usize::from(keeps.network);
    let [length_high, length_low] = length16(usize::from(keeps.length) + FRAGMENT);
    let hop_limit = seen.frame.hop_limit.wrapping_sub(1);
    let first = version6(keeps.class);
    let second = [length_high, length_low, Protocol::FRAGMENT.0, hop_limit];
    let [high, low] = (seen.piece.offset << 3 | u16::from(seen.piece.more)).to_be_bytes();
    let fragment = [seen.key.protocol.0, 0, high, low];
    packet
        .set_header(network, &first)
        .and_then(|()| packet.set_header(network + 4, &second))
        .and_then(|()| packet.set_header(network + 8, &delivery.to.src.0))
        .and_then(|()| packet.set_header(network + 24, &delivery.to.dst.0))
        .and_then(|()| packet.set_header(network + IPV6, &fragment))
        .and_then(|()| packet.set_header(network + IPV6 + 4, &seen.piece.id.to_be_bytes()))
        .and_then(|()| relink::<Addr6, _>(packet, seen, delivery, egress, network))
        .is_some()
}
