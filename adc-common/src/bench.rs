//! The traffic of `cargo xtask bench`, as its wrapper program sends it and as user space fills the tables for it.
//!
//! A flow is a number. Both sides turn the number into addresses and ports with the functions here, so a
//! table that was filled beforehand holds exactly the flows that will arrive.

use crate::abi::abi_struct;

/// Bytes of an IPv4 frame: the smallest Ethernet frame without its checksum.
pub const FRAME4: usize = 60;

/// Bytes of an IPv6 frame: headers of TCP and a few bytes more.
pub const FRAME6: usize = 80;

/// Backends that flows are spread over.
pub const BACKENDS: u32 = 100;

/// Port that clients connect to.
pub const SERVICE_PORT: u16 = 80;

/// Port of every backend.
pub const BACKEND_PORT: u16 = 8080;

/// Numbers of flows that each come once before the first comes again: more than any table holds.
pub const FRESH_FLOWS: u32 = 1 << 24;

/// IPv6 instead of IPv4.
pub const IPV6: u32 = 1;
/// From the backend to the client instead of the other way.
pub const REPLY: u32 = 2;
/// Every packet belongs to another flow: numbers count up instead of being drawn.
pub const FRESH: u32 = 4;

/// Backends see one local address (`full-nat`) instead of the clients'.
pub const FULL_NAT: u32 = 8;

abi_struct! {
    /// Value of the wrapper's `TRAFFIC` map: what the next packet is.
    pub struct Traffic [112] align 8 {
        /// The frame, [`FRAME4`] or [`FRAME6`] bytes of it; the fields that flows differ in are overwritten.
        pub frame: [u32; FRAME6 / 4],
        /// State of the generator that picks flows.
        pub state: u64,
        /// Number of flows, a power of two, minus one.
        pub mask: u32,
        /// Last 32 bits of client 0's address, host order; 16 low bits zero.
        pub clients: u32,
        /// Last 32 bits of backend 0's address, host order.
        pub backends: u32,
        /// [`IPV6`], [`REPLY`], [`FRESH`], [`FULL_NAT`].
        pub kind: u32,
        /// Zero.
        pub _pad: [u8; 8],
    }
}

/// Keys that the yardstick's map has room for.
pub const YARDSTICK_KEYS: usize = 1 << 20;

abi_struct! {
    /// Key of the yardstick's map: a connection in 40 bytes, addresses of either family in 16 bytes each.
    pub struct YardstickKey [40] align 8 {
        /// Source address; an IPv4 one in the first word.
        pub source: [u32; 4],
        /// Destination address.
        pub destination: [u32; 4],
        /// Both ports as they stand in the packet.
        pub ports: u32,
        /// Zero.
        pub _pad: u32,
    }
}

impl YardstickKey {
    /// Key of an IPv4 packet; all three as they stand in the packet.
    #[inline(always)]
    pub const fn ipv4(source: u32, destination: u32, ports: u32) -> Self {
        Self {
            source: [source, 0, 0, 0],
            destination: [destination, 0, 0, 0],
            ports,
            _pad: 0,
        }
    }
}

impl Traffic {
    /// The number of the next packet's flow.
    ///
    /// Drawn ones come from the high bits of a linear congruential generator modulo 2^64 (Knuth's MMIX
    /// constants): its low bits repeat too soon.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the mask keeps fewer bits")]
    pub const fn next_flow(&mut self) -> u32 {
        if self.kind & FRESH != 0 {
            self.state = self.state.wrapping_add(1);
            return self.state as u32 & self.mask;
        }
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) as u32 & self.mask
    }
}

/// Which client a flow comes from: to be added to the last 32 bits of client 0's address.
#[inline(always)]
pub const fn client_of(flow: u32) -> u32 {
    flow & 0xffff
}

/// The client's port of a flow.
#[inline(always)]
pub const fn client_port_of(flow: u32) -> u16 {
    1024 + (flow >> 16) as u16
}

/// The client's port of a new flow with [`FULL_NAT`]: from all over the range, as many clients' ports are. A client has
/// each of its 256 ports once.
#[inline(always)]
pub const fn spread_port_of(flow: u32) -> u16 {
    1024 + (((flow >> 16 & 0xff) * 251 + (flow & 0xffff) * 31) % 64_512) as u16
}

/// The local port of an established flow with [`FULL_NAT`]: no other flow of its backend has it.
#[inline(always)]
pub const fn local_port_of(flow: u32) -> u16 {
    1024 + ((flow / BACKENDS) & 0x7fff) as u16
}

/// Which backend an established flow was scheduled to: to be added to the last 32 bits of backend 0's address.
#[inline(always)]
pub const fn backend_of(flow: u32) -> u32 {
    flow % BACKENDS
}
