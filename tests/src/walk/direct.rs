//! Worlds whose backends answer clients directly.

use adc_common::abi::{Addr16, ForwardingMode, Port};

use super::{Crossing, Family, Link, Talk, World};
use crate::packets::{Outer, Segment, wrapped};

/// UDP port of GUE in these worlds.
const GUE: u16 = 6080;

/// ICMP errors that a CPU may send in a second where a test wants them all.
pub const ALL_ERRORS: u16 = u16::MAX;

/// How packets get to the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `dsr-l2`.
    L2,
    /// `dsr-ipip`, with an outer header of this family.
    Ipip(Family),
    /// `dsr-gue`, with an outer header of this family.
    Gue(Family),
}

impl Way {
    /// Every way.
    pub const ALL: [Self; 5] = [
        Self::L2,
        Self::Ipip(Family::V4),
        Self::Ipip(Family::V6),
        Self::Gue(Family::V4),
        Self::Gue(Family::V6),
    ];

    const fn mode(self) -> ForwardingMode {
        match self {
            Self::L2 => ForwardingMode::DSR_L2,
            Self::Ipip(_) => ForwardingMode::DSR_IPIP,
            Self::Gue(_) => ForwardingMode::DSR_GUE,
        }
    }

    /// The tunnel that a flow with this hash goes through.
    pub fn outer(self, hash: u32) -> Option<Outer> {
        let (family, port) = match self {
            Self::L2 => return None,
            Self::Ipip(family) => (family, None),
            Self::Gue(family) => (family, Some(GUE)),
        };
        let (from, to) = match family {
            Family::V4 => ("10.20.0.254", "10.20.0.1"),
            Family::V6 => ("fd00:20::fe", "fd00:20::1"),
        };
        Some(Outer {
            from: from.parse().expect("an address"),
            to: to.parse().expect("an address"),
            port,
            hash,
        })
    }
}

impl World {
    /// Backends that are reached in this way, and answer clients directly.
    pub fn direct(client_link: Link, backend_link: Link, way: Way) -> Self {
        let mut world = Self::new(client_link, backend_link);
        let contents = &mut world.contents;
        for service in contents.services.values_mut() {
            service.mode = way.mode();
        }
        for backend in contents.backends.values_mut() {
            let service = contents.services[&backend.service];
            backend.port = service.key.port;
            if let Some(outer) = way.outer(0) {
                backend.address = Addr16::from(outer.to);
                backend.tunnel_source = Addr16::from(outer.from);
                backend.tunnel_port = Port::new(outer.port.unwrap_or(0));
            }
        }
        world
    }

    /// With ICMP errors on every interface.
    #[must_use]
    pub fn with_icmp_errors(mut self) -> Self {
        for interface in self.contents.interfaces.values_mut() {
            interface.icmp_errors = ALL_ERRORS;
        }
        self
    }
}

impl Talk {
    /// From the client through us to the backend, which takes packets for the VIP.
    pub fn direct(&self, way: Way, segment: &Segment) -> Crossing {
        let as_is = Self {
            backend: self.vip,
            ..self.clone()
        };
        let mut crossing = as_is.request(segment);
        if let Some(outer) = way.outer(self.hash()) {
            crossing.out = wrapped(&crossing.out, &outer);
        }
        crossing
    }

    /// The hash of the flow as adc computes it, for the six flows of [`World::talk`]. Where it shows in packets, nodes
    /// of a pair should agree; so it must never change.
    fn hash(&self) -> u32 {
        match (self.vip.is_ipv4(), self.vip.port()) {
            (true, 80) => 0xc7b6_fb71,
            (true, 53) => 0xa8a0_0313,
            (true, _) => 0xfd3b_4f88,
            (false, 80) => 0x0ce4_d33a,
            (false, 53) => 0x2fac_e36d,
            (false, _) => 0x2178_85ce,
        }
    }
}
