//! Working memory of one packet.
//!
//! The BPF stack has 512 bytes for a whole call chain, and the verifier refuses unaligned access to it; an
//! IPv6 key alone has 40. So what a packet's walk builds up lives in one per-CPU map element instead. XDP
//! runs with bottom halves off, so no second packet uses it meanwhile.

use super::parse::Frame;
use crate::abi::{
    Addr4, Addr6, Addr16, BackendId, FlowKey, ForwardingMode, HalfOpenEntry, Hop, Phase, ServiceId,
    ServiceKey, Tick, Tuple,
};

/// A parsed packet and the time it is judged at.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct Seen<A> {
    pub(super) key: FlowKey<A>,
    pub(super) frame: Frame,
    pub(super) now: Tick,
}

impl Seen<Addr6> {
    /// Becomes an IPv4 packet, as the IPv6 tables know it.
    #[inline(always)]
    pub(super) fn embed(&mut self, from: &Seen<Addr4>) {
        let Tuple {
            src,
            dst,
            sport,
            dport,
        } = from.key.tuple;
        self.key.tuple.src.assign(&Addr16::from(src).0);
        self.key.tuple.dst.assign(&Addr16::from(dst).0);
        self.key.tuple.sport = sport;
        self.key.tuple.dport = dport;
        self.key.protocol = from.key.protocol;
        self.frame = from.frame;
        self.now = from.now;
    }
}

/// What a clock last read.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Reading {
    /// By which the clock knows whether the reading is still good.
    pub stamp: u64,
    /// The reading.
    pub now: Tick,
}

/// How a packet is to leave.
#[repr(C)]
#[derive(Clone, Copy, Default)]
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
}

/// What was chosen for a new flow, next to the backend.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct Choice {
    pub(super) hash: u32,
    pub(super) service: ServiceId,
    pub(super) phase: Phase,
    pub(super) mode: ForwardingMode,
}

/// Everything one packet's walk keeps. Contents survive from packet to packet and, but for the clock's, mean
/// nothing then: each part is written before it is read.
#[repr(C)]
#[derive(Clone, Copy, Default)]
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
}
