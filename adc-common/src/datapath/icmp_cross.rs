//! ICMP errors that leave in the other family (NAT64): what they say, and about what. `icmp_write` writes them anew.

use core::mem::MaybeUninit;

use super::{
    checksum::Delta,
    deliver::prepare,
    family::Family,
    fence,
    icmp::{find, renumber},
    icmp_counterpart::{Headline, Mtus, in_ipv4, in_ipv6},
    icmp_write::{make_room, restore, seal4, seal6, write4, write6},
    parse::offset16,
    ports::{FlowTables, PacketBuf, Tables},
    scratch::{Scratch, embed},
    translate::{FRAGMENT, IPV4, IPV6},
    wire::IcmpHeader,
};
use crate::abi::{Addr4, Addr6, FlowFlags, Protocol, Reason, ReasonClass, Tuple};

pub(super) const ICMP: usize = size_of::<IcmpHeader>();

/// Bytes of the headers in front of the quoted ports.
pub(super) const HEADERS4: usize = IPV4 + ICMP + IPV4;
/// The same in IPv6, but for a fragment header.
pub(super) const HEADERS6: usize = IPV6 + ICMP + IPV6;

/// Longest ICMPv6 error (RFC 4443 §2.4 c). What routers quote in IPv4 makes messages of 576 bytes (RFC 1812 §4.3.2.3).
const LONGEST: usize = 1280;

/// What an error says, and of the packet in it, between reading one family and writing the other.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Errand {
    /// Type, code and what follows the checksum.
    pub(super) headline: Headline,
    /// The checksum, as it came.
    pub(super) check: [u8; 2],
    /// Traffic class of the error.
    pub(super) class: u8,
    /// Traffic class of the quoted packet.
    pub(super) quoted_class: u8,
    /// Its hop limit.
    pub(super) hop_limit: u8,
    /// 1 if it was a fragment, the first of its packet.
    pub(super) fragment: u8,
    /// 1 if others came behind it.
    pub(super) more: u8,
    /// Zero.
    pub(super) zero: u8,
    /// Bytes behind its IP and fragment header.
    pub(super) length: u16,
    /// The low half of its identification, which is all that IPv4 has.
    pub(super) id: [u8; 2],
    /// The MTUs of the two sides.
    pub(super) mtus: Mtus,
    /// What all that is replaced, and counts for the checksum, sums to.
    pub(super) before: Delta,
}

/// An error about a flow that crosses. One from the IPv4 side has its flow looked up here: no IPv4 flow knows it.
///
/// In steps that are functions of their own and hand over through memory: the verifier follows each of them once, and not
/// once for every way through those before it.
#[inline(never)]
pub(super) fn walk<P, T>(packet: &mut P, tables: &T, scratch: &mut Scratch<Addr6>) -> Reason
where
    P: PacketBuf,
    T: Tables + FlowTables<Addr6>,
{
    if scratch.seen.key.protocol == Protocol::ICMP && !find_answer(tables, scratch) {
        return Reason::OtherProtocol;
    }
    if !is_aimed(tables, scratch) {
        return scratch.reason;
    }
    let to_backend = scratch.delivery.reply == 0;
    if !read(packet, scratch) {
        return Reason::BadIcmpError;
    }
    if !to_backend && is_too_long(scratch) {
        return Reason::TooBigForIpv6;
    }
    let Errand {
        headline,
        mtus,
        length,
        ..
    } = &mut scratch.errand;
    let known = if to_backend {
        in_ipv4(headline, mtus)
    } else {
        in_ipv6(headline, mtus, *length)
    };
    if !known {
        return Reason::IcmpErrorUnknown;
    }
    scratch.quote.change = Delta::NONE;
    if scratch.delivery.direct.contains(FlowFlags::PREFACE)
        && renumber(packet, tables, scratch).is_none()
    {
        return Reason::BadIcmpError;
    }
    let written = make_room(packet, scratch)
        && restore(packet, scratch)
        && if to_backend {
            write4(packet, scratch) && seal4(packet, tables, scratch)
        } else {
            write6(packet, scratch) && seal6(packet, tables, scratch)
        };
    if !written {
        Reason::HeadroomError
    } else if to_backend {
        Reason::IcmpErrorToBackend
    } else {
        Reason::IcmpErrorToClient
    }
}

