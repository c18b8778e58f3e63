//! Whose packet it is while two programs serve: that of the layout before this one, for flows that were not moved yet, and
//! this release's for all others.
//!
//! A program of its own asks before either walk begins (docs/adr/0036-migration-of-flows.md), so neither knows of the other.

use core::mem::MaybeUninit;

use super::{
    parse::{self, Link, Parse},
    ports::PacketBuf,
    scratch,
    wire::Ports,
};
use crate::abi::{Addr4, Addr6, FlowKey, Port, Protocol, Reason};

/// The flow tables of the earlier layout, of one address family. Only keys are asked for: values have another shape.
pub trait EarlierFlows<A> {
    /// Whether a flow has this key, validated or half-open.
    fn has(&self, key: &FlowKey<A>) -> bool;
}

/// Whether the packet belongs to a flow that the earlier program still holds.
///
/// Fragments, ICMP errors and what does not parse never do: this release's walk finds a copy of every flow that was there
/// when the hand-over began, and leaves alone what it does not know.
#[inline(always)]
pub fn is_held_by_earlier<P, T>(packet: &P, tables: &T) -> bool
where
    P: PacketBuf,
    T: EarlierFlows<Addr4> + EarlierFlows<Addr6>,
{
    let mut link = Link::default();
    if parse::link(packet, &mut link).is_err() {
        return false;
    }
    if parse::is_ipv4(link.ethertype) {
        let mut key = FlowKey::<Addr4>::default();
        if !read(packet, &mut link, &mut key) {
            return false;
        }
        if tables.has(&key) {
            return true;
        }
        // The answer of an IPv4 backend to an IPv6 client: its flow stands in the tables of IPv6.
        let mut mapped = FlowKey::<Addr6>::default();
        scratch::embed(&mut mapped, &key);
        return tables.has(&mapped);
    }
    let mut key = FlowKey::<Addr6>::default();
    parse::is_ipv6(link.ethertype) && read(packet, &mut link, &mut key) && tables.has(&key)
}

/// Fills the key; false if the packet is no whole segment or datagram.
#[inline(always)]
fn read<A: Parse, P: PacketBuf>(packet: &P, link: &mut Link, key: &mut FlowKey<A>) -> bool {
    match A::parse(packet, &mut link.frame, key) {
        Ok(()) => true,
        Err(Reason::OtherProtocol) if key.protocol == Protocol::SCTP => {
            let mut ports = MaybeUninit::<Ports>::uninit();
            let Some(ports) = packet.header(link.frame.transport(), &mut ports) else {
                return false;
            };
            key.tuple.sport = Port(ports.source);
            key.tuple.dport = Port(ports.dest);
            true
        }
        Err(_) => false,
    }
}
