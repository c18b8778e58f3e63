//! ICMP: errors about tracked flows are translated like the flow's packets, and echo requests are judged.
//!
//! An error quotes the packet as this node sent it. So the *reverse* of the quoted tuple is what arrives in the
//! direction in which the error travels, the key of a flow entry like any other; and the entry's `other` is
//! the quoted packet's tuple before it was translated. No table of its own, and errors change no flow.

use core::mem::MaybeUninit;

use super::{
    checksum::{self, Delta},
    crossing::CROSSES,
    decide::{aim, is_vip},
    deliver::{prepare, resize_link, udp_checksum, write_link},
    family::Family,
    fence,
    parse::offset16,
    ports::{FlowTables, PacketBuf, Tables},
    preface,
    quote::{Message, Quote},
    range::is_for_a_service,
    scratch::{Delivery, QuoteAt, Scratch},
    tunnel::{self, untold},
    wire::{ICMP_CHECKSUM, IcmpHeader, Ports, TCP_CHECKSUM, TCP_SEQUENCE, UDP_CHECKSUM},
};
use crate::abi::{FlowFlags, FlowKey, InterfaceEntry, Protocol, Reason, ReasonClass};

/// An ICMP message. If it goes on, it is rewritten here.
#[inline(always)]
pub(super) fn walk<A, P, T>(packet: &mut P, tables: &T, scratch: &mut Scratch<A>) -> Reason
where
    A: Quote,
    P: PacketBuf,
    T: Tables + FlowTables<A>,
{
    let mut header = MaybeUninit::<IcmpHeader>::uninit();
    let Some(header) = packet.header(scratch.seen.frame.transport(), &mut header) else {
        return Reason::OtherProtocol;
    };
    match A::message(header.kind) {
        Message::Error => error(packet, tables, scratch),
        Message::EchoRequest if is_ping_refused(tables, scratch) => Reason::EchoRefused,
        Message::EchoRequest | Message::Other => Reason::OtherProtocol,
    }
}

/// A fragment of an ICMP message: of an echo, as errors are never that long. The kernel puts it together, unless it would
/// not get the request.
#[inline(always)]
pub(super) fn fragment<A, T>(tables: &T, scratch: &mut Scratch<A>) -> Reason
where
    A: Family,
    T: Tables + FlowTables<A>,
{
    if is_ping_refused(tables, scratch) {
        Reason::EchoRefused
    } else {
        Reason::OtherProtocol
    }
}

/// Whether the packet is for a VIP that does not answer echo requests.
#[inline(always)]
fn is_ping_refused<A: Family, T: Tables>(tables: &T, scratch: &mut Scratch<A>) -> bool {
    scratch
        .index
        .set_ping_refusal(scratch.seen.key.tuple.dst.into());
    tables.service_id(&scratch.index).is_some()
}

/// An ICMP error.
#[inline(never)]
fn error<A, P, T>(packet: &mut P, tables: &T, scratch: &mut Scratch<A>) -> Reason
where
    A: Quote,
    P: PacketBuf,
    T: Tables + FlowTables<A>,
{
    match read(packet, scratch) {
        None => {}
        Some(Reason::OtherProtocol) => return Reason::OtherProtocol,
        Some(reason) if is_vip(tables, scratch) => return reason,
        Some(_) => return Reason::OtherProtocol,
    }
    if !find(tables, &scratch.other, &mut scratch.delivery) {
        return untracked(tables, scratch);
    }
    if A::MAY_CROSS && scratch.delivery.crosses != 0 {
        return CROSSES;
    }
    // An error goes to the sender of what it quotes. One that does not was made up (RFC 5927 §4.1).
    if scratch.seen.key.tuple.dst.hash_words() != scratch.other.tuple.dst.hash_words() {
        return Reason::BadIcmpError;
    }
    let followed = fence::follow(tables, &mut scratch.delivery, scratch.clock.nanos);
    if followed.class() != ReasonClass::Forwarded {
        return followed;
    }
    let egress = match prepare(tables, &scratch.seen.frame, &scratch.delivery) {
        Ok(egress) => egress,
        Err(refusal) => return refusal,
    };
    if scratch.delivery.direct.contains(FlowFlags::TUNNEL) {
        // The backend has the VIP, and sent what is quoted: nothing to translate.
        let Scratch { seen, delivery, .. } = scratch;
        return match tunnel::encapsulate(packet, tables, seen, delivery) {
            Ok(()) => Reason::IcmpErrorToBackend,
            Err(refusal) => untold(refusal),
        };
    }
    let Some(shift) = resize_link(packet, &scratch.seen.frame, &scratch.delivery.hop) else {
        return Reason::HeadroomError;
    };
    scratch.quote.shift(&scratch.seen.frame, shift);
    scratch.quote.change = Delta::NONE;
    if scratch.delivery.direct.contains(FlowFlags::PREFACE)
        && renumber(packet, tables, scratch).is_none()
    {
        return Reason::BadIcmpError;
    }
    // Both write where something was read before.
    if inner(packet, scratch).is_none() || outer(packet, scratch, egress).is_none() {
        Reason::BadIcmpError
    } else if scratch.delivery.reply != 0 {
        Reason::IcmpErrorToClient
    } else {
        Reason::IcmpErrorToBackend
    }
}