/// Takes over what the IPv4 walk has read of an error, and looks up the flow that it may be about.
#[inline(never)]
fn find_answer<T: Tables>(tables: &T, scratch: &mut Scratch<Addr6>) -> bool {
    let read = tables.with_scratch(|v4: &mut Scratch<Addr4>| {
        embed(&mut scratch.other, &v4.other);
        scratch.quote.ports = v4.quote.ports;
        scratch.quote.end = v4.quote.end;
    });
    read.is_some()
        && find(tables, &scratch.other, &mut scratch.delivery)
        && scratch.delivery.crosses != 0
}

/// Whether an error may follow its flow, which leaves the MTUs of both sides in `scratch`; if not, the reason is there.
#[inline(never)]
fn is_aimed<T: Tables>(tables: &T, scratch: &mut Scratch<Addr6>) -> bool {
    // As within one family.
    if scratch.seen.key.tuple.dst.hash_words() != scratch.other.tuple.dst.hash_words() {
        scratch.reason = Reason::BadIcmpError;
        return false;
    }
    let followed = fence::follow(tables, &mut scratch.delivery, scratch.clock.nanos);
    if followed.class() != ReasonClass::Forwarded {
        scratch.reason = followed;
        return false;
    }
    let egress = match prepare(tables, &scratch.seen.frame, &scratch.delivery) {
        Ok(egress) => egress,
        Err(refusal) => {
            scratch.reason = refusal;
            return false;
        }
    };
    // Where it came in. What adc is not attached to gives no bound.
    let came = tables
        .interface(scratch.seen.frame.ingress())
        .map_or(egress.mtu, |ingress| ingress.mtu);
    let leaves = egress.mtu;
    let mtus = &mut scratch.errand.mtus;
    (mtus.v4, mtus.v6) = if scratch.delivery.reply == 0 {
        (leaves, came)
    } else {
        (came, leaves)
    };
    true
}

/// Whether the error would be longer in IPv6 than errors may be.
#[inline(always)]
fn is_too_long(scratch: &Scratch<Addr6>) -> bool {
    let quote = &scratch.quote;
    let behind = usize::from(quote.end).saturating_sub(usize::from(quote.ports));
    HEADERS6 + FRAGMENT + behind > LONGEST
}

/// Reads the error into `scratch`. False if it does not hold together.
#[inline(always)]
fn read<P: PacketBuf>(packet: &P, scratch: &mut Scratch<Addr6>) -> bool {
    if scratch.delivery.reply == 0 {
        read6(packet, scratch).is_some()
    } else {
        read4(packet, scratch).is_some()
    }
}

/// Four bytes as they stand.
#[inline(always)]
fn word<P: PacketBuf>(packet: &P, at: usize) -> Option<[u8; 4]> {
    let mut word = MaybeUninit::<[u8; 4]>::uninit();
    packet.header(at, &mut word).copied()
}

/// What a word adds to a checksum.
#[inline(always)]
pub(super) fn sum(word: [u8; 4]) -> Delta {
    Delta::of_word(u32::from_ne_bytes(word))
}

/// What two addresses add to it.
#[inline(always)]
pub(super) fn sum_of_ends(ends: &Tuple<Addr6>) -> Delta {
    ends.src.checksum_words().plus(ends.dst.checksum_words())
}

