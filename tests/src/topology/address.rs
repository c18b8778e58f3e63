//! The addresses every topology uses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// The client.
pub const CLIENT_V4: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 10);
/// The client.
pub const CLIENT_V6: Ipv6Addr = v6(1, 0x10);
/// The VIP of most cases, in the client's subnet.
pub const VIP_V4: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 100);
/// Its IPv6 counterpart.
pub const VIP_V6: Ipv6Addr = v6(1, 0x100);
/// A VIP for what a case adds later.
pub const SPARE_VIP_V4: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 101);
/// The adc node, towards the client and towards the backends.
pub const GATEWAY_V4: (Ipv4Addr, Ipv4Addr) =
    (Ipv4Addr::new(10, 1, 0, 1), Ipv4Addr::new(10, 2, 0, 1));
/// The adc node, towards the client and towards the backends.
pub const GATEWAY_V6: (Ipv6Addr, Ipv6Addr) = (v6(1, 1), v6(2, 1));

/// Another router beside the adc node, in the client's subnet.
pub const ROUTER_V4: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 3);
/// Another router beside the adc node, in the client's subnet.
pub const ROUTER_V6: Ipv6Addr = v6(1, 3);

/// IPv4 address of the backend with this index.
///
/// # Panics
/// From index 200 on.
pub fn backend_v4(index: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 2, 0, 11 + host_number(index))
}

/// IPv6 address of the backend with this index.
///
/// # Panics
/// From index 200 on.
pub fn backend_v6(index: usize) -> Ipv6Addr {
    v6(2, 0x11 + u16::from(host_number(index)))
}

/// `address` with its subnet's length: /24 or /64.
pub(super) fn in_subnet(address: IpAddr) -> IpNet {
    let length = if address.is_ipv4() { 24 } else { 64 };
    IpNet::new_assert(address, length)
}

const fn v6(subnet: u16, host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, subnet, 0, 0, 0, 0, 0, host)
}

fn host_number(index: usize) -> u8 {
    u8::try_from(index)
        .ok()
        .filter(|number| *number < 200)
        .unwrap_or_else(|| panic!("backend index {index}: at most 200 backends"))
}
