//! IP fragments. Only the first one has ports: it is walked like a whole packet and remembered, and the others follow its
//! flow, with new addresses and nothing else changed.

use core::mem::MaybeUninit;

use super::{
    decide::{follow, is_from_backend, is_ours, is_vip, refuse},
    deliver::{count_delivery, prepare, readdress},
    family::Family,
    icmp::{self, find},
    parse::{Frame, transport, walk_extensions},
    ports::{FlowTables, PacketBuf, Tables},
    quote::Quote,
    range::is_for_a_service,
    scratch::Scratch,
    sctp,
    tunnel::{self, untold},
    wire::FragmentHeader,
};
use crate::abi::{
    Addr4, Addr6, FRAGMENT_LIFETIME, FlowFlags, FlowKey, Protocol, Reason, ReasonClass,
};
use network_types::ip::{Ipv4Hdr, Ipv6Hdr};

/// Protocol of a first fragment from a backend that belongs to no flow: what follows is not ours either.
const NOT_OURS: Protocol = Protocol(0);

/// Largest datagram that fragments can make up: what the length field of an IPv4 header can say.
pub(super) const LONGEST: usize = 65_535;

/// Where a fragment belongs.
pub(super) struct Piece {
    id: u32,
    /// Where in the datagram it starts, in bytes.
    offset: usize,
    /// How much of the datagram it holds, in bytes.
    length: usize,
    /// How much of that is behind the extension headers of the datagram.
    left: usize,
    /// Whether others follow it.
    more: bool,
}

/// A family whose fragments can be understood.
pub(super) trait Fragments: Quote {
    /// Whether two first fragments with one identification are an attack. In IPv4 its 16 bits repeat themselves.
    const ONE_FIRST: bool;

    /// Protocol to put into a [`FragmentKey`].
    fn key_protocol(protocol: Protocol) -> Protocol;

    /// Whether a datagram may be TCP or UDP of which a later fragment names this protocol.
    fn may_hold_ports(protocol: Protocol) -> bool;

    /// Reads what the IP header, or the fragment header at `frame`'s transport offset, says about the fragment. Moves that
    /// offset, and the protocol in `key`, to the first header behind.
    fn piece<P: PacketBuf>(
        packet: &P,
        frame: &mut Frame,
        key: &mut FlowKey<Self>,
    ) -> Result<Piece, Reason>;
}

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
    if !is_ours(tables, scratch) {
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
        first.protocol = seen.key.protocol;
        first.seen = seen.now;
        tables.put_fragment(fragment, first);
    }
    if sctp && !sctp::keeps_ports(tables, scratch) {
        return Err(Reason::SctpFragment);
    }
    Ok(())
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
    // It would overwrite what the flow was found by (RFC 3128, RFC 5722). Fragments after the first that overlap each
    // other can not be told without remembering them all; whoever puts them together does that.
    if piece.offset < first_length {
        return Reason::FragmentOverlap;
    }
    if !find(tables, &seen.key, &mut scratch.delivery) {
        return without_flow(tables, scratch);
    }
    if A::MAY_CROSS && scratch.delivery.crosses != 0 {
        return Reason::NotTranslated;
    }
    // As the first: without the whole there is no CRC.
    let Scratch { seen, delivery, .. } = &mut *scratch;
    if seen.key.protocol == Protocol::SCTP && sctp::changes_ports(&seen.key.tuple, &delivery.to) {
        return Reason::SctpFragment;
    }
    let reason = follow(tables, delivery);
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

/// A fragment whose first belongs to no flow: what became of that becomes of this.
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
    } else {
        Reason::FragmentNotOurs
    }
}

impl Piece {
    /// `word`: the offset in units of eight bytes. A datagram over the longest, and a fragment but the last that is no
    /// multiple of eight, can not be put together (RFC 8200 §4.5).
    #[inline(always)]
    fn new(id: u32, word: u16, more: bool, length: usize) -> Result<Self, Reason> {
        let offset = usize::from(word) * 8;
        let ragged = more && !length.is_multiple_of(8);
        if ragged || length == 0 || offset + length > LONGEST {
            return Err(Reason::BadIpHeader);
        }
        Ok(Self {
            id,
            offset,
            length,
            left: length,
            more,
        })
    }
}

impl Fragments for Addr4 {
    const ONE_FIRST: bool = false;

    #[inline(always)]
    fn key_protocol(protocol: Protocol) -> Protocol {
        protocol
    }

    #[inline(always)]
    fn may_hold_ports(protocol: Protocol) -> bool {
        matches!(protocol, Protocol::TCP | Protocol::UDP | Protocol::SCTP)
    }

    #[inline(always)]
    fn piece<P: PacketBuf>(
        packet: &P,
        frame: &mut Frame,
        _key: &mut FlowKey<Self>,
    ) -> Result<Piece, Reason> {
        let mut ip = MaybeUninit::<Ipv4Hdr>::uninit();
        let ip = packet
            .header(frame.network(), &mut ip)
            .ok_or(Reason::TruncatedIp)?;
        let header_length = usize::from(ip.vihl & 0x0f) * 4;
        let length = usize::from(u16::from_be_bytes(ip.tot_len)).saturating_sub(header_length);
        frame.set_transport(frame.network() + header_length);
        // RFC 791 §3.1: the low 13 bits are the offset, bit 13 is "more fragments".
        let word = u16::from_be_bytes(ip.frags);
        let id = u32::from(u16::from_be_bytes(ip.id));
        Piece::new(id, word & 0x1fff, word & 0x2000 != 0, length)
    }
}

impl Fragments for Addr6 {
    const ONE_FIRST: bool = true;

    #[inline(always)]
    fn key_protocol(_protocol: Protocol) -> Protocol {
        Protocol(0)
    }

    #[inline(always)]
    fn may_hold_ports(protocol: Protocol) -> bool {
        // The first header behind the fragment header: routing, authentication and destination options may stand there.
        matches!(
            protocol,
            Protocol::TCP | Protocol::UDP | Protocol::SCTP | Protocol(43 | 51 | 60)
        )
    }

    #[inline(always)]
    fn piece<P: PacketBuf>(
        packet: &P,
        frame: &mut Frame,
        key: &mut FlowKey<Self>,
    ) -> Result<Piece, Reason> {
        let mut ip = MaybeUninit::<Ipv6Hdr>::uninit();
        let ip = packet
            .header(frame.network(), &mut ip)
            .ok_or(Reason::TruncatedIp)?;
        let payload = usize::from(u16::from_be_bytes(ip.payload_len));
        let end = frame.network() + size_of::<Ipv6Hdr>() + payload;
        let mut header = MaybeUninit::<FragmentHeader>::uninit();
        let header = *packet
            .header(frame.transport(), &mut header)
            .ok_or(Reason::BadExtensionHeaders)?;
        let start = frame.transport() + size_of::<FragmentHeader>();
        let length = end.saturating_sub(start);
        let word = u16::from_be_bytes(header.offset_and_more);
        let id = u32::from_be_bytes(header.id);
        let mut piece = Piece::new(id, word >> 3, word & 1 != 0, length)?;
        key.protocol = Protocol(header.next);
        frame.set_transport(start);
        if piece.offset == 0 {
            let (protocol, offset) = walk_extensions(packet, header.next, start)?;
            key.protocol = protocol;
            frame.set_transport(offset);
            piece.left = end.checked_sub(offset).ok_or(Reason::BadExtensionHeaders)?;
        }
        Ok(piece)
    }
}