/// Reads the message. Returns the sum of its header without the checksum.
#[inline(always)]
fn read_message<P: PacketBuf>(packet: &P, icmp: usize, errand: &mut Errand) -> Option<Delta> {
    let [kind, code, high, low] = word(packet, icmp)?;
    let rest = word(packet, icmp + 4)?;
    errand.headline.kind = kind;
    errand.headline.code = code;
    errand.headline.rest = rest;
    errand.check = [high, low];
    Some(sum([kind, code, 0, 0]).plus(sum(rest)))
}

/// Reads an ICMPv4 error.
#[inline(never)]
fn read4<P: PacketBuf>(packet: &P, scratch: &mut Scratch<Addr6>) -> Option<()> {
    let Scratch {
        seen,
        other,
        quote,
        errand,
        ..
    } = scratch;
    let icmp = seen.frame.transport();
    let quoted = icmp + ICMP;
    let [version, class, ..] = word(packet, seen.frame.network())?;
    let message = read_message(packet, icmp, errand)?;
    let first = word(packet, quoted)?;
    let second = word(packet, quoted + 4)?;
    let third = word(packet, quoted + 8)?;
    let [_, quoted_class, high, low] = first;
    let [id_high, id_low, flags, _] = second;
    let [hop_limit, ..] = third;
    errand.class = class;
    errand.quoted_class = quoted_class;
    errand.hop_limit = hop_limit;
    errand.more = flags >> 5 & 1;
    errand.fragment = errand.more;
    errand.id = [id_high, id_low];
    errand.length = u16::from_be_bytes([high, low]).checked_sub(offset16(IPV4))?;
    // The v4-mapped addresses sum to what the quoted ones do.
    errand.before = message
        .plus(sum(first))
        .plus(sum(second))
        .plus(sum(third))
        .plus(sum_of_ends(&other.tuple));
    // An IPv6 packet may not pass for what its v4-mapped addresses name; and what crosses was sent without options.
    (version >> 4 == 4 && quoted + IPV4 == usize::from(quote.ports)).then_some(())
}

/// Reads an ICMPv6 error.
#[inline(never)]
fn read6<P: PacketBuf>(packet: &P, scratch: &mut Scratch<Addr6>) -> Option<()> {
    let Scratch {
        seen,
        other,
        quote,
        errand,
        ..
    } = scratch;
    let icmp = seen.frame.transport();
    let quoted = icmp + ICMP;
    let [version, class, ..] = word(packet, seen.frame.network())?;
    let message = read_message(packet, icmp, errand)?;
    let first = word(packet, quoted)?;
    let second = word(packet, quoted + 4)?;
    let [high, low, ..] = first;
    let [length_high, length_low, next, hop_limit] = second;
    let whole = usize::from(quote.end).checked_sub(icmp)?;
    // The pseudo-header counts, too.
    errand.before = message
        .plus(sum(first))
        .plus(sum(second))
        .plus(sum_of_ends(&other.tuple))
        .plus(sum_of_ends(&seen.key.tuple))
        .plus(Delta::of_transport(Protocol::ICMP6, whole));
    errand.class = version << 4 | class >> 4;
    errand.quoted_class = high << 4 | low >> 4;
    errand.hop_limit = hop_limit;
    errand.length = u16::from_be_bytes([length_high, length_low]);
    errand.more = 0;
    errand.fragment = 0;
    let mut ports = quoted + IPV6;
    if Protocol(next) == Protocol::FRAGMENT {
        let head = word(packet, ports)?;
        let id = word(packet, ports + 4)?;
        let [_, _, _, flags] = head;
        let [_, _, id_high, id_low] = id;
        errand.more = flags & 1;
        errand.fragment = 1;
        errand.id = [id_high, id_low];
        errand.before = errand.before.plus(sum(head)).plus(sum(id));
        errand.length = errand.length.checked_sub(offset16(FRAGMENT))?;
        ports += FRAGMENT;
    }
    // As above; and what crosses was sent without other extension headers.
    let sound = version >> 4 == 6
        && ports == usize::from(quote.ports)
        && errand.length <= u16::MAX - offset16(IPV4);
    sound.then_some(())
}
