//! A second node beside the adc node.

use std::net::Ipv4Addr;

use ipnet::IpNet;

use super::{GATEWAY_V4, ROUTER_V4, Topology};
use crate::{direct_return::wake_port, net::Link, process::Process};

/// The nodes' own addresses on the backends' side.
pub const INSIDE_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 2, 0, 2), Ipv4Addr::new(10, 2, 0, 3)];

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

    /// Gives the switch's ports towards both nodes the program without which what they send by `XDP_TX` does not arrive.
    pub fn wake_ports(&self, fellow: &str) -> [Process; 2] {
        ["adc", fellow].map(|name| wake_port(&self.port(name), self.directory()))
    }
}
