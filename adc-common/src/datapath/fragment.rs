//! IP fragments. Only the first one has ports: it is walked like a whole packet and remembered, and the others follow its
//! flow, with new addresses and nothing else changed.

use core::mem::MaybeUninit;

use super::{
    crossing::{self, CROSSES, LATER},
    decide::{is_from_backend, is_ours, is_vip, refuse},
    deliver::{count_delivery, prepare, readdress},
    family::Family,
    fence,
    icmp::{self, find},
    parse::transport,
    piece::{Fragments, LONGEST, Piece},
    ports::{FlowTables, PacketBuf, Tables},
    range::is_for_a_service,
    scratch::{PieceAt, Scratch, Seen},
    sctp,
    tunnel::{self, untold},
};
use crate::abi::{FRAGMENT_LIFETIME, FlowFlags, Protocol, Reason, ReasonClass};
use network_types::udp::UdpHdr;

/// Protocol of a first fragment from a backend that belongs to no flow: what follows is not ours either.
const NOT_OURS: Protocol = Protocol(0);

/// Protocol of a first fragment of a datagram without checksum that IPv6 would want one of. (255 is reserved.)
const WITHOUT_CHECKSUM: Protocol = Protocol(255);

/// A fragment. `None` for a first one of ours: it is walked like a whole packet.
#[inline(never)]
pub(super) fn walk<A, P, T>(packet: &mut P, tables: &T, scratch: &mut Scratch<A>) -> Option<Reason>
where
    A: Fragments,
    P: PacketBuf,
    T: Tables + FlowTables<A>,
{
    let seen = &mut scratch.seen;
    let piece = match A::piece(packet, &mut seen.frame, &mut seen.key) {
        Ok(piece) => piece,
        Err(reason) => return Some(refuse(tables, scratch, reason)),
    };
    if seen.key.protocol == A::ICMP {
        return Some(icmp::fragment(tables, scratch));
    }
    seen.piece = PieceAt::of(&piece, seen.key.protocol);
    let key = &mut scratch.fragment;
    key.src = seen.key.tuple.src;
    key.dst = seen.key.tuple.dst;
    key.id = piece.id;
    key.protocol = A::key_protocol(seen.key.protocol);
    if piece.offset != 0 && !A::may_hold_ports(seen.key.protocol) {
        return Some(Reason::OtherProtocol);
    }
    if piece.offset != 0 {
        return Some(later(packet, tables, scratch, &piece));
    }
    first(packet, tables, scratch, &piece).err()
}

/// Judges a first fragment, and remembers it if it may be ours.
#[inline(always)]
fn first<A, P, T>(
    packet: &P,
    tables: &T,
    scratch: &mut Scratch<A>,
    piece: &Piece,
) -> Result<(), Reason>
where
    A: Fragments,
    P: PacketBuf,
    T: Tables + FlowTables<A>,
{
    let Scratch { seen, .. } = scratch;
    // The length of a UDP header is that of the datagram, and a chunk of SCTP may be as long.
    let udp = seen.key.protocol == Protocol::UDP;
    let sctp = seen.key.protocol == Protocol::SCTP;
    let length = if udp && piece.left >= 8 || sctp && piece.left >= sctp::FIRST_FRAGMENT {
        LONGEST
    } else {
        piece.left
    };
    let read = if sctp {
        sctp::parse(packet, &mut seen.frame, &mut seen.key, length)
    } else {
        transport(packet, &mut seen.frame, &mut seen.key, length)
    };
    if let Err(reason) = read {
        // RFC 1858 §3: a header in two fragments serves nobody but those who want to get it past a filter.
        let cut =
            reason == Reason::TruncatedTransport || reason == Reason::BadTransportHeader && !udp;
        let reason = if cut { Reason::FragmentTiny } else { reason };
        return Err(refuse(tables, scratch, reason));
    }
    let ours = is_ours(tables, scratch);
    let answer = !ours && !A::MAY_CROSS && crossing::is_answer(tables, &scratch.seen.key);
    if !ours && !answer {
        if is_from_backend(tables, scratch) {
            let Scratch {
                seen,
                fragment,
                first,
                ..
            } = scratch;
            first.protocol = NOT_OURS;
            first.first_length = 0;
            first.seen = seen.now;
            tables.put_fragment(fragment, first);
        }
        return Err(Reason::FragmentNotOurs);
    }
    let Scratch {
        seen,
        fragment,
        first,
        ..
    } = scratch;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "at most LONGEST, see `Piece::new`"
    )]
    let first_length = piece.length as u16;
    let conflict = tables.with_fragment(fragment, |before| {
        seen.now.since(before.seen) < FRAGMENT_LIFETIME
            && (before.sport != seen.key.tuple.sport
                || before.dport != seen.key.tuple.dport
                || before.first_length != first_length)
    });
    // RFC 5722 §4: a packet of which fragments overlap is dropped, all of it.
    if A::ONE_FIRST && conflict == Some(true) {
        let _before = tables.with_fragment(fragment, |before| before.first_length = u16::MAX);
        return Err(Reason::FragmentOverlap);
    }
    seen.frame.fragment = 1;
    if piece.more {
        first.sport = seen.key.tuple.sport;
        first.dport = seen.key.tuple.dport;
        first.first_length = first_length;
        first.protocol = if answer && udp && lacks_checksum(packet, seen) {
            WITHOUT_CHECKSUM
        } else {
            seen.key.protocol
        };
        first.seen = seen.now;
        tables.put_fragment(fragment, first);
    }
    // Of what crosses, the translation looks.
    if sctp && !answer && !sctp::keeps_ports(tables, scratch) {
        return Err(Reason::SctpFragment);
    }
    Ok(())
}

