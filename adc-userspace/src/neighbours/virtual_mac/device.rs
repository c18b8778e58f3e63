//! Which device has which virtual MAC: pure.

use std::net::IpAddr;

use adc_common::abi::{Mac, Vrid};

use super::super::{Link, LinkKind};

/// A device with the MAC of a virtual router (RFC 9568 §7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct VirtualDevice {
    /// Kernel index of the interface that it is on.
    pub(crate) lower: u32,
    /// Its MAC, which says virtual router and address family.
    pub(crate) mac: Mac,
}

impl VirtualDevice {
    /// The one that carries an address of a virtual router.
    pub(crate) fn carrying(address: &IpAddr, router: Vrid, lower: u32) -> Self {
        let mac = router.mac_of(address);
        Self { lower, mac }
    }

    /// Its name: `adc4-51-2` is for the IPv4 addresses of virtual router 51 on interface 2. Names have 15 bytes at most (`IFNAMSIZ`), so
    /// the index is to base 36: six digits at most.
    pub(crate) fn name(self) -> String {
        let [.., family, router] = self.mac.0;
        let family = if family == 1 { 4 } else { 6 };
        format!("adc{family}-{router}-{}", base36(self.lower))
    }

    /// What a device is, if it is one of these: adc made it, whoever asks.
    pub(crate) fn of(link: &Link) -> Option<Self> {
        let LinkKind::Macvlan { lower: Some(lower) } = link.kind else {
            return None;
        };
        let device = Self {
            lower,
            mac: link.mac?,
        };
        (device.name() == link.name).then_some(device)
    }

    /// Whether its addresses are of IPv6.
    pub(super) fn is_v6(self) -> bool {
        let [.., family, _] = self.mac.0;
        family == 2
    }
}

fn base36(number: u32) -> String {
    let mut rest = number;
    let mut digits = Vec::new();
    while digits.is_empty() || rest > 0 {
        digits.extend(char::from_digit(rest % 36, 36));
        rest /= 36;
    }
    digits.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(address: &str, router: u8, lower: u32) -> VirtualDevice {
        VirtualDevice::carrying(&address.parse().unwrap(), Vrid(router), lower)
    }

    fn link(device: VirtualDevice) -> Link {
        Link {
            index: 9,
            name: device.name(),
            mac: Some(device.mac),
            mtu: 1500,
            up: false,
            carrier: false,
            kind: LinkKind::Macvlan {
                lower: Some(device.lower),
            },
            controller: None,
            standby: false,
        }
    }

    #[test]
    fn a_name_says_family_router_and_interface() {
        assert_eq!(device("192.0.2.1", 51, 2).name(), "adc4-51-2");
        assert_eq!(device("2001:db8::1", 1, 36).name(), "adc6-1-10");
        assert_eq!(device("::1", 255, 0).name(), "adc6-255-0");
    }

    #[test]
    fn the_longest_name_is_one_that_the_kernel_takes() {
        let longest = device("::1", 255, i32::MAX.unsigned_abs()).name();
        assert_eq!(longest, "adc6-255-zik0zj");
        assert!(longest.len() < libc::IFNAMSIZ, "{longest}");
    }

    #[test]
    fn a_device_is_known_again_by_all_that_it_is() {
        let device = device("192.0.2.1", 51, 2);
        assert_eq!(VirtualDevice::of(&link(device)), Some(device));
        let mut renamed = link(device);
        renamed.name = "vrrp.51".into();
        assert_eq!(VirtualDevice::of(&renamed), None, "keepalived's, say");
        let mut other = link(device);
        other.mac = Some(Vrid(52).mac_v4());
        assert_eq!(VirtualDevice::of(&other), None);
        other = link(device);
        other.kind = LinkKind::Plain;
        assert_eq!(VirtualDevice::of(&other), None);
    }
}
