//! A second node beside the adc node.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::{GATEWAY_V4, GATEWAY_V6, ROUTER_V4, ROUTER_V6, Topology};
use crate::{direct_return::wake_port, net::Link, process::Process};

/// The nodes' own addresses on the backends' side.
pub const INSIDE_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 2, 0, 2), Ipv4Addr::new(10, 2, 0, 3)];
/// The same.
const INSIDE_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 2),
    Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 3),
];

impl Topology {
    /// Gives the adc node of a one-arm topology a fellow on the same switch, and returns the interfaces of both. The backends'
    /// gateway moves between them, so neither has it yet.
    pub fn with_fellow(&self, name: &str) -> [Link; 2] {
        let first = self.interfaces[0].clone();
        let gateway = format!("{}/24", GATEWAY_V4.1);
        self.adc
            .ip(&["address", "del", &gateway, "dev", &first.name]);
        first.add_address(IpNet::new_assert(INSIDE_V4[0].into(), 24));
        let second = self.add_node(name, &[ROUTER_V4.into(), INSIDE_V4[1].into()]);
        [first, second]
    }

    /// The same with IPv6 addresses of their own, which stay when the links go down. The backends' IPv6 gateway moves, too.
    pub fn with_fellow_of_both_families(&self, name: &str) -> [Link; 2] {
        let [first, second] = self.with_fellow(name);
        first.remove_address(GATEWAY_V6.1.into());
        let own: [(&Link, &[IpAddr]); 2] = [
            (&first, &[INSIDE_V6[0].into()]),
            (&second, &[ROUTER_V6.into(), INSIDE_V6[1].into()]),
        ];
        for (link, addresses) in own {
            let keep = format!("net.ipv6.conf.{}.keep_addr_on_down", link.name);
            link.namespace.sysctl(&keep, "1");
            for address in addresses {
                link.add_address(IpNet::new_assert(*address, 64));
            }
        }
        [first, second]
    }

    /// Gives the switch's ports towards both nodes the program without which what they send by `XDP_TX` does not arrive.
    pub fn wake_ports(&self, fellow: &str) -> [Process; 2] {
        ["adc", fellow].map(|name| wake_port(&self.port(name), self.directory()))
    }
}
