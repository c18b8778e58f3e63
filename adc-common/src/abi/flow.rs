//! Flows: the connection-tracking tables.
//!
//! A flow is two entries, one per direction, each keyed by the packet that will arrive in that
//! direction and holding the other's tuple. Translating a packet means giving it the *reverse* of the
//! other direction's tuple, so `reply(forward(p)) = p` holds by construction and one code path serves
//! both directions. `FLOWS4`/`FLOWS6` hold validated flows and evict nothing; `HALF_OPEN4`/`HALF_OPEN6`
//! are LRUs for flows that are not validated yet.
//!
//! Sizes are a budget: an IPv4 entry is 16 + 32 bytes behind the kernel's 48-byte element header, so
//! 96 bytes that never straddle more than two cache lines, and 224 bytes a flow with hash buckets.
//! Keys and values are 8-aligned because they stand on the BPF stack, where the verifier demands aligned
//! access (`check_ptr_alignment`, Linux 6.1) and the compiler wants to move 8 bytes at a time.

use super::{Addr4, Addr6, BackendId, Hop, Port, Protocol, Tick, abi_newtype};

abi_newtype! {
    /// Where a flow is in its life; TCP phases follow RFC 9293 §3.3.2 as seen from the middle.
    pub struct Phase(pub u8) align 1
}

impl Phase {
    /// TCP: SYN seen from the client.
    pub const SYN_SENT: Self = Self(0);
    /// TCP: SYN-ACK seen from the backend, answering that SYN.
    pub const SYN_RECEIVED: Self = Self(1);
    /// TCP: handshake complete, sequence numbers checked.
    pub const ESTABLISHED: Self = Self(2);
    /// TCP: one side sent FIN; the other may talk on for hours.
    pub const HALF_CLOSED: Self = Self(3);
    /// TCP: both sides sent FIN.
    pub const CLOSED: Self = Self(4);
    /// TCP: RST seen.
    pub const RESET: Self = Self(5);
    /// UDP: no reply yet.
    pub const UNREPLIED: Self = Self(6);
    /// UDP: packets seen both ways.
    pub const REPLIED: Self = Self(7);
    /// TCP: picked up mid-stream (no SYN seen by this node), not answered yet.
    pub const PICKED_UP: Self = Self(8);

    /// TCP: handshake complete, but the backend has not acknowledged the PROXY protocol header that goes before the
    /// client's bytes. Validated as far as the client goes.
    pub const PREFACED: Self = Self(9);

    /// Number of phases.
    pub const COUNT: usize = 10;

    /// Room for phases in a table indexed by them: a power of two, so that a mask bounds the index.
    pub const CAPACITY: usize = 16;

    /// This phase as an index below [`Self::CAPACITY`].
    #[inline(always)]
    pub const fn index(self) -> usize {
        (self.0 & 15) as usize
    }

    /// Name, as shown by `adc flow list`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SYN_SENT => "syn-sent",
            Self::SYN_RECEIVED => "syn-received",
            Self::ESTABLISHED => "established",
            Self::HALF_CLOSED => "half-closed",
            Self::CLOSED => "closed",
            Self::RESET => "reset",
            Self::UNREPLIED => "unreplied",
            Self::REPLIED => "replied",
            Self::PICKED_UP => "picked-up",
            Self::PREFACED => "prefaced",
            Self(_) => "unknown",
        }
    }
}

abi_newtype! {
    /// Bit set in a flow entry.
    pub struct FlowFlags(pub u8) align 1
}

impl FlowFlags {
    /// This entry matches packets from the backend.
    pub const REPLY: Self = Self(1);
    /// A FIN was seen in this direction.
    pub const FIN_SEEN: Self = Self(2);
    /// In the IPv6 tables: the two directions are of different families (NAT64). IPv4 addresses are v4-mapped.
    pub const CROSSES: Self = Self(4);
    /// The packet is one of a handshake that a PROXY protocol header goes with. Said of packets on their way, never in a
    /// table: there, [`HalfOpenEntry::preface`] says so, and main entries know nothing of it.
    pub const PREFACE: Self = Self(0x20);
    /// The backend answers the client directly: there is no entry for replies.
    pub const DIRECT: Self = Self(0x40);
    /// Packets reach the backend inside another packet. Only ever together with [`Self::DIRECT`].
    pub const TUNNEL: Self = Self(0x80);

    /// Whether all bits of `other` are set.
    #[inline(always)]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// [`Self::CROSSES`], or nothing.
    #[inline(always)]
    pub const fn of_crossing(crosses: bool) -> Self {
        if crosses { Self::CROSSES } else { Self(0) }
    }

    /// With the bits of `other` set too.
    #[inline(always)]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Addresses and ports of a packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tuple<A> {
    /// Source address.
    pub src: A,
    /// Destination address.
    pub dst: A,
    /// Source port.
    pub sport: Port,
    /// Destination port.
    pub dport: Port,
}

/// Key of the flow tables: the packet as it arrives.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlowKey<A> {
    /// Addresses and ports.
    pub tuple: Tuple<A>,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Zero.
    pub _pad: [u8; 3],
}

