//! The client's address, told to the backend: a PROXY protocol header (version 2) at the start of the stream.
//!
//! The client's SYN goes on with a sequence number that is lower by the length of the header. So the backend
//! expects the header first, and then the client's bytes, numbered as the client numbers them: once the header is
//! acknowledged, both directions pass as they are, and nothing has to be remembered. Until then the flow is half-open.
//! The header goes out with every segment that starts where the client's bytes start, so the client, which sends again
//! what was lost, sends the header again with it.

use core::mem::MaybeUninit;

use super::{
    checksum::{self, Delta},
    family::Family,
    ports::{MAX_FRONT, PacketBuf, Tables},
    scratch::{Delivery, Front, Seen},
    tunnel,
    wire::{
        Ports, TCP_ACK, TCP_CHECKSUM, TCP_SEQUENCE, TcpControl,
        tcp_flags::{ACK, RST, SYN},
    },
};
use crate::abi::{Addr4, Addr6, FlowFlags, Phase, Reason, ServiceEntry};
use network_types::tcp::TcpHdr;

/// How every header begins ("The PROXY protocol", §2.2).
const SIGNATURE: [[u8; 4]; 3] = [
    [0x0d, 0x0a, 0x0d, 0x0a],
    [0x00, 0x0d, 0x0a, 0x51],
    [0x55, 0x49, 0x54, 0x0a],
];

/// Version 2, command PROXY.
const PROXY: u8 = 0x21;

/// TCP over IPv4, and over IPv6.
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

/// Bytes before the addresses.
const FIXED: u16 = 16;

/// Bytes of addresses and ports.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "12 or 36")]
const fn addresses<A: Family>() -> u16 {
    (2 * size_of::<A>() + size_of::<Ports>()) as u16
}

/// Bytes of the header about a client of this family.
#[inline(always)]
pub(super) const fn length<A: Family>() -> u32 {
    (FIXED + addresses::<A>()) as u32
}

/// What the first packet of a flow is marked with.
#[inline(always)]
pub(super) fn flags_of(service: &ServiceEntry, phase: Phase) -> FlowFlags {
    let flags = service.mode.flow_flags();
    // Of a stream that is picked up in the middle, the start is long gone.
    if service.proxy_protocol != 0 && phase == Phase::SYN_SENT && flags == FlowFlags(0) {
        FlowFlags::PREFACE
    } else {
        flags
    }
}

/// Marks a packet of a half-open flow whose stream begins with a header, unless the backend has it already.
#[inline(always)]
pub(super) fn mark<A>(seen: &Seen<A>, phase: Phase, client_seq: u32, delivery: &mut Delivery<A>) {
    let acknowledged = matches!(
        phase,
        Phase::ESTABLISHED | Phase::HALF_CLOSED | Phase::CLOSED
    );
    if !acknowledged || seen.frame.flags & (SYN | ACK) == SYN {
        delivery.direct = delivery.direct.with(FlowFlags::PREFACE);
        delivery.client_seq = client_seq;
    }
}

/// Marks a SYN of a flow that was validated long ago.
///
/// A backend that knows the connection does not look at its number (RFC 5961 §4.2). To one that has forgotten it this would be
/// the start of a stream without a header, into which the client might write one of its own. So it gets a number whose
/// answer the client refuses with a RST, which ends the flow; the client's next SYN opens a new one.
#[inline(never)]
pub(super) fn guard<A, T: Tables>(tables: &T, delivery: &mut Delivery<A>) {
    let service = tables
        .backend(delivery.backend)
        .and_then(|backend| tables.service(backend.service));
    if service.is_some_and(|service| service.proxy_protocol != 0) {
        delivery.direct = delivery.direct.with(FlowFlags::PREFACE);
    }
}

/// Bytes that a SYN must leave free in the segments that answer it.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "28 or 52")]
pub(super) fn room<A: Family>(delivery: &Delivery<A>) -> u16 {
    if delivery.reply != 0 && delivery.direct.contains(FlowFlags::PREFACE) {
        length::<A>() as u16
    } else {
        0
    }
}

/// Changes the numbers of a packet that is marked with [`FlowFlags::PREFACE`], and puts the header in where it belongs.
#[inline(never)]
pub(super) fn apply<A: Family, P: PacketBuf>(
    packet: &mut P,
    seen: &Seen<A>,
    delivery: &mut Delivery<A>,
    front: &mut Front,
    mtu: u32,
) -> Result<(), Reason> {
    let transport = seen.frame.transport();
    let flags = seen.frame.flags;
    let first = delivery.client_seq.wrapping_add(1);
    let mut tcp = MaybeUninit::<TcpHdr>::uninit();
    let tcp = packet
        .header(transport, &mut tcp)
        .ok_or(Reason::BadTransportHeader)?;
    let done = if delivery.reply != 0 {
        let old = u32::from_be_bytes(tcp.ack_seq);
        let behind = first.wrapping_sub(old);
        if flags & ACK == 0 || behind == 0 || behind > length::<A>() {
            return Ok(());
        }
        let change = changed(old, first);
        renumber(packet, transport, TCP_ACK, first, tcp.check, change)
    } else {
        let old = u32::from_be_bytes(tcp.seq);
        let check = tcp.check;
        if flags & SYN == 0 && old != first {
            return Ok(());
        }
        if flags & SYN != 0 && payload(packet, seen) != Some(0) {
            return Err(Reason::SynWithData);
        }
        let new = old.wrapping_sub(length::<A>());
        let mut change = changed(old, new);
        if flags & (SYN | RST) == 0 {
            insert(packet, seen, delivery, front, mtu)?;
            change = change.plus(sum(seen));
        }
        renumber(packet, transport, TCP_SEQUENCE, new, check, change)
    };
    done.ok_or(Reason::BadTransportHeader)
}

