//! SCTP (RFC 9260), as much of it as a balancer needs: which chunk a packet begins with, the tags that tell whether its
//! sender heard the other end, and the CRC.
//!
//! The first chunk is put in terms of TCP's flags, so that flows have one state machine: INIT opens like a SYN, INIT ACK
//! answers like a SYN-ACK, SHUTDOWN, SHUTDOWN ACK and SHUTDOWN COMPLETE end a direction like a FIN, ABORT is a RST, and
//! everything else is an ACK. What sequence numbers are to TCP's handshake, tags are to this one: whoever
//! answers must name the tag that was given to him. Chunks behind the first are not looked at.

use core::mem::MaybeUninit;

use super::{
    crc32c,
    decide::refuse,
    direct::is_direct,
    family::Family,
    icmp::find,
    parse::Frame,
    piece::LONGEST,
    ports::{FlowTables, PacketBuf, Tables},
    scratch::{Delivery, Scratch, Seen},
    wire::{
        SCTP_CHECKSUM, SctpHeader,
        tcp_flags::{ACK, FIN, RST, SYN},
    },
};
use crate::abi::{FlowKey, Port, Reason, Tuple};

/// Bytes of the common header.
const COMMON: usize = 12;

/// Bytes of the common header and the header of a chunk.
const SHORTEST: usize = size_of::<SctpHeader>();

/// Bytes of an INIT or INIT ACK chunk without parameters (RFC 9260 §3.3.2).
const SHORTEST_INIT: usize = 20;

/// Bytes that a first fragment must hold to be judged: the initiate tag is the last that is looked at.
pub(super) const FIRST_FRAGMENT: usize = SHORTEST + size_of::<[u8; 4]>();

/// Flags by the type of a chunk, five bits each, for types 0 to 8: DATA, INIT, INIT ACK, SACK, HEARTBEAT, HEARTBEAT ACK,
/// ABORT, SHUTDOWN, SHUTDOWN ACK (RFC 9260 §3.2).
const FLAGS: u64 = flags([
    ACK,
    SYN,
    SYN | ACK,
    ACK,
    ACK,
    ACK,
    RST,
    FIN | ACK,
    FIN | ACK,
]);

/// Bits of an entry of [`FLAGS`].
const WIDTH: u8 = 5;

/// Type of SHUTDOWN COMPLETE.
const SHUTDOWN_COMPLETE: u8 = 14;

const fn flags(of: [u8; 9]) -> u64 {
    let mut table = 0;
    let mut kind = of.len();
    while kind > 0 {
        kind -= 1;
        table = table << WIDTH | of[kind] as u64;
    }
    table
}

/// TCP flags that mean what a chunk of this type does.
#[inline(always)]
const fn flags_of(kind: u8) -> u8 {
    match kind {
        0..=8 => (FLAGS >> (kind * WIDTH) & ((1 << WIDTH) - 1)) as u8,
        SHUTDOWN_COMPLETE => FIN | ACK,
        _ => ACK,
    }
}

/// Ports and flags of a packet of which only the IP header was looked at; `None` if that went well, and the packet is to be
/// walked like any other.
#[inline(never)]
pub(super) fn walk<A, P, T>(packet: &P, tables: &T, scratch: &mut Scratch<A>) -> Option<Reason>
where
    A: Family,
    P: PacketBuf,
    T: Tables + FlowTables<A>,
{
    let Seen { frame, key, .. } = &mut scratch.seen;
    let length = end(packet, frame.network())
        .and_then(|end| end.checked_sub(frame.transport()))
        .unwrap_or(0);
    match parse(packet, frame, key, length) {
        Ok(()) => None,
        Err(reason) => Some(refuse(tables, scratch, reason)),
    }
}

/// Judges the common header and the first chunk of a packet of `length` bytes behind IP. Fills in the key's ports and the
/// frame's flags.
///
/// A tag of zero goes with INIT and with nothing else, and INIT and INIT ACK stand alone (RFC 9260 §6.10, §8.5.1). Of a
/// first fragment, whose `length` is that of the longest packet, the latter is not asked.
#[inline(always)]
pub(super) fn parse<A, P: PacketBuf>(
    packet: &P,
    frame: &mut Frame,
    key: &mut FlowKey<A>,
    length: usize,
) -> Result<(), Reason> {
    if length < SHORTEST {
        return Err(Reason::TruncatedTransport);
    }
    let mut header = MaybeUninit::<SctpHeader>::uninit();
    let Some(header) = packet.header(frame.transport(), &mut header) else {
        return Err(Reason::TruncatedTransport);
    };
    key.tuple.sport = Port(header.ports.source);
    key.tuple.dport = Port(header.ports.dest);
    if key.tuple.sport == Port([0, 0]) {
        return Err(Reason::ZeroPort);
    }
    let flags = flags_of(header.kind);
    let chunk = usize::from(u16::from_be_bytes(header.chunk_length));
    let chunks = length - COMMON;
    let opens = flags == SYN;
    let untagged = header.tag == [0; 4];
    if chunk < SHORTEST - COMMON || chunk > chunks || opens != untagged {
        return Err(Reason::BadTransportHeader);
    }
    if flags & SYN != 0 {
        // Chunks are padded to four bytes.
        let alone = length == LONGEST || chunks - chunk < 4;
        if chunk < SHORTEST_INIT || !alone || initiate_tag(packet, frame) == 0 {
            return Err(Reason::BadTransportHeader);
        }
    }
    frame.flags = flags;
    Ok(())
}