#[inline(always)]
fn lacks_checksum<A, P: PacketBuf>(packet: &P, seen: &Seen<A>) -> bool {
    let mut udp = MaybeUninit::<UdpHdr>::uninit();
    packet
        .header(seen.frame.transport(), &mut udp)
        .is_some_and(|udp| udp.check == [0, 0])
}

/// Sends a fragment after the first of its datagram.
#[inline(always)]
fn later<A, P, T>(packet: &mut P, tables: &T, scratch: &mut Scratch<A>, piece: &Piece) -> Reason
where
    A: Fragments,
    P: PacketBuf,
    T: Tables + FlowTables<A>,
{
    let Scratch { seen, fragment, .. } = scratch;
    let known = tables.with_fragment(fragment, |first| {
        seen.key.tuple.sport = first.sport;
        seen.key.tuple.dport = first.dport;
        seen.key.protocol = first.protocol;
        (
            seen.now.since(first.seen) < FRAGMENT_LIFETIME,
            usize::from(first.first_length),
        )
    });
    let Some((true, first_length)) = known else {
        return orphan(packet, tables, scratch);
    };
    if seen.key.protocol == NOT_OURS {
        return Reason::FragmentNotOurs;
    }
    if seen.key.protocol == WITHOUT_CHECKSUM {
        return Reason::UdpWithoutChecksum;
    }
    // It would overwrite what the flow was found by (RFC 3128, RFC 5722). Fragments after the first that overlap each
    // other can not be told without remembering them all; whoever puts them together does that.
    if piece.offset < first_length {
        return Reason::FragmentOverlap;
    }
    seen.frame.fragment = LATER;
    if !find(tables, &seen.key, &mut scratch.delivery) {
        return without_flow(tables, scratch);
    }
    if A::MAY_CROSS && scratch.delivery.crosses != 0 {
        return CROSSES;
    }
    // As the first: without the whole there is no CRC.
    let Scratch {
        seen,
        delivery,
        clock,
        ..
    } = &mut *scratch;
    if seen.key.protocol == Protocol::SCTP && sctp::changes_ports(&seen.key.tuple, &delivery.to) {
        return Reason::SctpFragment;
    }
    let reason = fence::follow(tables, delivery, clock.nanos);
    if reason.class() != ReasonClass::Forwarded {
        return reason;
    }
    let src_mac = match prepare(tables, &scratch.seen.frame, &scratch.delivery) {
        Ok(egress) => egress.mac,
        Err(refusal) => return refusal,
    };
    if scratch.delivery.direct.contains(FlowFlags::TUNNEL) {
        let bytes = packet.length() as u64;
        let Scratch { seen, delivery, .. } = scratch;
        if let Err(refusal) = tunnel::encapsulate(packet, tables, seen, delivery) {
            return untold(refusal);
        }
        count_delivery(tables, delivery, bytes);
        return reason;
    }
    if readdress(packet, tables, &scratch.seen, &scratch.delivery, src_mac).is_none() {
        return Reason::HeadroomError;
    }
    reason
}

/// A fragment whose first is not known. One that may be ours goes to the agent, which hands it back when the first has
/// come: this program can not wait.
#[inline(always)]
fn orphan<A, P, T>(packet: &P, tables: &T, scratch: &mut Scratch<A>) -> Reason
where
    A: Family,
    P: PacketBuf,
    T: Tables + FlowTables<A>,
{
    if !is_vip(tables, scratch) && !is_from_backend(tables, scratch) {
        return Reason::FragmentNotOurs;
    }
    let Scratch { seen, fragment, .. } = scratch;
    let held = tables.hold(|record| {
        let Some(length) = packet.copy_out(&mut record.frame) else {
            return false;
        };
        let about = &mut record.about;
        about.src = fragment.src.into();
        about.dst = fragment.dst.into();
        about.id = fragment.id;
        about.ifindex = packet.ingress_ifindex();
        about.seen = seen.now;
        about.length = length;
        about.protocol = fragment.protocol;
        about._pad = 0;
        true
    });
    if held {
        Reason::FragmentHeld
    } else {
        Reason::Fragment
    }
}

/// A fragment whose first belongs to no flow here: what became of that becomes of this. Flows of IPv6 clients are in the other
/// tables.
#[inline(always)]
fn without_flow<A, T>(tables: &T, scratch: &mut Scratch<A>) -> Reason
where
    A: Family,
    T: Tables + FlowTables<A>,
{
    let Scratch {
        seen, index, range, ..
    } = scratch;
    if is_for_a_service(tables, &seen.key, index, range) {
        Reason::Fragment
    } else if A::MAY_CROSS {
        Reason::FragmentNotOurs
    } else {
        CROSSES
    }
}