/// The number that the client gave a packet which was sent on with `seq`, if that is another: its SYN, whose number was
/// `syn`, and its first segment.
#[inline(always)]
pub(super) fn restored<A: Family>(reply: u16, syn: u32, seq: u32) -> Option<u32> {
    let behind = syn.wrapping_sub(seq);
    let lowered = behind == length::<A>() || behind == length::<A>() - 1;
    (reply != 0 && lowered).then(|| seq.wrapping_add(length::<A>()))
}

/// What another number in place of one changes in a sum.
#[inline(always)]
pub(super) fn changed(old: u32, new: u32) -> Delta {
    let word = |number: u32| Delta::of_word(u32::from_ne_bytes(number.to_be_bytes()));
    Delta::replace(word(old), word(new))
}

/// Writes a sequence number into its field, and the checksum after all changes.
#[inline(always)]
fn renumber<P: PacketBuf>(
    packet: &mut P,
    transport: usize,
    field: usize,
    number: u32,
    check: [u8; 2],
    change: Delta,
) -> Option<()> {
    packet.set_header(transport + field, &number.to_be_bytes())?;
    packet.set_header(transport + TCP_CHECKSUM, &checksum::apply(check, change))
}

/// Bytes of the segment behind its header.
#[inline(always)]
fn payload<A: Family, P: PacketBuf>(packet: &P, seen: &Seen<A>) -> Option<usize> {
    let network = seen.frame.network();
    let end = network + A::outline(packet, network)?.length as usize;
    end.checked_sub(end_of_headers(packet, seen)?)
}

/// Offset of the first byte behind the TCP header.
#[inline(always)]
fn end_of_headers<A, P: PacketBuf>(packet: &P, seen: &Seen<A>) -> Option<usize> {
    let transport = seen.frame.transport();
    let mut control = MaybeUninit::<TcpControl>::uninit();
    let control = packet.header(transport, &mut control)?;
    Some(transport + usize::from(control.data_offset >> 4) * 4)
}

/// Puts the header in front of the payload. Nothing else changes but the length in the IP header.
#[inline(always)]
fn insert<A: Family, P: PacketBuf>(
    packet: &mut P,
    seen: &Seen<A>,
    delivery: &mut Delivery<A>,
    front: &mut Front,
    mtu: u32,
) -> Result<(), Reason> {
    // The offsets of the other fragments count from here.
    if seen.frame.fragment != 0 {
        return Err(Reason::NotTranslated);
    }
    let network = seen.frame.network();
    let outline = A::outline(packet, network).ok_or(Reason::TruncatedIp)?;
    // What is longer already is many packets that GRO put together.
    if outline.length <= mtu {
        tunnel::fits::<A>(&outline, growth::<A>(delivery), mtu, &mut delivery.mtu)?;
    }
    let gap = end_of_headers(packet, seen).ok_or(Reason::BadTransportHeader)?;
    if gap > MAX_FRONT {
        return Err(Reason::BadExtensionHeaders);
    }
    if !packet.open_gap(gap, length::<A>() as usize, &mut front.0) {
        return Err(Reason::HeadroomError);
    }
    A::lengthen(packet, network, FIXED + addresses::<A>())
        .and_then(|()| write(packet, gap, seen))
        .ok_or(Reason::NeedsFragmenting)
}

/// Bytes that the packet grows by, the header of the other family considered.
#[inline(always)]
fn growth<A: Family>(delivery: &Delivery<A>) -> u32 {
    if A::MAY_CROSS && delivery.crosses != 0 {
        length::<A>() - (Addr6::HEADER - Addr4::HEADER)
    } else {
        length::<A>()
    }
}

/// The last word before the addresses.
#[inline(always)]
const fn command<A: Family>() -> [u8; 4] {
    let [high, low] = addresses::<A>().to_be_bytes();
    let family = if size_of::<A>() == 4 { TCP4 } else { TCP6 };
    [PROXY, family, high, low]
}

#[inline(always)]
fn write<A: Family, P: PacketBuf>(packet: &mut P, at: usize, seen: &Seen<A>) -> Option<()> {
    let [first, second, third] = SIGNATURE;
    packet.set_header(at, &first)?;
    packet.set_header(at + 4, &second)?;
    packet.set_header(at + 8, &third)?;
    packet.set_header(at + 12, &command::<A>())?;
    let client = &seen.key.tuple;
    let address = at + FIXED as usize;
    client.src.write(packet, address)?;
    client.dst.write(packet, address + size_of::<A>())?;
    let ports = Ports {
        source: client.sport.0,
        dest: client.dport.0,
    };
    packet.set_header(address + 2 * size_of::<A>(), &ports)
}

/// What the header changes in the TCP checksum, the length in the pseudo-header included. It is of even length, so what
/// follows keeps its places.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "28 or 52")]
fn sum<A: Family>(seen: &Seen<A>) -> Delta {
    let word = |bytes: [u8; 4]| Delta::of_word(u32::from_ne_bytes(bytes));
    let [first, second, third] = SIGNATURE;
    let [high, low] = (length::<A>() as u16).to_be_bytes();
    let client = &seen.key.tuple;
    word(first)
        .plus(word(second))
        .plus(word(third))
        .plus(word(command::<A>()))
        .plus(word([high, low, 0, 0]))
        .plus(client.src.checksum_words())
        .plus(client.dst.checksum_words())
        .plus(Delta::of_ports(client.sport, client.dport))
}
