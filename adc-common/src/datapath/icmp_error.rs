//! ICMP errors about packets that go no further: time exceeded, and packet too big (in IPv4: fragmentation needed).
//!
//! The packet itself is turned around: in front of it grow an IP and an ICMP header, its end is cut off, and it goes
//! back where it came from.

use core::{hint::black_box, mem::MaybeUninit};

use super::{
    checksum::{self, Delta},
    family::Family,
    ports::{PacketBuf, Tables},
    scratch::{Budget, Scratch},
    wire::EthernetHeader,
};
use crate::abi::{Addr4, Addr6, Protocol, Reason, Tick};

/// The span in which errors are counted.
const WINDOW: Tick = Tick::from_secs(1);

/// Bytes that are summed at once.
const CHUNK: usize = 32;

/// Chunks of a quote at most.
const MAX_CHUNKS: usize = Addr6::QUOTE as usize / CHUNK;

/// TTL of errors: what Linux starts with.
const TTL: u8 = 64;

/// What became of the attempt.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The packet is now the error, and is to be sent by the interface it came in by.
    Sent,
    /// There were too many lately.
    Limited,
    /// None may be sent, or it could not be made.
    None,
}

/// The first word of a message and the last of its header.
pub(super) struct Message {
    kind: u8,
    code: u8,
    /// Next-hop MTU; 0 in other messages.
    mtu: u32,
}

/// A family that has ICMP errors.
pub(super) trait IcmpError: Family {
    /// Bytes quoted at most, a multiple of four.
    const QUOTE: u32;
    /// Bytes of IP and ICMP header.
    const HEADERS: usize;
    /// Time exceeded in transit: type and code.
    const TIME_EXCEEDED: (u8, u8);
    /// Packet too big.
    const TOO_BIG: (u8, u8);

    /// Whether an error may be sent to this address (RFC 1122 §3.2.2, RFC 4443 §2.4 e).
    fn is_one_host(self) -> bool;

    /// Writes both headers at `offset`, in front of `quoted` bytes that sum to `sum`.
    fn write_error<P: PacketBuf>(
        packet: &mut P,
        offset: usize,
        ends: (&Self, &Self),
        message: &Message,
        quoted: u32,
        sum: Delta,
    ) -> Option<()>;
}

/// Makes the packet an error to its own sender, from the VIP that it is about.
#[inline(never)]
pub(super) fn answer<A, P, T>(
    packet: &mut P,
    tables: &T,
    scratch: &mut Scratch<A>,
    reason: Reason,
) -> Answer
where
    A: IcmpError,
    P: PacketBuf,
    T: Tables,
{
    let Scratch {
        seen,
        delivery,
        errors,
        ..
    } = scratch;
    let ((kind, code), mtu) = if reason == Reason::PacketTooBig {
        (A::TOO_BIG, delivery.mtu)
    } else {
        (A::TIME_EXCEEDED, 0)
    };
    let message = Message { kind, code, mtu };
    let sender = &seen.key.tuple.src;
    let Some(ingress) = tables.interface(seen.frame.ingress()) else {
        return Answer::None;
    };
    let Some(outline) = A::outline(packet, seen.frame.network()) else {
        return Answer::None;
    };
    // What crosses on its way back is an IPv4 packet (NAT64), whatever its addresses look like here.
    let foreign = A::MAY_CROSS && delivery.reply != 0 && delivery.crosses != 0;
    if ingress.icmp_errors == 0 || foreign || !sender.is_one_host() {
        return Answer::None;
    }
    if !take(errors, u32::from(ingress.icmp_errors), seen.now) {
        return Answer::Limited;
    }
    // A word or less is missing at the end; the IP header and eight bytes are a multiple of four, and all there.
    let quoted = outline.length.min(A::QUOTE) & !3;
    let vip = if delivery.reply == 0 {
        &seen.key.tuple.dst
    } else {
        &delivery.to.src
    };
    let start = seen.frame.network();
    match turn(packet, start, (vip, sender), &message, quoted) {
        Some(()) => Answer::Sent,
        None => Answer::None,
    }
}

/// Takes one error out of the budget of this second, if it has one left.
#[inline(always)]
fn take(errors: &mut Budget, limit: u32, now: Tick) -> bool {
    if now.since(errors.since) >= WINDOW {
        errors.since = now;
        errors.sent = 0;
    }
    let left = errors.sent < limit;
    if left {
        errors.sent += 1;
    }
    left
}

#[inline(always)]
fn turn<A: IcmpError, P: PacketBuf>(
    packet: &mut P,
    start: usize,
    ends: (&A, &A),
    message: &Message,
    quoted: u32,
) -> Option<()> {
    let quote = start + A::HEADERS;
    let end = quote + quoted as usize;
    if !packet.grow_head(A::HEADERS) {
        return None;
    }
    let surplus = packet.length().checked_sub(end)?;
    if surplus > 0 && !packet.shrink_tail(surplus) {
        return None;
    }
    // Tags as they came, at their new place.
    let mut at = size_of::<EthernetHeader>();
    for _ in 0..2 {
        if at >= start {
            break;
        }
        let mut tag = MaybeUninit::<[u8; 4]>::uninit();
        let tag = *packet.header(at + A::HEADERS, &mut tag)?;
        packet.set_header(at, &tag)?;
        at += 4;
    }
    let mut ethernet = MaybeUninit::<EthernetHeader>::uninit();
    let came = *packet.header(A::HEADERS, &mut ethernet)?;
    let back = EthernetHeader {
        dst: came.src,
        src: came.dst,
        ethertype: came.ethertype,
    };
    packet.set_header(0, &back)?;
    let sum = sum_of(packet, quote, quoted as usize)?;
    A::write_error(packet, start, ends, message, quoted, sum)
}

