//! Both ends of validated TCP flows.

use std::net::SocketAddr;

use adc_common::abi::{
    BackendId, FlowEntry, FlowFlags, FlowKey, HalfOpenEntry, Hop, Phase, Port, Protocol,
};
use bytemuck::Pod;

use super::{
    error::DataplaneError,
    family::{Family, IpAddrOf},
};

/// One validated TCP flow: who is at its ends, and how its client is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowEnds {
    /// Its backend.
    pub backend: BackendId,
    /// Where it is in its life.
    pub phase: Phase,
    /// The client.
    pub client: SocketAddr,
    /// What the client talks to.
    pub vip: SocketAddr,
    /// The client as the backend sees it.
    pub seen_as: SocketAddr,
    /// The backend's address.
    pub server: SocketAddr,
    /// Next hop towards the client.
    pub client_hop: Hop,
}

impl<A: Copy + Into<IpAddrOf> + PartialEq + 'static> Family<A>
where
    FlowKey<A>: Pod,
    FlowEntry<A>: Pod,
    HalfOpenEntry<A>: Pod,
{
    /// Visits every validated TCP flow, at its reply entry, which knows the way to the client.
    pub(super) fn ends(&self, visit: &mut impl FnMut(FlowEnds)) -> Result<(), DataplaneError> {
        let socket = |address: A, port: Port| {
            let IpAddrOf(ip) = address.into();
            // The IPv4 half of a flow between families is v4-mapped.
            SocketAddr::new(ip.to_canonical(), port.host())
        };
        self.walk_main(|key, entry| {
            if key.protocol != Protocol::TCP || !entry.flags.contains(FlowFlags::REPLY) {
                return;
            }
            let (answering, arriving) = (&key.tuple, &entry.other);
            visit(FlowEnds {
                backend: entry.backend,
                phase: entry.phase,
                client: socket(arriving.src, arriving.sport),
                vip: socket(arriving.dst, arriving.dport),
                seen_as: socket(answering.dst, answering.dport),
                server: socket(answering.src, answering.sport),
                client_hop: entry.hop,
            });
        })
    }
}
