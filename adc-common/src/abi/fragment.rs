//! Fragments: which datagram a later one belongs to.

use super::{Addr4, Addr6, Port, Protocol, Tick, abi_struct};

/// Entries of each of `FRAGMENTS4` and `FRAGMENTS6`: datagrams whose first fragment came lately.
pub const FRAGMENT_ENTRIES: u32 = 16_384;

/// How long a first fragment is remembered. The rest of a datagram follows within milliseconds; a sender of many
/// datagrams uses an IPv4 identification again within seconds (RFC 4963).
pub const FRAGMENT_LIFETIME: Tick = Tick::from_secs(10);

/// Key of the fragment tables: what all fragments of a datagram have in common, as they arrive.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FragmentKey<A> {
    /// Source address.
    pub src: A,
    /// Destination address.
    pub dst: A,
    /// Identification, host order; 16 bits of it in IPv4.
    pub id: u32,
    /// IPv4: the protocol (RFC 791 §3.2). IPv6: 0; fragments of one packet may differ in it (RFC 8200 §4.5).
    pub protocol: Protocol,
    /// Zero.
    pub _pad: [u8; 3],
}

impl<A> FragmentKey<A> {
    /// A key.
    pub const fn new(src: A, dst: A, id: u32, protocol: Protocol) -> Self {
        Self {
            src,
            dst,
            id,
            protocol,
            _pad: [0; 3],
        }
    }
}

abi_struct! {
    /// Value of the fragment tables: what only the first fragment says.
    pub struct FragmentEntry [12] {
        /// Source port.
        pub sport: Port,
        /// Destination port.
        pub dport: Port,
        /// Bytes of the datagram that the first fragment holds.
        pub first_length: u16,
        /// TCP or UDP.
        pub protocol: Protocol,
        /// Zero.
        pub _pad: u8,
        /// When the first fragment came.
        pub seen: Tick,
    }
}

super::flow::pod_instance!(
    FragmentKey<Addr4>,
    16 = Addr4,
    Addr4,
    u32,
    Protocol,
    [u8; 3]
);
super::flow::pod_instance!(
    FragmentKey<Addr6>,
    40 = Addr6,
    Addr6,
    u32,
    Protocol,
    [u8; 3]
);