/// The tag that the sender of an INIT or INIT ACK wants to be addressed with. Never zero (RFC 9260 §3.3.2), so
/// zero stands for none.
#[inline(always)]
fn initiate_tag<P: PacketBuf>(packet: &P, frame: &Frame) -> u32 {
    word(packet, frame.transport() + SHORTEST)
}

#[inline(always)]
fn word<P: PacketBuf>(packet: &P, offset: usize) -> u32 {
    let mut word = MaybeUninit::<[u8; 4]>::uninit();
    packet
        .header(offset, &mut word)
        .map_or(0, |word| u32::from_be_bytes(*word))
}

/// What takes the place of TCP's numbers: the tag that the packet is addressed with in the lower half; in the upper one, if
/// it is an INIT or INIT ACK, the tag that its sender wants to be addressed with.
#[inline(never)]
pub(super) fn tags<P: PacketBuf>(packet: &P, frame: &Frame) -> u64 {
    let own = if frame.flags & SYN == 0 {
        0
    } else {
        initiate_tag(packet, frame)
    };
    u64::from(own) << 32 | u64::from(word(packet, frame.transport() + 4))
}

/// Leaves in `delivery` the CRC that the packet will have. That of a fragment stays as it is: the length of the whole is
/// not known, and fragments whose ports change do not get here ([`changes_ports`]).
#[inline(never)]
pub(super) fn seal<A, P: PacketBuf>(packet: &P, seen: &Seen<A>, delivery: &mut Delivery<A>) {
    if is_direct(delivery.direct) {
        return;
    }
    let frame = &seen.frame;
    let mut check = MaybeUninit::<[u8; 4]>::uninit();
    let Some(check) = packet.header(frame.transport() + SCTP_CHECKSUM, &mut check) else {
        return;
    };
    delivery.crc = *check;
    let difference = ports(&seen.key.tuple) ^ ports(&delivery.to);
    if difference == 0 || frame.fragment != 0 {
        return;
    }
    let Some(end) = end(packet, frame.network()) else {
        return;
    };
    let length = end.wrapping_sub(frame.transport());
    let crc = u32::from_le_bytes(*check) ^ crc32c::change(difference, length);
    delivery.crc = crc.to_le_bytes();
}

/// Whether a fragment of an SCTP packet is of a flow that translates no ports: whatever changes them must correct a CRC
/// over the whole packet, which is not here. A fragment opens no flow, because nobody can say yet.
#[inline(always)]
pub(super) fn keeps_ports<A, T>(tables: &T, scratch: &mut Scratch<A>) -> bool
where
    A: Family,
    T: Tables + FlowTables<A>,
{
    let Scratch { seen, delivery, .. } = scratch;
    find(tables, &seen.key, delivery) && !changes_ports(&seen.key.tuple, &delivery.to)
}

/// Whether a flow's ports are translated, which fragments can not be.
#[inline(always)]
pub(super) fn changes_ports<A>(from: &Tuple<A>, to: &Tuple<A>) -> bool {
    ports(from) != ports(to)
}

/// The first four bytes, as the CRC has them.
#[inline(always)]
fn ports<A>(tuple: &Tuple<A>) -> u32 {
    let (Port([a, b]), Port([c, d])) = (tuple.sport, tuple.dport);
    u32::from_le_bytes([a, b, c, d])
}

/// Offset of the first byte behind the IP packet at `network`, whichever family it is of.
#[inline(always)]
fn end<P: PacketBuf>(packet: &P, network: usize) -> Option<usize> {
    const IPV6: usize = 40;
    let mut ip = MaybeUninit::<[u8; 8]>::uninit();
    let [version, _, a, b, c, d, ..] = *packet.header(network, &mut ip)?;
    Some(if version >> 4 == 4 {
        network + usize::from(u16::from_be_bytes([a, b]))
    } else {
        network + IPV6 + usize::from(u16::from_be_bytes([c, d]))
    })
}