/// The sum of so many bytes, a multiple of four, at most [`MAX_CHUNKS`] chunks and a little.
#[inline(always)]
fn sum_of<P: PacketBuf>(packet: &P, offset: usize, bytes: usize) -> Option<Delta> {
    let (chunks, words) = (bytes / CHUNK, bytes % CHUNK / 4);
    let mut sum = Delta::of_word(0);
    for chunk in 0..MAX_CHUNKS {
        // Hidden, or the compiler would count down from `chunks`, which the verifier does not know to end.
        if black_box(chunk) >= chunks {
            break;
        }
        let mut bytes = MaybeUninit::<[u8; CHUNK]>::uninit();
        let bytes = packet.header(offset + CHUNK * chunk, &mut bytes)?;
        for word in bytemuck::cast::<[u8; CHUNK], [u32; CHUNK / 4]>(*bytes) {
            sum = sum.plus(Delta::of_word(word));
        }
    }
    let rest = offset + chunks * CHUNK;
    for at in 0..CHUNK / 4 - 1 {
        if black_box(at) >= words {
            break;
        }
        let mut bytes = MaybeUninit::<[u8; 4]>::uninit();
        let bytes = packet.header(rest + 4 * at, &mut bytes)?;
        sum = sum.plus(Delta::of_word(u32::from_ne_bytes(*bytes)));
    }
    Some(sum)
}

impl IcmpError for Addr4 {
    // RFC 1812 §4.3.2.3: as much as makes a message of 576 bytes.
    const QUOTE: u32 = 576 - 28;
    const HEADERS: usize = 28;
    const TIME_EXCEEDED: (u8, u8) = (11, 0);
    const TOO_BIG: (u8, u8) = (3, 4);

    #[inline(always)]
    fn is_one_host(self) -> bool {
        // This network, loopback, multicast, reserved and broadcast (RFC 6890).
        let [first, ..] = self.0;
        first != 0 && first != 127 && first < 224
    }

    #[inline(always)]
    fn write_error<P: PacketBuf>(
        packet: &mut P,
        offset: usize,
        (from, to): (&Self, &Self),
        message: &Message,
        quoted: u32,
        sum: Delta,
    ) -> Option<()> {
        // Precedence "internetwork control" (RFC 1812 §4.3.2.5), DF, no identification.
        const TOS: u8 = 0xc0;
        const DF: [u8; 4] = [0, 0, 0x40, 0];
        let [_, _, length_high, length_low] = (quoted + 28).to_be_bytes();
        let first = [0x45, TOS, length_high, length_low];
        let third = [TTL, Protocol::ICMP.0, 0, 0];
        let addresses = from.checksum_words().plus(to.checksum_words());
        let header = word(first).plus(word(DF)).plus(word(third)).plus(addresses);
        let [check_high, check_low] = checksum::of(header);
        packet.set_header(offset, &first)?;
        packet.set_header(offset + 4, &DF)?;
        packet.set_header(offset + 8, &[TTL, Protocol::ICMP.0, check_high, check_low])?;
        packet.set_header(offset + 12, &from.0)?;
        packet.set_header(offset + 16, &to.0)?;
        // RFC 1191 §4: the MTU is in the low half, whose high half is not in use.
        write_message(packet, offset + 20, message, sum)
    }
}

impl IcmpError for Addr6 {
    // RFC 4443 §2.4 c: as much as fits the minimum MTU.
    const QUOTE: u32 = 1280 - 48;
    const HEADERS: usize = 48;
    const TIME_EXCEEDED: (u8, u8) = (3, 0);
    const TOO_BIG: (u8, u8) = (2, 0);

    #[inline(always)]
    fn is_one_host(self) -> bool {
        let [a, b] = self.hash_words();
        let multicast = a >> 56 == 0xff;
        !multicast && (a != 0 || b > 1)
    }

    #[inline(always)]
    fn write_error<P: PacketBuf>(
        packet: &mut P,
        offset: usize,
        (from, to): (&Self, &Self),
        message: &Message,
        quoted: u32,
        sum: Delta,
    ) -> Option<()> {
        let payload = quoted + 8;
        let [_, _, length_high, length_low] = payload.to_be_bytes();
        packet.set_header(offset, &[0x60, 0, 0, 0])?;
        packet.set_header(
            offset + 4,
            &[length_high, length_low, Protocol::ICMP6.0, TTL],
        )?;
        packet.set_header(offset + 8, &from.0)?;
        packet.set_header(offset + 24, &to.0)?;
        // The pseudo-header (RFC 8200 §8.1).
        let pseudo = from
            .checksum_words()
            .plus(to.checksum_words())
            .plus(word(payload.to_be_bytes()))
            .plus(word([0, 0, 0, Protocol::ICMP6.0]));
        write_message(packet, offset + 40, message, sum.plus(pseudo))
    }
}

#[inline(always)]
fn word(bytes: [u8; 4]) -> Delta {
    Delta::of_word(u32::from_ne_bytes(bytes))
}

/// The eight bytes of ICMP header; `sum` is that of everything else that the checksum covers.
#[inline(always)]
fn write_message<P: PacketBuf>(
    packet: &mut P,
    offset: usize,
    message: &Message,
    sum: Delta,
) -> Option<()> {
    let mtu = message.mtu.to_be_bytes();
    let sum = sum
        .plus(word([message.kind, message.code, 0, 0]))
        .plus(word(mtu));
    let [check_high, check_low] = checksum::of(sum);
    packet.set_header(offset, &[message.kind, message.code, check_high, check_low])?;
    packet.set_header(offset + 4, &mtu)
}
