//! Working memory of one packet.
//!
//! The BPF stack has 512 bytes for a whole call chain, and the verifier refuses unaligned access to it; an
//! IPv6 key alone has 40. So what a packet's walk builds up lives in one per-CPU map element instead. XDP
//! runs with bottom halves off, so no second packet uses it meanwhile.

use super::{
    checksum::Delta,
    family::Family,
    icmp_cross::Errand,
    parse::{Frame, offset16},
    piece::Piece,
    ports::MAX_FRONT,
    soundness::Layer,
};
use crate::abi::{
    Addr4, Addr6, Addr16, BackendId, FlowFlags, FlowKey, ForwardingMode, FragmentEntry,
    FragmentKey, HalfOpenEntry, Hop, Phase, Protocol, RangeKey, Reason, ServiceId, ServiceKey,
    Tick, Tuple,
};

/// A parsed packet and the time it is judged at.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen<A> {
    pub(super) key: FlowKey<A>,
    pub(super) frame: Frame,
    /// Of a fragment only.
    pub(super) piece: PieceAt,
    pub(super) now: Tick,
}

/// Where in its datagram a fragment belongs.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PieceAt {
    /// Identification; 16 bits of it in IPv4.
    pub(super) id: u32,
    /// In units of eight bytes.
    pub(super) offset: u16,
    /// 1 if others follow it.
    pub(super) more: u8,
    /// 1 if there are extension headers in its datagram, which would be left behind with its family.
    pub(super) extended: u8,
}

impl PieceAt {
    /// Of a fragment behind whose headers there is, or in the first was, this protocol.
    #[inline(always)]
    pub(super) fn of(piece: &Piece, protocol: Protocol) -> Self {
        let plain = matches!(protocol, Protocol::TCP | Protocol::UDP | Protocol::SCTP);
        Self {
            id: piece.id,
            offset: offset16(piece.offset / 8),
            more: u8::from(piece.more),
            extended: u8::from(!plain || piece.left != piece.length),
        }
    }
}

impl Seen<Addr6> {
    /// Becomes an IPv4 packet, as the IPv6 tables know it.
    #[inline(always)]
    pub(super) fn embed(&mut self, from: &Seen<Addr4>) {
        embed(&mut self.key, &from.key);
        self.frame = from.frame;
        self.piece = from.piece;
        self.now = from.now;
    }
}

/// Makes a key of the IPv6 tables of one of the IPv4 tables.
#[inline(always)]
pub(super) fn embed<A: Family>(key: &mut FlowKey<Addr6>, from: &FlowKey<A>) {
    let Tuple {
        src,
        dst,
        sport,
        dport,
    } = from.tuple;
    let (src, dst): (Addr16, Addr16) = (src.into(), dst.into());
    key.tuple.src.assign(&src.0);
    key.tuple.dst.assign(&dst.0);
    key.tuple.sport = sport;
    key.tuple.dport = dport;
    key.protocol = from.protocol;
}

/// What a clock last read.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// By which the clock knows whether the reading is still good.
    pub stamp: u64,
    /// The reading, in nanoseconds.
    pub nanos: u64,
    /// The same in ticks.
    pub now: Tick,
}

/// How a packet is to leave.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Delivery<A> {
    /// Its addresses and ports from here on.
    pub(super) to: Tuple<A>,
    /// Where it goes.
    pub(super) hop: Hop,
    /// The backend it goes to or comes from.
    pub(super) backend: BackendId,
    /// 1 if it goes to the client.
    pub(super) reply: u16,
    /// 1 if it leaves in the other family's header (NAT64); IPv6 tables only.
    pub(super) crosses: u16,
    /// [`FlowFlags::DIRECT`] and [`FlowFlags::TUNNEL`], as the flow has them, and [`FlowFlags::PREFACE`].
    pub(super) direct: FlowFlags,
    /// If it is too big: the largest packet that is not, in bytes.
    pub(super) mtu: u32,
    /// With [`FlowFlags::PREFACE`], but for SYNs: sequence number of the client's SYN.
    pub(super) client_seq: u32,
    /// SCTP: its CRC from here on.
    pub(super) crc: [u8; 4],
    /// Of a fragment that crosses.
    pub(super) crossing: PieceAcross,
}

/// What a fragment keeps when it changes its family, and where it starts then.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PieceAcross {
    /// Offset of the new IP header.
    pub(super) network: u16,
    /// Bytes behind the IP and fragment headers.
    pub(super) length: u16,
    /// Traffic class.
    pub(super) class: u8,
    pub(super) zero: [u8; 3],
}

/// What was chosen for a new flow, next to the backend.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Choice {
    pub(super) hash: u32,
    pub(super) service: ServiceId,
    pub(super) phase: Phase,
    pub(super) mode: ForwardingMode,
}

/// Where the parts of an ICMP error are. In memory between the steps: what the verifier does not follow from step to step,
/// it does not multiply.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct QuoteAt {
    /// Offset of the IP header of the error.
    pub(super) network: u16,
    /// Offset of its ICMP header.
    pub(super) icmp: u16,
    /// Offset of the quoted ports.
    pub(super) ports: u16,
    /// Offset of the first byte behind the packet.
    pub(super) end: u16,
    /// What the translation of the quoted packet changes in the sum around it.
    pub(super) change: Delta,
}

impl QuoteAt {
    /// Moves everything with the head of the frame.
    #[inline(always)]
    pub(super) fn shift(&mut self, frame: &Frame, by: isize) {
        let moved = |offset: usize| offset16(offset.wrapping_add_signed(by));
        self.network = moved(frame.network());
        self.icmp = moved(frame.transport());
        self.ports = moved(usize::from(self.ports));
        self.end = moved(usize::from(self.end));
    }
}

/// Headers of a packet; see [`super::PacketBuf::open_gap`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Front(pub(super) [u8; MAX_FRONT]);

impl Default for Front {
    fn default() -> Self {
        Self([0; MAX_FRONT])
    }
}

/// How many ICMP errors were sent lately.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Budget {
    /// Since when they are counted.
    pub(super) since: Tick,
    pub(super) sent: u32,
}

/// Everything one packet's walk keeps. Contents survive from packet to packet and, but for the clock and the errors, mean
/// nothing then: each part is written before it is read.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Scratch<A> {
    pub(super) seen: Seen<A>,
    pub(super) delivery: Delivery<A>,
    /// Key of the flow's other direction.
    pub(super) other: FlowKey<A>,
    /// An entry on its way into a table.
    pub(super) half: HalfOpenEntry<A>,
    /// Key of a service lookup.
    pub(super) index: ServiceKey,
    pub(super) choice: Choice,
    /// The clock's notes.
    pub(super) clock: Reading,
    /// Key of a fragment lookup.
    pub(super) fragment: FragmentKey<A>,
    /// Where the parts of an ICMP error are.
    pub(super) quote: QuoteAt,
    /// What an ICMP error says that leaves in the other family.
    pub(super) errand: Errand,
    /// Where a self-check looks.
    pub(super) layer: Layer,
    /// A first fragment on its way into a table.
    pub(super) first: FragmentEntry,
    /// The front of a packet on its way towards the headroom.
    pub(super) front: Front,
    /// 1 if the packet is of a validated flow.
    pub(super) tracked: u32,
    /// What was decided.
    pub(super) reason: Reason,
    /// Of this CPU and family; survives, too.
    pub(super) errors: Budget,
    /// Key of a lookup among ranges of ports.
    pub(super) range: RangeKey,
}
