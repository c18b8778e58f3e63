//! Where a packet leaves: interface, VLAN and MAC.

use core::net::IpAddr;

use super::{Mac, VlanId, abi_newtype, abi_struct};

/// Capacity of the interface tables: how many interfaces one agent may attach to.
pub const MAX_INTERFACES: u32 = 64;

/// MACs of one interface beside its own.
pub const OTHER_MACS: usize = 3;

/// Virtual routers whose virtual MACs one interface may have.
pub const VIRTUAL_ROUTERS: usize = 2;

abi_newtype! {
    /// Id of a virtual router (RFC 9568 §1.7): 1 to 255; 0 = none.
    pub struct Vrid(pub u8) align 1
}

impl Vrid {
    /// The MAC of one of its addresses.
    pub const fn mac_of(self, address: &IpAddr) -> Mac {
        match address {
            IpAddr::V4(_) => self.mac_v4(),
            IpAddr::V6(_) => self.mac_v6(),
        }
    }

    /// The MAC of its IPv4 addresses (RFC 9568 §7.3).
    pub const fn mac_v4(self) -> Mac {
        Mac([0x00, 0x00, 0x5e, 0x00, 0x01, self.0])
    }

    /// The MAC of its IPv6 addresses.
    pub const fn mac_v6(self) -> Mac {
        Mac([0x00, 0x00, 0x5e, 0x00, 0x02, self.0])
    }
}

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
        /// Virtual routers whose MACs are this machine's here, too, both families' of each. Whether this node may serve them
        /// is a matter of their groups' leases.
        pub virtual_routers: [Vrid; VIRTUAL_ROUTERS],
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
            virtual_routers: [Vrid(0); VIRTUAL_ROUTERS],
        }
    }

    /// Whether a frame to this MAC is for this machine.
    #[inline(always)]
    pub fn is_own(&self, destination: Mac) -> bool {
        is_one_of(destination, self.mac, &self.other_macs) || self.is_virtual(destination)
    }

    /// Whether it is a MAC of one of the virtual routers. In few branches: the verifier follows each.
    #[inline(always)]
    fn is_virtual(&self, destination: Mac) -> bool {
        let [start, middle, end] = destination.halves();
        let [family, id] = end.to_ne_bytes();
        let [first, second] = self.virtual_routers;
        // Zero for 00-00-5E-00, and then for 1 and 2.
        let prefix = start | middle ^ u16::from_ne_bytes([0x5e, 0x00]);
        let family = u16::from(family.wrapping_sub(1) & 0xfe);
        // A product is zero if one of the two is that router.
        let router = u16::from(id ^ first.0).wrapping_mul(u16::from(id ^ second.0));
        prefix | family | router == 0 && id != 0
    }
}

/// The first is nearly always the one.
#[inline(always)]
pub(super) fn is_one_of(destination: Mac, mac: Mac, others: &[Mac; OTHER_MACS]) -> bool {
    let [first, second, third] = *others;
    mac.is(destination) || first.is(destination) || second.is(destination) || third.is(destination)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Mac = Mac([0x02, 0, 0, 0, 0, 1]);

    fn with(routers: [u8; VIRTUAL_ROUTERS]) -> InterfaceEntry {
        InterfaceEntry {
            virtual_routers: routers.map(Vrid),
            ..InterfaceEntry::new(1, 1500, OWN)
        }
    }

    #[test]
    fn a_virtual_mac_is_that_of_rfc_9568() {
        assert_eq!(Vrid(51).mac_v4(), Mac([0, 0, 0x5e, 0, 1, 51]));
        assert_eq!(Vrid(51).mac_v6(), Mac([0, 0, 0x5e, 0, 2, 51]));
    }

    #[test]
    fn frames_to_both_macs_of_each_virtual_router_are_ours() {
        for routers in [[51, 0], [0, 51], [51, 77], [77, 51], [51, 51]] {
            let entry = with(routers);
            assert!(entry.is_own(Vrid(51).mac_v4()), "{routers:?}");
            assert!(entry.is_own(Vrid(51).mac_v6()), "{routers:?}");
            assert!(entry.is_own(OWN));
        }
    }

    #[test]
    fn frames_to_other_virtual_routers_are_not() {
        for routers in [[0, 0], [51, 0], [51, 77]] {
            let entry = with(routers);
            for id in 0..=u8::MAX {
                let ours = id != 0 && routers.contains(&id);
                assert_eq!(entry.is_own(Vrid(id).mac_v4()), ours, "{id} of {routers:?}");
                assert_eq!(entry.is_own(Vrid(id).mac_v6()), ours, "{id} of {routers:?}");
            }
        }
    }

    #[test]
    fn a_mac_that_differs_in_one_byte_is_not_virtual() {
        let entry = with([51, 77]);
        let virtual_mac = Vrid(51).mac_v4().0;
        for at in 0..virtual_mac.len() {
            for value in 0..=u8::MAX {
                let mut near = virtual_mac;
                near[at] = value;
                let near = Mac(near);
                let ours = [51, 77]
                    .map(Vrid)
                    .iter()
                    .any(|router| [router.mac_v4(), router.mac_v6()].contains(&near));
                assert_eq!(entry.is_own(near), ours, "{near:?}");
            }
        }
    }
}
