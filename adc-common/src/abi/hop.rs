//! Where a packet leaves: interface, VLAN and MAC.

use super::{Mac, VlanId, abi_newtype, abi_struct};

/// Capacity of the interface tables: how many interfaces one agent may attach to.
pub const MAX_INTERFACES: u32 = 64;

/// MACs of one interface beside its own.
pub const OTHER_MACS: usize = 3;

abi_newtype! {
    /// Index into `INTERFACES` and `REDIRECT`; 0 = unset. Given out by the agent, at most [`MAX_INTERFACES`] - 1.
    pub struct InterfaceId(pub u16) align 2
}

impl InterfaceId {
    /// The id that an interface has if the agent could give it that one; id 0, which none has, for some.
    ///
    /// So the packet walk finds most interfaces without a hash lookup. Anything else is as valid, only slower.
    #[inline(always)]
    pub const fn likely(ifindex: u32) -> Self {
        const { assert!(MAX_INTERFACES.is_power_of_two()) };
        Self((ifindex & (MAX_INTERFACES - 1)) as u16)
    }
}

abi_struct! {
    /// A next hop. For backends the agent resolves it through netlink and keeps it fresh; for a
    /// client it is where the client's own packets came from.
    pub struct Hop [12] align 4 {
        /// Destination MAC.
        pub mac: Mac,
        /// Outer VLAN tag to send with.
        pub vlan: VlanId,
        /// Inner VLAN tag (QinQ); only meaningful with an outer one.
        pub inner_vlan: VlanId,
        /// Interface to leave by.
        pub interface: InterfaceId,
    }
}

impl Hop {
    /// Overwrites `self`, word by word: an assignment becomes a call of `memmove` in the BPF program.
    #[inline(always)]
    pub fn assign(&mut self, from: &Self) {
        let from = bytemuck::cast::<Self, [u32; 3]>(*from);
        let to = bytemuck::cast_mut::<Self, [u32; 3]>(self);
        [to[0], to[1], to[2]] = from;
    }
}

abi_struct! {
    /// One interface that adc is attached to, by [`InterfaceId`].
    pub struct InterfaceEntry [36] {
        /// Kernel interface index; 0 = slot unused.
        pub ifindex: u32,
        /// MTU in bytes, without the Ethernet header.
        pub mtu: u32,
        /// The interface's own MAC: source of what leaves here.
        pub mac: Mac,
        /// ICMP errors that one CPU may send by this interface in a second, per address family; 0 = none.
        pub icmp_errors: u16,
        /// Other MACs that frames for this machine may come to by this interface; `mac` again where there is none.
        pub other_macs: [Mac; OTHER_MACS],
        /// Zero.
        pub _pad: [u8; 2],
    }
}

impl InterfaceEntry {
    /// An interface with one MAC, which sends no ICMP errors.
    pub const fn new(ifindex: u32, mtu: u32, mac: Mac) -> Self {
        Self {
            ifindex,
            mtu,
            mac,
            icmp_errors: 0,
            other_macs: [mac; OTHER_MACS],
            _pad: [0; 2],
        }
    }

    /// Whether a frame to this MAC is for this machine.
    #[inline(always)]
    pub fn is_own(&self, destination: Mac) -> bool {
        is_one_of(destination, self.mac, &self.other_macs)
    }
}

/// The first is nearly always the one.
#[inline(always)]
pub(super) fn is_one_of(destination: Mac, mac: Mac, others: &[Mac; OTHER_MACS]) -> bool {
    let [first, second, third] = *others;
    mac.is(destination) || first.is(destination) || second.is(destination) || third.is(destination)
}