/// Reads the quoted packet: leaves in `scratch.other` the key of its flow in the direction in which the error travels, and
/// in `scratch.quote` where it is. Returns what is wrong with it.
#[inline(always)]
fn read<A: Quote, P: PacketBuf>(packet: &P, scratch: &mut Scratch<A>) -> Option<Reason> {
    let frame = &scratch.seen.frame;
    let quoted = frame.transport() + size_of::<IcmpHeader>();
    let Some(end) = A::end(packet, frame.network()) else {
        return Some(Reason::TruncatedIp);
    };
    match A::quoted(packet, quoted, end, &mut scratch.other) {
        Ok(ports) => {
            scratch.quote.ports = offset16(ports);
            scratch.quote.end = offset16(end);
            None
        }
        Err(reason) => Some(reason),
    }
}

/// Aims `delivery` along the flow that a key belongs to, without touching it. Of a half-open flow one half is enough
/// here: nothing is remembered.
#[inline(always)]
pub(super) fn find<A, T>(tables: &T, key: &FlowKey<A>, delivery: &mut Delivery<A>) -> bool
where
    A: Family,
    T: Tables + FlowTables<A>,
{
    tables
        .with_flow(key, |entry| aim(entry, delivery))
        .is_some()
        || tables
            .with_half_open(key, |half| {
                aim(&half.flow, delivery);
                if half.preface != 0 {
                    delivery.direct = delivery.direct.with(FlowFlags::PREFACE);
                }
            })
            .is_some()
}

/// An error about no flow: dropped if it speaks of a service, which has no packets but those of flows. Anything
/// else may be about a connection of this node itself, and the kernel knows whether.
#[inline(always)]
fn untracked<A, T>(tables: &T, scratch: &mut Scratch<A>) -> Reason
where
    A: Family,
    T: Tables + FlowTables<A>,
{
    let Scratch {
        other,
        index,
        range,
        ..
    } = scratch;
    if is_for_a_service(tables, other, index, range) {
        return Reason::IcmpErrorUntracked;
    }
    // It may be about a packet of an IPv6 client, which the IPv6 walk knows.
    index.set_snat_marker(other.tuple.dst.into());
    if !A::MAY_CROSS && tables.service_id(index).is_some() {
        CROSSES
    } else {
        Reason::OtherProtocol
    }
}

/// Rewrites the quoted packet to what its sender sent, and gathers what that changes in the sum around it.
#[inline(never)]
fn inner<A: Quote, P: PacketBuf>(packet: &mut P, scratch: &mut Scratch<A>) -> Option<()> {
    let Scratch {
        delivery,
        other,
        quote,
        ..
    } = scratch;
    let (from, to) = (&other.tuple, &delivery.to);
    let addresses = Delta::of_addresses(from, to);
    let ports = Delta::of_port_change(from, to);
    // `to` travels as the error does, what is quoted came the other way.
    let sent = Ports {
        source: to.dport.0,
        dest: to.sport.0,
    };
    let quoted = usize::from(quote.icmp) + size_of::<IcmpHeader>();
    let header = A::rewrite_quoted(packet, quoted, to.dst, to.src, addresses)?;
    packet.set_header(usize::from(quote.ports), &sent)?;
    let change = addresses.plus(ports);
    let above = transport_checksum(packet, other.protocol, quote, change)?;
    quote.change = quote.change.plus(header).plus(ports).plus(above);
    Some(())
}