/// Value of the main flow tables: one direction of a flow.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlowEntry<A> {
    /// Eight bytes that this release does without: every other field stands elsewhere, and the entry is longer.
    #[cfg(feature = "earlier-layout")]
    pub dropped: u64,
    /// The tuple of packets that arrive in the other direction (its key). With [`FlowFlags::DIRECT`] those never
    /// arrive here, and it is the key's own tuple reversed.
    pub other: Tuple<A>,
    /// In a reply entry: where to send, the client's last hop. In a forward entry: the client's last hop
    /// as last seen, so that a moved client router is noticed without a second lookup.
    pub hop: Hop,
    /// When a packet of this direction was last seen; refreshed at most once a second.
    pub last_seen: Tick,
    /// Backend the flow is bound to.
    pub backend: BackendId,
    /// Same in both entries.
    pub phase: Phase,
    /// See [`FlowFlags`].
    pub flags: FlowFlags,
}

/// Value of the half-open tables.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct HalfOpenEntry<A> {
    /// The entry that moves to the main table once the flow is validated.
    pub flow: FlowEntry<A>,
    /// TCP: initial sequence number of this direction's sender, host order; meaningful from the moment
    /// that sender's SYN was seen.
    pub initial_seq: u32,
    /// TCP: 1 if a PROXY protocol header goes before the client's bytes. The same in both entries of a flow.
    pub preface: u8,
    /// Zero.
    pub _pad: [u8; 3],
}

impl<A: Copy> Tuple<A> {
    /// With source and destination exchanged.
    #[inline(always)]
    pub const fn reversed(self) -> Self {
        Self {
            src: self.dst,
            dst: self.src,
            sport: self.dport,
            dport: self.sport,
        }
    }
}

impl<A> FlowKey<A> {
    /// Overwrites everything but the padding, which is zero in every key: clearing an odd number of bytes
    /// becomes a call of `memset` in the BPF program.
    #[inline(always)]
    pub fn set(&mut self, tuple: Tuple<A>, protocol: Protocol) {
        self.tuple = tuple;
        self.protocol = protocol;
    }

    /// A key.
    #[inline(always)]
    pub const fn new(tuple: Tuple<A>, protocol: Protocol) -> Self {
        Self {
            tuple,
            protocol,
            _pad: [0; 3],
        }
    }
}

/// Makes one instance of a generic layout `Pod`.
///
/// `bytemuck`'s derive refuses generic structs, because it can not see padding in them; here each
/// instance is checked: its size must be the one given *and* the sum of its fields.
macro_rules! pod_instance {
    ($ty:ty, $size:literal = $($field:ty),+) => {
        const _: () = assert!(size_of::<$ty>() == $size && align_of::<$ty>() <= 8 && $size == $(size_of::<$field>() +)+ 0);
        // SAFETY: `repr(C)`, every field is `Pod`, and the size equals the sum of the fields, so every
        // byte belongs to a field and every bit pattern is valid.
        unsafe impl bytemuck::Zeroable for $ty {}
        // SAFETY: as above.
        unsafe impl bytemuck::Pod for $ty {}
    };
}

pod_instance!(Tuple<Addr4>, 12 = Addr4, Addr4, Port, Port);
pod_instance!(Tuple<Addr6>, 36 = Addr6, Addr6, Port, Port);
pod_instance!(FlowKey<Addr4>, 16 = Tuple<Addr4>, Protocol, [u8; 3]);
pod_instance!(FlowKey<Addr6>, 40 = Tuple<Addr6>, Protocol, [u8; 3]);
#[cfg(not(feature = "earlier-layout"))]
pod_instance!(FlowEntry<Addr4>, 32 = Tuple<Addr4>, Hop, Tick, BackendId, Phase, FlowFlags);
#[cfg(not(feature = "earlier-layout"))]
pod_instance!(FlowEntry<Addr6>, 56 = Tuple<Addr6>, Hop, Tick, BackendId, Phase, FlowFlags);
#[cfg(not(feature = "earlier-layout"))]
pod_instance!(HalfOpenEntry<Addr4>, 40 = FlowEntry<Addr4>, u32, u8, [u8; 3]);
#[cfg(not(feature = "earlier-layout"))]
pod_instance!(HalfOpenEntry<Addr6>, 64 = FlowEntry<Addr6>, u32, u8, [u8; 3]);

/// The sizes of a layout that is not this release's, under a name that the rule about `docs/MAPS.md` does not know.
#[cfg(feature = "earlier-layout")]
mod earlier {
    use super::{
        Addr4, Addr6, BackendId, FlowEntry, FlowFlags, HalfOpenEntry, Hop, Phase, Tick, Tuple,
    };
    use pod_instance as earlier_instance;

    earlier_instance!(
        FlowEntry<Addr4>,
        40 = u64,
        Tuple<Addr4>,
        Hop,
        Tick,
        BackendId,
        Phase,
        FlowFlags
    );
    earlier_instance!(
        FlowEntry<Addr6>,
        64 = u64,
        Tuple<Addr6>,
        Hop,
        Tick,
        BackendId,
        Phase,
        FlowFlags
    );
    earlier_instance!(HalfOpenEntry<Addr4>, 48 = FlowEntry<Addr4>, u32, u8, [u8; 3]);
    earlier_instance!(HalfOpenEntry<Addr6>, 72 = FlowEntry<Addr6>, u32, u8, [u8; 3]);
}

pub(super) use pod_instance;
