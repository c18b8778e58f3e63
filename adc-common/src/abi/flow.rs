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

use super::{Addr4, Addr6, BackendId, Hop, Port, Protocol, Tick, abi_newtype, abi_struct};

abi_newtype! {
    /// Where a flow is in its life; TCP phases follow RFC 9293 §3.3.2 as seen from the middle.
    pub struct Phase(pub u8)
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

    /// Number of phases.
    pub const COUNT: usize = 9;

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
            Self(_) => "unknown",
        }
    }
}

abi_newtype! {
    /// Bit set in a flow entry.
    pub struct FlowFlags(pub u8)
}

impl FlowFlags {
    /// This entry matches packets from the backend.
    pub const REPLY: Self = Self(1);
    /// A FIN was seen in this direction.
    pub const FIN_SEEN: Self = Self(2);

    /// Whether all bits of `other` are set.
    #[inline(always)]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// With the bits of `other` set too.
    #[inline(always)]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

macro_rules! flow_abi {
    ($family:literal, $addr:ty, $tuple:ident [$tuple_size:literal], $key:ident [$key_size:literal], $entry:ident [$entry_size:literal], $half:ident [$half_size:literal]) => {
        abi_struct! {
            #[doc = concat!("Addresses and ports of an ", $family, " packet.")]
            pub struct $tuple [$tuple_size] {
                /// Source address.
                pub src: $addr,
                /// Destination address.
                pub dst: $addr,
                /// Source port.
                pub sport: Port,
                /// Destination port.
                pub dport: Port,
            }
        }

        abi_struct! {
            #[doc = concat!("Key of the ", $family, " flow tables: the packet as it arrives.")]
            pub struct $key [$key_size] {
                /// Addresses and ports.
                pub tuple: $tuple,
                /// TCP or UDP.
                pub protocol: Protocol,
                /// Zero.
                pub _pad: [u8; 3],
            }
        }

        abi_struct! {
            #[doc = concat!("Value of the ", $family, " flow tables: one direction of a flow.")]
            pub struct $entry [$entry_size] {
                /// The tuple of packets that arrive in the other direction (its key).
                pub other: $tuple,
                /// In a reply entry: where to send, the client's last hop. In a forward entry: the client's
                /// last hop as last seen, so that a moved client router is noticed without a second lookup.
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
        }

        abi_struct! {
            #[doc = concat!("Value of the ", $family, " half-open tables.")]
            pub struct $half [$half_size] {
                /// The entry that moves to the main table once the flow is validated.
                pub flow: $entry,
                /// TCP: initial sequence number of this direction's sender, host order; 0 until seen.
                pub initial_seq: u32,
            }
        }

        impl $tuple {
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

        impl $key {
            /// A key.
            #[inline(always)]
            pub const fn new(tuple: $tuple, protocol: Protocol) -> Self {
                Self {
                    tuple,
                    protocol,
                    _pad: [0; 3],
                }
            }
        }
    };
}

flow_abi!(
    "IPv4",
    Addr4,
    Tuple4[12],
    FlowKey4[16],
    FlowEntry4[32],
    HalfOpenEntry4[36]
);
flow_abi!(
    "IPv6",
    Addr6,
    Tuple6[36],
    FlowKey6[40],
    FlowEntry6[56],
    HalfOpenEntry6[60]
);