/// Gives the quoted SYN, or the first segment with its PROXY protocol header, the sequence number that the client gave it.
#[inline(never)]
pub(super) fn renumber<A, P, T>(packet: &mut P, tables: &T, scratch: &mut Scratch<A>) -> Option<()>
where
    A: Quote,
    P: PacketBuf,
    T: Tables + FlowTables<A>,
{
    let Scratch {
        delivery,
        other,
        quote,
        ..
    } = scratch;
    let client = FlowKey::new(delivery.to.reversed(), other.protocol);
    let Some(syn) = tables.with_half_open(&client, |half| half.initial_seq) else {
        return Some(());
    };
    // Every quote goes that far.
    let at = usize::from(quote.ports) + TCP_SEQUENCE;
    let mut old = MaybeUninit::<[u8; 4]>::uninit();
    let old = u32::from_be_bytes(*packet.header(at, &mut old)?);
    let Some(new) = preface::restored::<A>(delivery.reply, syn, old) else {
        return Some(());
    };
    packet.set_header(at, &new.to_be_bytes())?;
    let change = preface::changed(old, new);
    let above = transport_checksum(packet, other.protocol, quote, change)?;
    quote.change = change.plus(above);
    Some(())
}

/// Rewrites the error around it.
#[inline(never)]
fn outer<A: Quote, P: PacketBuf>(
    packet: &mut P,
    scratch: &mut Scratch<A>,
    egress: &InterfaceEntry,
) -> Option<()> {
    let Scratch {
        seen,
        delivery,
        other,
        quote,
        ..
    } = scratch;
    let translated = delivery.to.src.hash_words() != other.tuple.src.hash_words();
    // Towards the client everything comes from the VIP. Towards a backend the reporter stays who it is, unless the
    // backend does not see clients' addresses either.
    other.tuple.src = if delivery.reply != 0 || translated {
        delivery.to.src
    } else {
        seen.key.tuple.src
    };
    other.tuple.dst = delivery.to.dst;
    let addresses = Delta::of_addresses(&seen.key.tuple, &other.tuple);
    let change = if A::PSEUDO_HEADER {
        quote.change.plus(addresses)
    } else {
        quote.change
    };
    let at = usize::from(quote.icmp) + ICMP_CHECKSUM;
    let mut check = MaybeUninit::<[u8; 2]>::uninit();
    let check = *packet.header(at, &mut check)?;
    packet.set_header(at, &checksum::apply(check, change))?;
    let network = usize::from(quote.network);
    A::rewrite(packet, network, &other.tuple, addresses)?;
    write_link(
        packet,
        &seen.frame,
        &delivery.hop,
        egress.mac,
        network,
        A::ETHERTYPE,
    )
}

/// Corrects the quoted checksum of TCP or UDP by `change`, if the quote goes that far. Returns what that changes in the
/// sum around it.
#[inline(always)]
pub(super) fn transport_checksum<P: PacketBuf>(
    packet: &mut P,
    protocol: Protocol,
    quote: &QuoteAt,
    change: Delta,
) -> Option<Delta> {
    // Nobody checks a quoted CRC: what is quoted seldom holds all that it covers.
    if protocol == Protocol::SCTP {
        return Some(Delta::NONE);
    }
    let is_tcp = protocol == Protocol::TCP;
    let offset = if is_tcp { TCP_CHECKSUM } else { UDP_CHECKSUM };
    let at = usize::from(quote.ports) + offset;
    if at + size_of::<[u8; 2]>() > usize::from(quote.end) {
        return Some(Delta::NONE);
    }
    let mut before = MaybeUninit::<[u8; 2]>::uninit();
    let before = *packet.header(at, &mut before)?;
    let after = if is_tcp {
        checksum::apply(before, change)
    } else {
        udp_checksum(before, change)
    };
    packet.set_header(at, &after)?;
    let [before, after] = [before, after].map(u16::from_ne_bytes);
    Some(Delta::replace16(before, after))
}
